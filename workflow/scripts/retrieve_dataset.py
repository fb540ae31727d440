"""Bring a public data set in. In: the config's section `retrieve`. Out: a line of text when all files are there."""

from pathlib import Path

from maskmill.jobs import begin_job
from maskmill.retrieval.dataset import retrieve_dataset

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    retrieve_dataset(
        folder=Path(snakemake.params.folder),
        options={**snakemake.params.texts, "files": snakemake.params.files, "indexes": snakemake.params.indexes},
        complete=Path(snakemake.output.complete),
    )
