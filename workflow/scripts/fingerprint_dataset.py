"""Measure each fold's training pictures. In: cache folders, splits.csv. Out: fingerprint.json (preprocessing, …)."""

from maskmill.data.fingerprint import fingerprint_dataset
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    fingerprint_dataset(
        cache=snakemake.input.cache,
        splits=snakemake.input.splits,
        classes=snakemake.params.classes,
        preprocess=snakemake.params.preprocess,
        output=snakemake.output.fingerprint,
    )
