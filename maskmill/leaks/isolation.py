"""The last gate against leaks: nothing that a model was fitted or tuned with may have used a test sample."""

import os
from collections.abc import Iterable, Mapping, Sequence

from maskmill.errors import MaskmillError
from maskmill.files import read_json, read_table

EXCLUDED = "excluded"
"""In the place of a part: the sample is nearer to another part than `dataset.split.buffer`, and used nowhere."""

FORBIDDEN = {"test": "is a test sample", EXCLUDED: "is excluded, since it is too near to a sample of another part"}


def require_isolation(
    splits: str | os.PathLike,
    folds: Sequence[int],
    fingerprint: str | os.PathLike,
    point: str | os.PathLike,
    parity: str | os.PathLike,
    exports: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Check what members of these folds rest on: fingerprint.json, operating_point.json, parity.json.

    exports: what else was made of the model (calibration, verdicts on engines) → ids of the samples it was made with.
    See `check_isolation`; the normalisation of each fold is checked by itself.
    """
    rows = read_table(splits)
    for fold in folds:
        normalised = read_json(fingerprint)["folds"][fold]["samples"]
        check_isolation(rows, [fold], {f"normalisation ({fingerprint})": normalised})
    used = {
        f"thresholds and steps ({point})": read_json(point)["samples"],
        f"comparison of the export with the model ({parity})": [case["id"] for case in read_json(parity)["cases"]],
        **(exports or {}),
    }
    check_isolation(rows, folds, used)


def check_isolation(
    splits: Iterable[Mapping[str, str]], folds: Sequence[int], used: Mapping[str, Sequence[str]]
) -> None:
    """Check that no artifact was made with a test sample of one of the folds.

    splits: rows of splits.csv. used: what was made (normalisation, thresholds, …) → ids of the samples it was made
    with. Raises MaskmillError naming every artifact and every sample that it must not have used: those of the test,
    those that all folds exclude, and those that are not in the splits, of which nothing is known.
    """
    parts_of = {row["id"]: {row[f"fold{fold}"] for fold in folds} for row in splits}
    which = f"fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}"
    lines = []
    for artifact, ids in used.items():
        for sample in ids:
            if fault := _fault(parts_of.get(sample)):
                lines.append(f"  {artifact}: {sample} {fault}")
    if lines:
        raise MaskmillError(
            "what follows was made with samples that it must not have seen, so that the test figures of "
            f"{which} would be too good:\n"
            + "\n".join(lines)
            + "\nThese files do not belong to this splits.csv, or were edited. "
            "Delete them, so that Snakemake makes them again."
        )


def _fault(parts: set[str] | None) -> str | None:
    """What forbids using a sample that has these parts in the folds (None: it is not in the splits), if anything."""
    if parts is None:
        return "is not in the splits"
    if "test" in parts:
        return FORBIDDEN["test"]
    return FORBIDDEN[EXCLUDED] if parts == {EXCLUDED} else None
