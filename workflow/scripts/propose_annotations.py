"""Draw proposals for a shard of pictures. In: bundle, pictures. Out: labelme files, order.csv, failed.csv."""

from pathlib import Path

from maskmill.annotating.preannotation import propose_shard
from maskmill.deployment.bundle import load_bundle
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    propose_shard(
        bundle=load_bundle(Path(snakemake.input.bundle)),
        pictures=snakemake.params.pictures,
        output=Path(snakemake.output.proposals),
        destination=Path(snakemake.params.destination),
        spacing=snakemake.params.spacing,
        threads=snakemake.threads,
    )
