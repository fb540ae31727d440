"""Decide the masks of a split at the operating point.

In: probabilities, operating_point.json, samples.csv. Out: palette PNGs, of volumes .nii.gz in their geometry.
"""

from pathlib import Path

from maskmill.classes import Classes
from maskmill.inference.postprocess import postprocess_masks
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    postprocess_masks(
        probabilities=Path(snakemake.input.probabilities),
        point=Path(snakemake.input.point),
        samples=Path(snakemake.input.samples),
        classes=Classes.from_config(snakemake.params.classes),
        output=Path(snakemake.output.masks),
    )
