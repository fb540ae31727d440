"""Segment a shard of new pictures. In: bundle, pictures. Out: masks (PNG, of volumes .nii.gz), failed.csv."""

from pathlib import Path

from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.segmentation import segment_shard
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    segment_shard(
        bundle=load_bundle(Path(snakemake.input.bundle)),
        pictures=snakemake.params.pictures,
        output=Path(snakemake.output.masks),
        threads=snakemake.threads,
    )
