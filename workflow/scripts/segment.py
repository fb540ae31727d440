"""Say which new pictures have no mask. In: the shards' folders. Out: failed.csv over all of them."""

from pathlib import Path

from maskmill.deployment.segmentation import collect_failures
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    collect_failures([Path(folder) for folder in snakemake.input.masks], Path(snakemake.output.failed))
