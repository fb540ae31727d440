"""Merge what is wrong with the user's files. In: problems of the index and of every shard. Out: one sorted table."""

from maskmill.labels.problems import collect_problems
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    collect_problems(
        index_problems=snakemake.input.index,
        label_dirs=snakemake.input.labels,
        classes=snakemake.params.classes,
        output=snakemake.output.problems,
    )
