"""Export a trained model, or an ensemble, in FP16. In: weights and config.yaml of its members.

Out: model.fp16.onnx, whose network computes in float16; tiles and probabilities are float32.
"""

from pathlib import Path

from maskmill.export.onnx import export_members
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    export_members(
        models=[Path(file) for file in snakemake.input.models],
        configs=[Path(file) for file in snakemake.input.configs],
        output=Path(snakemake.output.onnx),
        precision="fp16",
    )
