"""Register a bundle in MLflow's model registry. In: bundle folder. Out: registered.json (model, version, digest)."""

from pathlib import Path

from maskmill.jobs import begin_job
from maskmill.tracking.registry import register_bundle

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    register_bundle(
        bundle=Path(snakemake.input.bundle),
        model=snakemake.params.model,
        experiment=snakemake.params.experiment,
        uri=snakemake.params.uri,
        output=Path(snakemake.output.registered),
    )
