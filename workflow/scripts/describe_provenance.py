"""Write down where every artifact comes from, at the end of a run.

In: what the run was asked for; Snakemake's notes on its jobs. Out: provenance.json (SHA-256 of each file, how it was
made), ro-crate-metadata.json (the same as a Workflow Run RO-Crate), code (a copy of the workflow).
"""

from pathlib import Path

from maskmill.jobs import begin_job
from maskmill.provenance.record import describe_provenance

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    describe_provenance(
        results=Path(snakemake.output.record).parent,
        targets=snakemake.input,
        root=Path(snakemake.params.root),
        config=snakemake.params.config,
        codes=snakemake.params.codes,
        metadata=Path(".snakemake/metadata"),
        logs=Path(snakemake.log[0]).parent,
        record=Path(snakemake.output.record),
        crate=Path(snakemake.output.crate),
        code=Path(snakemake.output.code),
        threads=snakemake.threads,
    )
