"""Pack the bundle, or fail if the export is not equal to the model. In: models, verdict, recipe. Out: bundle folder."""

from pathlib import Path

from maskmill.deployment.packing import pack_member
from maskmill.logs import configure_logging

if __name__ == "__main__":
    configure_logging(snakemake.log[0])
    pack_member(
        onnx=Path(snakemake.input.onnx),
        model=Path(snakemake.input.model[0]),
        config=Path(snakemake.input.config[0]),
        point=Path(snakemake.input.point[0]),
        parity=Path(snakemake.input.parity),
        summary=Path(snakemake.input.summary),
        splits=Path(snakemake.input.splits),
        fingerprint=Path(snakemake.input.fingerprint),
        tiling=snakemake.params.tiling,
        output=Path(snakemake.output.bundle),
    )
