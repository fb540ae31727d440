"""Compare ONNX Runtime with PyTorch on whole validation pictures.

In: both models, recipe, validation pictures and labels. Out: parity.json (verdict) and a picture of the worst case.
"""

from pathlib import Path

from maskmill.export.parity import check_member_parity
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    check_member_parity(
        onnx=Path(snakemake.input.onnx),
        models=[Path(file) for file in snakemake.input.models],
        configs=[Path(file) for file in snakemake.input.configs],
        point=Path(snakemake.input.point[0]),
        samples=Path(snakemake.input.samples),
        splits=Path(snakemake.input.splits),
        labels=[Path(folder) for folder in snakemake.input.labels],
        tiling=snakemake.params.tiling,
        limits=snakemake.params.limits,
        verdict=Path(snakemake.output.verdict),
        worst_picture=Path(snakemake.output.picture),
    )
