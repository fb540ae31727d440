"""Compare experiments on the test cases.

In: table and labels of the samples; summary and timings of each experiment; plan, config, history, test metrics and
test masks of every member, experiment by experiment; test metrics, masks and operating_point.json of every ensemble
that is deployed; tables of the extra metrics that the config names, of every member or of the ensembles.
Out: comparison.csv (experiment × class × metric) and comparison.html (verdict, charts, tables, pictures, costs).
"""

from maskmill.jobs import begin_job
from maskmill.report.comparison_page import compare_experiments
from maskmill.report.results import experiment_files

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    compare_experiments(
        classes=snakemake.params.classes,
        samples=snakemake.input.samples,
        labels=snakemake.input.labels,
        experiments=experiment_files(
            snakemake.params.experiments,
            snakemake.params.members,
            of_members={
                "plan": snakemake.input.plans,
                "config": snakemake.input.configs,
                "history": snakemake.input.histories,
                "metrics": snakemake.input.metrics,
                "masks": snakemake.input.masks,
            },
            of_experiments={"summary": snakemake.input.summaries, "runtimes": snakemake.input.runtimes},
            of_ensembles={
                "metrics": snakemake.input.ensemble_metrics,
                "masks": snakemake.input.ensemble_masks,
                "point": snakemake.input.ensemble_points,
            },
        ),
        extra=snakemake.input.extra,
        table=snakemake.output.table,
        page=snakemake.output.page,
    )
