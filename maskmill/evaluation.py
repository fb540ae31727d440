"""Measure masks against their references: one row of metrics a case and class."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.images import read_label_png
from maskmill.logs import progress
from maskmill.metrics import CASE_COLUMNS
from maskmill.metrics.overlap import confusion
from maskmill.metrics.surface import surface_distances

logger = logging.getLogger(__name__)


def case_rows(
    sample_id: str,
    group: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    classes: Sequence[str],
    tolerance: float = 2.0,
) -> list[dict[str, Any]]:
    """Measure one case: a row (columns `CASE_COLUMNS`) for each class, None where a metric is undefined.

    prediction, reference: label images (H, W) of class indices, of one size. Pixels whose reference is 255 (ignore)
        are left out of every number.
    tolerance: of boundary F1, in pixels. HD95 is in pixels too.
    """
    valid = reference != IGNORE
    rows = []
    for value, name in enumerate(classes, 1):
        predicted, referred = (prediction == value) & valid, reference == value
        counts = confusion(predicted, referred)
        distances = surface_distances(predicted, referred)
        rows.append(
            {
                "id": sample_id,
                "group": group,
                "class": name,
                "reference_pixels": counts.tp + counts.fn,
                "predicted_pixels": counts.tp + counts.fp,
                "tp": counts.tp,
                "fp": counts.fp,
                "fn": counts.fn,
                "iou": counts.iou,
                "dice": counts.dice,
                "precision": counts.precision,
                "recall": counts.recall,
                "boundary_f1": distances.boundary_f1(tolerance),
                "hd95": distances.hd95(),
            }
        )
    return rows


def evaluate_masks(
    masks: str | PathLike,
    labels: Sequence[str | PathLike],
    splits: str | PathLike,
    classes: Sequence[str] | Mapping[str, str],
    fold: int,
    split: str,
    tolerance: float,
    output: str | PathLike,
    threads: int = 1,
) -> None:
    """Measure the masks of a fold's "validation" or "test" cases and write the table of metrics (`CASE_COLUMNS`).

    masks: folder of the predictions, <id>.png. labels: the label folders of the shards, each named after its shard.
    splits: CSV with id, group, shard and fold columns. classes: the `dataset.classes` option.

    Raises MaskmillError, naming all cases concerned, for missing files, differing sizes and values that are no class.
    """
    names = Classes.from_config(classes).names
    samples = samples_of_split(splits, fold, split)
    folders = {Path(folder).name: Path(folder) for folder in labels}
    _refuse("shards have no label folder; draw their labels", sorted({s["shard"] for s in samples} - folders.keys()))
    pairs = [
        (sample, Path(masks) / f"{sample['id']}.png", folders[sample["shard"]] / f"{sample['id']}.png")
        for sample in samples
    ]
    _refuse("files are missing; make them again", [str(p) for pair in pairs for p in pair[1:] if not p.is_file()])
    with ThreadPoolExecutor(threads) as pool:
        measured = pool.map(lambda pair: _measure(*pair, names, tolerance), pairs)
        results = list(progress(measured, f"measured {split} masks", total=len(pairs)))
    _refuse("masks do not fit their references; predict them again", [r for r in results if isinstance(r, str)])
    rows = [row for result in results for row in result]
    write_table(output, rows, CASE_COLUMNS)
    for name, outcome in count_outcomes(rows).items():
        logger.info("%s: %s", name, describe_outcome(outcome))


def samples_of_split(splits: str | PathLike, fold: int, split: str) -> list[dict[str, str]]:
    """Rows of splits.csv that belong to a split of a fold, sorted by id; MaskmillError if there are none."""
    column = f"fold{fold}"
    samples = [row for row in read_table(splits) if row.get(column) == split]
    if not samples:
        raise MaskmillError(f"{splits} has no {split} case in column {column}; change dataset.split, or add pictures")
    return sorted(samples, key=lambda row: row["id"])


def count_outcomes(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """For each class of a table of metrics, count the cases in which a mask is empty (see docs/metrics.md).

    cases; both_empty (left out of the overlap means); empty_reference (something was found where nothing is) with the
    area found there, false_positive_pixels_on_empty; empty_prediction (nothing was found where something is).
    """
    counts: dict[str, dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(
            ("cases", "both_empty", "empty_reference", "empty_prediction", "false_positive_pixels_on_empty"), 0
        )
    )
    for row in rows:
        outcome = counts[row["class"]]
        reference, predicted = int(row["reference_pixels"]), int(row["predicted_pixels"])
        outcome["cases"] += 1
        outcome["both_empty"] += not reference and not predicted
        outcome["empty_prediction"] += bool(reference) and not predicted
        if predicted and not reference:
            outcome["empty_reference"] += 1
            outcome["false_positive_pixels_on_empty"] += predicted
    return dict(counts)


def describe_outcome(outcome: Mapping[str, int]) -> str:
    """One line of words for the counts of a class made by `count_outcomes`."""
    return (
        f"{outcome['cases']} pictures; absent and not found (not counted in means): {outcome['both_empty']}; "
        f"absent but found: {outcome['empty_reference']} ({outcome['false_positive_pixels_on_empty']} pixels); "
        f"present but not found: {outcome['empty_prediction']}"
    )


def _measure(
    sample: Mapping[str, str], mask: Path, label: Path, classes: Sequence[str], tolerance: float
) -> list[dict[str, Any]] | str:
    """Rows of a case, or what is wrong with it."""
    try:
        prediction, reference = read_label_png(mask), read_label_png(label)
    except MaskmillError as error:
        return str(error)
    if prediction.shape != reference.shape:
        sizes = [f"{image.shape[1]} × {image.shape[0]}" for image in (prediction, reference)]
        return f"{mask} has {sizes[0]} pixels, {label} has {sizes[1]}"
    for path, image in ((mask, prediction), (label, reference)):
        highest = int(image.max(where=image != IGNORE, initial=0))
        if highest > len(classes):
            return f"{path} has the value {highest}, but there are only {len(classes)} classes"
    return case_rows(sample["id"], sample["group"], prediction, reference, classes, tolerance)


def _refuse(what: str, offenders: Sequence[str]) -> None:
    if offenders:
        raise MaskmillError(f"{len(offenders)} {what}:\n" + "\n".join(offenders))
