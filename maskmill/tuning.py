"""The operating point: thresholds and minimum areas chosen on validation pictures, never on the test."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_json
from maskmill.images import read_label_png
from maskmill.inference import LEVELS
from maskmill.logs import progress
from maskmill.postprocess import OperatingPoint, decide_mask, threshold_level


def choose_operating_point(
    probabilities: Path,
    labels: Sequence[Path],
    splits: Path,
    classes: Classes,
    fold: int,
    thresholds: Sequence[float],
    minimum_areas: Sequence[int],
    output: Path,
) -> None:
    """Choose on the validation pictures of `fold` and write the choice with the scores behind it as JSON.

    Each class's threshold is the one with the best mean IoU over pictures, its minimum area the one with the best mean
    IoU of the final masks at these thresholds. A picture where a class neither is nor is predicted does not count; one
    where it is predicted but absent counts as 0. Ties go to the threshold nearest 0.5 and to the smaller area.
    """
    ids = validation_labels(splits, labels, fold)
    cases = [(np.load(probabilities / f"{name}.npy"), read_label_png(label)) for name, label in ids.items()]
    curves = _mean_curve([_threshold_curve(case, reference) for case, reference in progress(cases, "thresholds")])
    levels = [threshold_level(threshold) for threshold in thresholds]
    chosen = tuple(_best_threshold(curve[levels], thresholds) for curve in curves)
    areas = [_best_area(cases, chosen, value, minimum_areas) for value in progress(range(1, len(classes) + 1), "areas")]
    point = OperatingPoint(chosen, tuple(area for area, _ in areas))
    evidence = _evidence(cases, curves[:, levels], point, classes, thresholds, areas)
    write_json(output, point.as_dict() | evidence | {"samples": list(ids)})


def validation_labels(splits: Path, labels: Sequence[Path], fold: int) -> dict[str, Path]:
    """Sample id → label image of the fold's validation pictures, in the order of the table."""
    folders = {folder.name: folder for folder in labels}
    rows = [row for row in read_table(splits) if row[f"fold{fold}"] == "validation"]
    return {row["id"]: folders[row["shard"]] / f"{row['id']}.png" for row in rows}


def _threshold_curve(probabilities: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """IoU of each class, binarised by itself, at every level 0–255: (K, 256), NaN where nothing is nor is predicted."""
    if probabilities.shape[1:] != reference.shape:
        raise MaskmillError(f"probabilities of {probabilities.shape[1:]} pixels do not fit labels of {reference.shape}")
    curve = np.full((len(probabilities), LEVELS + 1), np.nan)
    valid = reference != IGNORE
    for index, probability in enumerate(probabilities):
        is_class = reference[valid] == index + 1
        inside = np.bincount(probability[valid][is_class], minlength=LEVELS + 1)
        outside = np.bincount(probability[valid][~is_class], minlength=LEVELS + 1)
        hits = inside[::-1].cumsum()[::-1]
        union = is_class.sum() + outside[::-1].cumsum()[::-1]
        np.divide(hits, union, out=curve[index], where=union > 0)
    return curve


def _mean_curve(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over pictures of the values that are defined: (K, 256), NaN where none is, as of a class that is nowhere."""
    stacked = np.stack(curves)
    counts = np.count_nonzero(~np.isnan(stacked), axis=0)
    return np.divide(np.nansum(stacked, axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def _best_threshold(scores: np.ndarray, thresholds: Sequence[float]) -> float:
    scores = np.nan_to_num(scores, nan=-1.0)
    return max(zip(scores.round(6), thresholds, strict=True), key=lambda pair: (pair[0], -abs(pair[1] - 0.5)))[1]


def _best_area(
    cases: Sequence[tuple[np.ndarray, np.ndarray]], thresholds: tuple[float, ...], value: int, areas: Sequence[int]
) -> tuple[int, list[float | None]]:
    """The best minimum area of the class `value`, and the mean IoU that each candidate gives."""
    scores = []
    for area in areas:
        minimum = [0] * len(thresholds)
        minimum[value - 1] = area
        point = OperatingPoint(thresholds, tuple(minimum))
        scores.append(mean_iou(((decide_mask(case, point), reference) for case, reference in cases), value))
    best = max(
        zip(scores, areas, strict=True), key=lambda pair: (-1 if pair[0] is None else round(pair[0], 6), -pair[1])
    )
    return best[1], scores


def mean_iou(pairs: Iterable[tuple[np.ndarray, np.ndarray]], value: int) -> float | None:
    """Mean over (mask, reference) pairs of the IoU of the class `value`; None where no picture defines it."""
    scores = []
    for mask, reference in pairs:
        valid = reference != IGNORE
        predicted, is_class = (mask == value) & valid, reference == value
        union = np.count_nonzero(predicted | is_class)
        if union:
            scores.append(np.count_nonzero(predicted & is_class) / union)
    return float(np.mean(scores)) if scores else None


def _evidence(
    cases: Sequence[tuple[np.ndarray, np.ndarray]],
    curves: np.ndarray,
    point: OperatingPoint,
    classes: Classes,
    thresholds: Sequence[float],
    areas: Sequence[tuple[int, list[float | None]]],
) -> dict[str, Any]:
    """What the choice rests on: the scores of every candidate, and the IoU before and after."""
    plain = OperatingPoint((0.5,) * len(classes), (0,) * len(classes))
    decided = {
        name: [(decide_mask(case, chosen), reference) for case, reference in cases]
        for name, chosen in (("iou_at_half", plain), ("iou", point))
    }
    validation = {
        class_name: {
            "threshold_iou": [None if np.isnan(score) else round(float(score), 6) for score in curves[value - 1]],
            "minimum_area_iou": areas[value - 1][1],
        }
        | {name: mean_iou(pairs, value) for name, pairs in decided.items()}
        for value, class_name in enumerate(classes.names, 1)
    }
    return {"candidates": {"thresholds": list(thresholds)}, "pictures": len(cases), "validation": validation}
