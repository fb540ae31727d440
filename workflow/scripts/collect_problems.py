"""Merge what is wrong with the user's files. In: problems of the index and of every shard. Out: one sorted table."""

from maskmill.jobs import begin_job
from maskmill.labels.problems import collect_problems

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    collect_problems(
        index_problems=snakemake.input.index,
        label_dirs=snakemake.input.labels,
        classes=snakemake.params.classes,
        output=snakemake.output.problems,
    )
