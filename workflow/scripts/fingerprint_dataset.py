"""Measure each fold's training pictures. In: cache folders, splits.csv. Out: fingerprint.json (preprocessing, …)."""

from maskmill.data.fingerprint import fingerprint_dataset
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    fingerprint_dataset(
        cache=snakemake.input.cache,
        splits=snakemake.input.splits,
        classes=snakemake.params.classes,
        preprocess=snakemake.params.preprocess,
        output=snakemake.output.fingerprint,
    )
