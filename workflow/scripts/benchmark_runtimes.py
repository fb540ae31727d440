"""Time PyTorch and every export on one tile and one picture. In: models, recipe, verdict. Out: runtimes.csv."""

from pathlib import Path

from maskmill.export.benchmark import benchmark_runtimes
from maskmill.inference.artifacts import Artifact, configured_artifacts
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    benchmark_runtimes(
        models=[Path(file) for file in snakemake.input.models],
        onnx=[Path(file) for file in snakemake.input.onnx],
        artifacts=[
            *configured_artifacts(**snakemake.params.artifacts),
            *(Artifact("tensorrt", precision) for precision in snakemake.params.engines),
        ],
        configs=[Path(file) for file in snakemake.input.configs],
        point=Path(snakemake.input.point[0]),
        verdicts=[Path(file) for file in (snakemake.input.parity, snakemake.input.engine_parity) if file],
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        tiling=snakemake.params.tiling,
        threads=snakemake.threads,
        output=Path(snakemake.output.table),
    )
