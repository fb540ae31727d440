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
    fold: int,
    fingerprint: str | os.PathLike,
    point: str | os.PathLike,
    parity: str | os.PathLike,
) -> None:
    """Check what a member rests on: fingerprint.json, operating_point.json, parity.json. See `check_isolation`."""
    used = {
        f"normalisation ({fingerprint})": read_json(fingerprint)["folds"][fold]["samples"],
        f"thresholds and steps ({point})": read_json(point)["samples"],
        f"comparison of the export with the model ({parity})": [case["id"] for case in read_json(parity)["cases"]],
    }
    check_isolation(read_table(splits), fold, used)


def check_isolation(splits: Iterable[Mapping[str, str]], fold: int, used: Mapping[str, Sequence[str]]) -> None:
    """Check that no artifact was made with a test sample of the fold.

    splits: rows of splits.csv. used: what was made (normalisation, thresholds, …) → ids of the samples it was made
    with. Raises MaskmillError naming every artifact and every sample that it must not have used: those of the test,
    excluded ones, and those that are not in the splits, of which nothing is known.
    """
    part_of = {row["id"]: row[f"fold{fold}"] for row in splits}
    lines = []
    for artifact, ids in used.items():
        for sample in ids:
            part = part_of.get(sample)
            if part is None or part in FORBIDDEN:
                lines.append(f"  {artifact}: {sample} {FORBIDDEN.get(part, 'is not in the splits')}")
    if lines:
        raise MaskmillError(
            f"what follows was made with samples that it must not have seen, so that the test figures of fold {fold} "
            "would be too good:\n"
            + "\n".join(lines)
            + "\nThese files do not belong to this splits.csv, or were edited. "
            "Delete them, so that Snakemake makes them again."
        )
