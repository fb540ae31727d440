"""Say which new pictures have no mask. In: the shards' folders. Out: failed.csv over all of them."""

from pathlib import Path

from maskmill.deployment.segmentation import collect_failures
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    collect_failures([Path(folder) for folder in snakemake.input.masks], Path(snakemake.output.failed))
