"""Bring proposals together. In: the shards' folders. Out: labelme files, order.csv, failed.csv."""

from pathlib import Path

from maskmill.annotating.preannotation import collect_proposals
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    collect_proposals(
        shards=[Path(folder) for folder in snakemake.input.shards], destination=Path(snakemake.output.order).parent
    )
