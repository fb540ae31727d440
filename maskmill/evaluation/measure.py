"""Measure masks against their references: one row of metrics a case and class.

Distances in pictures are in pixels, in volumes in the unit of their spacing (millimetres, or µm of microscopy).
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.data.cases import Case, label_paths, read_cases, read_mask
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.imaging.volumes import stack_header
from maskmill.logs import progress
from maskmill.metrics import CASE_COLUMNS, PIXELS
from maskmill.metrics.overlap import confusion
from maskmill.metrics.surface import surface_distances
from maskmill.wording import count_of

logger = logging.getLogger(__name__)


def case_rows(
    sample_id: str,
    group: str,
    prediction: np.ndarray,
    reference: np.ndarray,
    classes: Sequence[str],
    tolerance: float = 2.0,
    spacing: Sequence[float] | None = None,
    unit: str = PIXELS,
) -> list[dict[str, Any]]:
    """Measure one case: a row (columns `CASE_COLUMNS`) for each class, None where a metric is undefined.

    prediction, reference: class indices (D, H, W) of one size, D = 1 of a picture. Pixels whose reference is 255
        (ignore) are left out of every number.
    spacing: of a volume's slices, rows and columns in `unit`; None: 1 along each, which is what pixels are.
    tolerance: of boundary F1 and NSD, in the same unit. Distances are in it too.
    """
    if len(reference) == 1:
        prediction, reference = prediction[0], reference[0]
    valid = reference != IGNORE
    rows = []
    for value, name in enumerate(classes, 1):
        predicted, referred = (prediction == value) & valid, reference == value
        counts = confusion(predicted, referred, valid)
        distances = surface_distances(predicted, referred, spacing=spacing)
        rows.append(
            {
                "id": sample_id,
                "group": group,
                "class": name,
                "unit": unit,
                "reference_pixels": counts.tp + counts.fn,
                "predicted_pixels": counts.tp + counts.fp,
                "tp": counts.tp,
                "fp": counts.fp,
                "fn": counts.fn,
                "tn": counts.tn,
                "iou": counts.iou,
                "dice": counts.dice,
                "precision": counts.precision,
                "recall": counts.recall,
                "specificity": counts.specificity,
                "accuracy": counts.accuracy,
                "boundary_f1": distances.boundary_f1(tolerance),
                "boundary_iou": distances.boundary_iou,
                "nsd": distances.nsd(tolerance),
                "hd95": distances.hd95(),
                "hd": distances.hd(),
                "assd": distances.assd(),
            }
        )
    return rows


def evaluate_masks(
    masks: str | PathLike,
    labels: Sequence[str | PathLike],
    samples: str | PathLike,
    splits: str | PathLike,
    classes: Sequence[str] | Mapping[str, str],
    fold: int,
    split: str,
    tolerance: float,
    output: str | PathLike,
    threads: int = 1,
) -> None:
    """Measure the masks of a fold's "validation" or "test" cases and write the table of metrics (`CASE_COLUMNS`).

    masks: folder of the predictions. labels: the label folders of the shards, each named after its shard.
    samples: table of the samples. splits: CSV with id, group, shard and fold columns. classes: the `dataset.classes`
    option. tolerance: of boundary F1 and NSD, in the unit of distances, see `distance_unit`.

    Raises MaskmillError, naming all cases concerned, for missing files, differing sizes and values that are no class.
    """
    names = Classes.from_config(classes).names
    cases, unit = read_cases(samples, splits, fold, split), distance_unit(samples)
    files = [(case.mask_path(masks), label) for case, label in zip(cases, label_paths(cases, labels), strict=True)]
    _refuse("files are missing; make them again", [str(p) for pair in files for p in pair if not p.is_file()])
    with ThreadPoolExecutor(threads) as pool:
        measured = pool.map(lambda case, pair: _measure(case, *pair, names, tolerance, unit), cases, files)
        results = list(progress(measured, f"measured {split} masks", total=len(cases)))
    _refuse("masks do not fit their references; predict them again", [r for r in results if isinstance(r, str)])
    rows = [row for result in results for row in result]
    write_table(output, rows, CASE_COLUMNS)
    for name, outcome in count_outcomes(rows).items():
        logger.info("%s: %s", name, describe_outcome(outcome))


def distance_unit(samples: str | PathLike) -> str:
    """The unit of distances in a data set: that of its volumes, such as "mm"; "px" of pictures, and where units differ.

    samples: table of the samples; all of them decide, so that every split of a data set is measured alike.
    """
    counts = Counter(_unit(Case.of_row(row)) for row in read_table(samples))
    if len(counts) == 1:
        return next(iter(counts))
    found = ", ".join(f"{count} in {unit}" for unit, count in counts.most_common())
    logger.warning("sizes of pixels are given in several units (%s); distances are measured in pixels", found)
    return PIXELS


def _unit(case: Case) -> str:
    if not case.is_volume:
        return PIXELS
    return "mm" if Path(case.image).is_dir() else stack_header(case.image).unit  # a folder is a DICOM series


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


def describe_outcome(outcome: Mapping[str, int], one: str = "case") -> str:
    """One line of words for the counts of a class made by `count_outcomes`; one: what a case is called."""
    return (
        f"{count_of(outcome['cases'], one)}; absent and not found (not counted in means): {outcome['both_empty']}; "
        f"absent but found: {outcome['empty_reference']} "
        f"({count_of(outcome['false_positive_pixels_on_empty'], 'pixel')}); "
        f"present but not found: {outcome['empty_prediction']}"
    )


def _measure(
    case: Case, mask: Path, label: Path, classes: Sequence[str], tolerance: float, unit: str
) -> list[dict[str, Any]] | str:
    """Rows of a case, or what is wrong with it."""
    try:
        prediction, reference = read_mask(mask), read_mask(label)
    except MaskmillError as error:
        return str(error)
    if misfit := describe_misfit(mask, prediction, label, reference, len(classes)):
        return misfit
    spacing = None if unit == PIXELS else stack_header(case.image).spacing
    return case_rows(case.id, case.group, prediction, reference, classes, tolerance, spacing, unit)


def describe_misfit(mask: Path, prediction: np.ndarray, label: Path, reference: np.ndarray, classes: int) -> str | None:
    """Why a mask (D, H, W) of a file cannot be held against its reference, naming the files; None where it can."""
    if prediction.shape != reference.shape:
        axes = slice(None, None, -1) if max(len(prediction), len(reference)) > 1 else slice(None, 0, -1)
        sizes = [" × ".join(map(str, values.shape[axes])) for values in (prediction, reference)]
        return f"{mask} has {sizes[0]} pixels, {label} has {sizes[1]}"
    for path, values in ((mask, prediction), (label, reference)):
        highest = int(values.max(where=values != IGNORE, initial=0))
        if highest > classes:
            return f"{path} has the value {highest}, but there are only {classes} classes"
    return None


def _refuse(what: str, offenders: Sequence[str]) -> None:
    if offenders:
        raise MaskmillError(f"{len(offenders)} {what}:\n" + "\n".join(offenders))
