"""Quantise an export to INT8. In: model.onnx, config.yaml of its members, training pictures. Out: an INT8 model."""

from pathlib import Path

from maskmill.export.quantization import quantize_members
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    quantize_members(
        onnx_path=Path(snakemake.input.onnx),
        configs=[Path(file) for file in snakemake.input.configs],
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        tiling=snakemake.params.tiling,
        cases=snakemake.params.cases,
        output=Path(snakemake.output.onnx),
        symmetric=snakemake.wildcards.quantisation.endswith("symmetric"),
    )
