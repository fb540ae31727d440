"""Measure what the annotations of a shard lose. In: shard list, samples, label PNGs. Out: two tables (pixels)."""

from maskmill.audit.shard import audit_shard
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    audit_shard(
        shard_list=snakemake.input.shard,
        samples=snakemake.input.samples,
        labels_dir=snakemake.input.labels,
        output=snakemake.output.audit,
        options=snakemake.params.labels,
        training=snakemake.params.training,
    )
