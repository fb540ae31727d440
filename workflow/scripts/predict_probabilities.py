"""Predict every picture of a split with one member, or with all of an experiment together.

In: model.safetensors and config.yaml of each, samples.csv, splits.csv.
Out: <id>.npy, uint8 (K, D, H, W), 255-fold probability.
"""

from pathlib import Path

from maskmill.inference.prediction import predict_split
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    predict_split(
        models=[Path(file) for file in snakemake.input.models],
        configs=[Path(file) for file in snakemake.input.configs],
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        split=snakemake.wildcards.split,
        tiling=snakemake.params.tiling,
        output=Path(snakemake.output.probabilities),
    )
