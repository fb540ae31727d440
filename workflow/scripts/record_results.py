"""Bring the results of an experiment's trainings to their MLflow runs.

In: config.yaml, validation and test metrics of every member, and the extra metrics that the config names; where an
ensemble is deployed its operating_point.json, test metrics and extra metrics.
Out: recorded.json, what MLflow was given of each run.
"""

from maskmill.jobs import begin_job
from maskmill.tracking.results import EnsembleResults, MemberResults, record_results

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    extra = snakemake.input.extra or [None] * len(snakemake.input.configs)
    files = zip(snakemake.input.configs, snakemake.input.validation, snakemake.input.test, extra, strict=True)
    ensemble = (snakemake.input.ensemble_point, snakemake.input.ensemble_test, snakemake.input.ensemble_extra or [None])
    record_results(
        members=[MemberResults(*member) for member in files],
        ensemble=next(map(EnsembleResults, *ensemble), None),
        uri=snakemake.params.uri,
        output=snakemake.output.recorded,
    )
