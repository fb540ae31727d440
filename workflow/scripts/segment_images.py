"""Segment a shard of new pictures. In: bundle, pictures. Out: masks (PNG, TIFF, of volumes .nii.gz) and three tables.

What a killed job had finished lies in params.state.
"""

from pathlib import Path

from maskmill.deployment.batch import segment_shard
from maskmill.deployment.bundle import load_bundle
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    segment_shard(
        bundle=load_bundle(Path(snakemake.input.bundle)),
        pictures=snakemake.params.pictures,
        output=Path(snakemake.output.shard),
        state=Path(snakemake.params.state),
        code=snakemake.params.library,
        threads=snakemake.threads,
    )
