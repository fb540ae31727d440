"""Put the shards' audits together. In: their tables. Out: audit and objects tables, summary with advice (JSON)."""

from maskmill.audit.summary import summarize_audit
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    summarize_audit(
        shard_dirs=snakemake.input.shards,
        classes=snakemake.params.classes,
        training=snakemake.params.training,
        audit=snakemake.output.audit,
        objects=snakemake.output.objects,
        summary=snakemake.output.summary,
    )
