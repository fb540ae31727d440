"""Bring the masks of all shards together. In: the shards' folders. Out: masks; masks, failed and uncertainty.csv."""

from pathlib import Path

from maskmill.deployment.batch import collect_masks
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    collect_masks(
        shards=[Path(folder) for folder in snakemake.input.shards],
        masks=Path(snakemake.output.masks),
        table=Path(snakemake.output.table),
        failed=Path(snakemake.output.failed),
        uncertainty=Path(snakemake.output.uncertainty),
    )
