"""Export a trained model. In: model.safetensors. Out: model.onnx, normalised tiles in, foreground probabilities out."""

from pathlib import Path

from maskmill.export.onnx import export_onnx
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    export_onnx(Path(snakemake.input.model[0]), Path(snakemake.output.onnx))
