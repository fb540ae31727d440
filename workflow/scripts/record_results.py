"""Bring the results of an experiment's trainings to their MLflow runs.

In: config.yaml, validation and test metrics of every member; where an ensemble is deployed its
operating_point.json and test metrics. Out: recorded.json, what MLflow was given of each run.
"""

from maskmill.jobs import begin_job
from maskmill.tracking.results import EnsembleResults, MemberResults, record_results

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    files = zip(snakemake.input.configs, snakemake.input.validation, snakemake.input.test, strict=True)
    record_results(
        members=[MemberResults(*member) for member in files],
        ensemble=next(map(EnsembleResults, snakemake.input.ensemble_point, snakemake.input.ensemble_test), None),
        uri=snakemake.params.uri,
        output=snakemake.output.recorded,
    )
