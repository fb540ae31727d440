"""Build TensorRT engines on this machine's GPU, and compare them with PyTorch on whole validation pictures.

In: ONNX files, models, recipe, validation pictures and labels. Out: engines, tags, parity verdict, worst cases.
"""

from pathlib import Path

from maskmill.export.engine_job import build_checked_engines
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    build_checked_engines(
        onnx=[Path(file) for file in snakemake.input.onnx],
        precisions=snakemake.params.precisions,
        models=[Path(file) for file in snakemake.input.models],
        configs=[Path(file) for file in snakemake.input.configs],
        point=Path(snakemake.input.point[0]),
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        labels=[Path(folder) for folder in snakemake.input.labels],
        tiling=snakemake.params.tiling,
        limits=snakemake.params.limits,
        timings=Path(snakemake.params.timings),
        verdict=Path(snakemake.output.verdict),
        pictures=Path(snakemake.output.pictures),
    )
