"""Compare every export with PyTorch on whole validation pictures.

In: models and ONNX files, recipe, validation pictures and labels. Out: parity.json (verdict), pictures of the worst.
"""

from pathlib import Path

from maskmill.export.parity import check_member_parity
from maskmill.inference.artifacts import configured_artifacts
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    check_member_parity(
        onnx=[Path(file) for file in snakemake.input.onnx],
        artifacts=configured_artifacts(**snakemake.params.artifacts),
        models=[Path(file) for file in snakemake.input.models],
        configs=[Path(file) for file in snakemake.input.configs],
        point=Path(snakemake.input.point[0]),
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        labels=[Path(folder) for folder in snakemake.input.labels],
        tiling=snakemake.params.tiling,
        limits=snakemake.params.limits,
        verdict=Path(snakemake.output.verdict),
        pictures=Path(snakemake.output.pictures),
    )
