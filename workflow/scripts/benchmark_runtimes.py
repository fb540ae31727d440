"""Time PyTorch and ONNX Runtime on one tile. In: both models, config. Out: runtimes.csv (size, load time, latency)."""

from pathlib import Path

from maskmill.export.benchmark import benchmark_runtimes
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    benchmark_runtimes(
        models=[Path(file) for file in snakemake.input.models],
        onnx=Path(snakemake.input.onnx),
        configs=[Path(file) for file in snakemake.input.configs],
        tiling=snakemake.params.tiling,
        threads=snakemake.threads,
        output=Path(snakemake.output.table),
    )
