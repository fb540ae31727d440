"""Decide the masks of a split at the operating point. In: probabilities, operating_point.json. Out: palette PNGs."""

from pathlib import Path

from maskmill.classes import Classes
from maskmill.logs import configure_logging
from maskmill.postprocess import postprocess_masks

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    postprocess_masks(
        probabilities=Path(snakemake.input.probabilities),
        point=Path(snakemake.input.point),
        classes=Classes.from_config(snakemake.params.classes),
        output=Path(snakemake.output.masks),
    )
