"""Create the MLflow store once, before any training starts. In: nothing. Out: marker file (the store keeps growing)."""

from maskmill.logs import configure_logging
from maskmill.tracking import create_store

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    create_store(uri=snakemake.params.uri, marker=snakemake.output.marker)
