"""Quantise an export to INT8. In: model.onnx, config.yaml of its members, training pictures. Out: model.int8.onnx."""

from pathlib import Path

from maskmill.export.quantization import quantize_members
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    quantize_members(
        onnx_path=Path(snakemake.input.onnx),
        configs=[Path(file) for file in snakemake.input.configs],
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        tiling=snakemake.params.tiling,
        cases=snakemake.params.cases,
        output=Path(snakemake.output.onnx),
    )
