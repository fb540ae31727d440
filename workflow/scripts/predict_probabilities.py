"""Predict every picture of a split with one member.

In: model.safetensors, config.yaml, samples.csv, splits.csv. Out: <id>.npy, uint8 (K, D, H, W), 255-fold probability.
"""

from pathlib import Path

from maskmill.inference.prediction import predict_split
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    predict_split(
        model=Path(snakemake.input.model),
        config=Path(snakemake.input.config),
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        split=snakemake.wildcards.split,
        tiling=snakemake.params.tiling,
        output=Path(snakemake.output.probabilities),
    )
