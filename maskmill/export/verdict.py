"""The gate on a parity verdict."""

from pathlib import Path
from typing import Any

from maskmill.errors import MaskmillError


def require_parity(verdict: dict[str, Any], path: Path) -> None:
    """Raise MaskmillError naming the worst picture if the verdict says that an export is not equal to its model."""
    if verdict["passed"]:
        return
    lines = [
        f"  - {measure}: {verdict['worst'][measure]['value']:.3g} on {verdict['worst'][measure]['id']}, "
        f"limit {limit:.3g}"
        for measure, limit in verdict["limits"].items()
        if verdict["worst"][measure]["value"] > limit
    ]
    raise MaskmillError(
        "The exported model does not give the masks of the trained one; no bundle is packed.\n"
        + "\n".join(lines)
        + f"\nAll cases are in {path}. If the differences are acceptable raise export.mask_disagreement or "
        "export.iou_difference in the config; otherwise report the model options, since the export is wrong."
    )
