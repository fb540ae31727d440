"""The gate on a parity verdict."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maskmill.errors import MaskmillError
from maskmill.files import sha256_file
from maskmill.inference.artifacts import Artifact


def require_parity(verdict: Mapping[str, Any], path: Path, files: Mapping[str, Path]) -> list[Artifact]:
    """The artifacts of a verdict in which all of them passed.

    files: name → ONNX file that is to be packed. Raises MaskmillError that names every artifact whose masks are not
    equal enough to its model's, the limits that it exceeds and the worst pictures; and where the verdict is on others
    than these files.
    """
    lines = [line for judged in verdict["artifacts"] for line in _faults(judged, verdict["unit"])]
    if lines:
        raise MaskmillError(
            "What follows does not give the masks of the trained model; no bundle is packed.\n"
            + "\n".join(lines)
            + f"\nAll cases are in {path}, the worst ones are drawn in {path.with_suffix('')}. If the differences are "
            "acceptable raise export.limits in the config, or leave the precision out of export.precisions or "
            "export.openvino, or write export: {tensorrt: false}; if fp32 fails report the model options, since the "
            "export is wrong."
        )
    others = [name for name, file in files.items() if verdict["files"].get(name) != sha256_file(file)]
    if others:
        raise MaskmillError(
            f"{path} is not about {', '.join(others)} as exported now; delete it, so that Snakemake compares again"
        )
    return [Artifact(judged["runtime"], judged["precision"]) for judged in verdict["artifacts"]]


def _faults(judged: Mapping[str, Any], unit: str) -> Iterator[str]:
    if judged["not_finite"]:
        yield f"  - {judged['label']}: {judged['not_finite']} probabilities are no numbers (the precision overflows)"
    for measure in judged["exceeded"]:
        worst = judged["worst"][measure]
        where = f"{worst['class']} of {worst['id']}" if "class" in worst else worst["id"]
        of_unit = f" {unit}" if measure == "hd95_difference" else ""
        yield (
            f"  - {judged['label']}: {measure} {worst['value']:.3g}{of_unit} on {where}, "
            f"limit {judged['limits'][measure]:.3g}{of_unit}"
        )
