"""Pack the bundle, or fail if the export is not equal to the model. In: models, verdict, recipe. Out: bundle folder."""

from pathlib import Path

from maskmill.deployment.packing import pack_members
from maskmill.jobs import begin_job

if __name__ == "__main__":
    begin_job(snakemake.log[0], snakemake.output)
    pack_members(
        onnx=[Path(file) for file in snakemake.input.onnx],
        models=[Path(file) for file in snakemake.input.models],
        configs=[Path(file) for file in snakemake.input.configs],
        point=Path(snakemake.input.point[0]),
        parity=Path(snakemake.input.parity),
        engines=[Path(file) for file in snakemake.input.engines],
        engine_parity=Path(snakemake.input.engine_parity) if snakemake.input.engines else None,
        summary=Path(snakemake.input.summary),
        splits=Path(snakemake.input.splits),
        fingerprint=Path(snakemake.input.fingerprint),
        tiling=snakemake.params.tiling,
        output=Path(snakemake.output.bundle),
    )
