"""Create the MLflow store once, before any training starts. In: nothing. Out: marker file (the store keeps growing)."""

from maskmill.jobs import begin_job
from maskmill.tracking import create_store

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    create_store(uri=snakemake.params.uri, marker=snakemake.output.marker)
