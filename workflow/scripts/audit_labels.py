"""Measure what the annotations of a shard lose. In: shard list, samples, label PNGs. Out: two tables (pixels)."""

from maskmill.audit.shard import audit_shard
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    audit_shard(
        shard_list=snakemake.input.shard,
        samples=snakemake.input.samples,
        labels_dir=snakemake.input.labels,
        output=snakemake.output.audit,
        options=snakemake.params.labels,
        training=snakemake.params.training,
    )
