"""Summarise an experiment over its members (trainings).

In: config.yaml, history.csv, validation and test metrics of each member, in the members' order; where the config names
extra metrics, each member's table of them and what holds of all pixels together; of an ensemble likewise.
Out: summary.json: the members, the best of them on validation, and test metrics with intervals.
"""

from maskmill.evaluation.summary import Member, summarize_experiment
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    summarize_experiment(
        experiment=snakemake.params.experiment,
        members=[
            Member(*parts)
            for parts in zip(
                snakemake.params.members,
                snakemake.input.configs,
                snakemake.input.histories,
                snakemake.input.validation,
                snakemake.input.test,
                strict=True,
            )
        ],
        tolerance=snakemake.params.tolerance,
        extra=snakemake.input.extra,
        pooled=snakemake.input.pooled,
        ensemble=next(iter(snakemake.input.ensemble), None),
        ensemble_extra=snakemake.input.ensemble_extra,
        ensemble_pooled=snakemake.input.ensemble_pooled,
        output=snakemake.output.summary,
    )
