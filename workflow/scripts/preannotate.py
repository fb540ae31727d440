"""Bring proposals together. In: the shards' folders. Out: labelme files, order.csv, failed.csv."""

from pathlib import Path

from maskmill.annotating.preannotation import collect_proposals
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    collect_proposals(
        shards=[Path(folder) for folder in snakemake.input.shards], destination=Path(snakemake.output.order).parent
    )
