"""Decide the masks of a split at the operating point.

In: probabilities, operating_point.json, samples.csv. Out: palette PNGs, of volumes .nii.gz in their geometry.
"""

from pathlib import Path

from maskmill.classes import Classes
from maskmill.inference.postprocess import postprocess_masks
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    postprocess_masks(
        probabilities=Path(snakemake.input.probabilities),
        point=Path(snakemake.input.point),
        samples=Path(snakemake.input.samples),
        classes=Classes.from_config(snakemake.params.classes),
        output=Path(snakemake.output.masks),
    )
