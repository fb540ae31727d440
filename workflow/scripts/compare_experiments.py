"""Compare experiments on the test cases.

In: summary.json of each experiment; test metrics of every member, experiment by experiment.
Out: comparison.csv (experiment × class × metric) and comparison.html (verdict, charts, tables).
"""

from maskmill.evaluation.comparison import compare_experiments
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    compare_experiments(
        experiments=snakemake.params.experiments,
        summaries=snakemake.input.summaries,
        metrics=snakemake.input.metrics,
        table=snakemake.output.table,
        page=snakemake.output.page,
    )
