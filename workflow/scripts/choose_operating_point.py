"""Choose temperature, thresholds and steps on the validation pictures of a fold, for an ensemble on those of all folds.

In: probabilities, label images, samples.csv, splits.csv. Out: operating_point.json, the choice and its scores.
"""

from pathlib import Path

from maskmill.classes import Classes
from maskmill.evaluation.tuning import choose_operating_point
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    choose_operating_point(
        probabilities=Path(snakemake.input.probabilities),
        labels=[Path(folder) for folder in snakemake.input.labels],
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        classes=Classes.from_config(snakemake.params.classes),
        folds=snakemake.params.folds,
        options=snakemake.params.postprocess,
        output=Path(snakemake.output.point),
    )
