"""The operating point: thresholds and minimum areas chosen on validation pictures, never on the test."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.data.cases import label_paths, read_cases, read_mask
from maskmill.errors import MaskmillError
from maskmill.files import write_json
from maskmill.inference.banded import find_components
from maskmill.inference.postprocess import OperatingPoint, apply_thresholds, threshold_level
from maskmill.inference.sliding_window import LEVELS
from maskmill.logs import progress


def choose_operating_point(
    probabilities: Path,
    labels: Sequence[Path],
    samples: Path,
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
    cases = read_cases(samples, splits, fold, "validation")
    files = [
        (probabilities / f"{case.id}.npy", label) for case, label in zip(cases, label_paths(cases, labels), strict=True)
    ]
    curves = _mean([_threshold_curve(*_read(*pair)) for pair in progress(files, "thresholds")])
    levels = [threshold_level(threshold) for threshold in thresholds]
    chosen = tuple(_best_threshold(curve[levels], thresholds) for curve in curves)
    tried = [_candidate_scores(*_read(*pair), chosen, minimum_areas) for pair in progress(files, "areas")]
    at_half, by_area = _mean([half for half, _ in tried]), _mean([areas for _, areas in tried])
    best = [_best_area(scores, minimum_areas) for scores in by_area]
    point = OperatingPoint(chosen, tuple(minimum_areas[index] for index in best))
    validation = {
        name: {
            "threshold_iou": _listed(curves[number, levels].round(6)),
            "minimum_area_iou": _listed(by_area[number]),
            "iou_at_half": _listed(at_half)[number],
            "iou": _listed(by_area[number])[best[number]],
        }
        for number, name in enumerate(classes.names)
    }
    evidence = {"candidates": {"thresholds": list(thresholds)}, "pictures": len(cases), "validation": validation}
    write_json(output, point.as_dict() | evidence | {"samples": [case.id for case in cases]})


def _read(probabilities: Path, label: Path) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (K, D, H, W), memory-mapped, and label values (D, H, W) of one picture."""
    values, reference = np.load(probabilities, mmap_mode="r"), read_mask(label)
    if values.shape[1:] != reference.shape:
        raise MaskmillError(f"{probabilities} is of {values.shape[1:]} pixels, {label} of {reference.shape}")
    return values, reference


def _threshold_curve(probabilities: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """IoU of each class, binarised by itself, at every level 0–255: (K, 256), NaN where nothing is nor is predicted."""
    curve = np.full((len(probabilities), LEVELS + 1), np.nan)
    for index in range(len(probabilities)):
        inside, outside = np.zeros((2, LEVELS + 1), np.int64)
        for probability, labels in zip(probabilities[index], reference, strict=True):
            is_class, valid = labels == index + 1, labels != IGNORE
            inside += np.bincount(probability[is_class], minlength=LEVELS + 1)
            outside += np.bincount(probability[valid & ~is_class], minlength=LEVELS + 1)
        hits = inside[::-1].cumsum()[::-1]
        union = inside.sum() + outside[::-1].cumsum()[::-1]
        np.divide(hits, union, out=curve[index], where=union > 0)
    return curve


def _candidate_scores(
    probabilities: np.ndarray, reference: np.ndarray, thresholds: tuple[float, ...], areas: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """IoU of each class in the mask at 0.5 (K), and at `thresholds` with each minimum area (K, areas); NaN: undefined.

    A class's minimum area takes nothing from other classes, so each is tried by itself.
    """
    plain = apply_thresholds(probabilities, [0.5] * len(thresholds))
    values = range(1, len(thresholds) + 1)
    at_half = np.array([_nan_or(iou(plain == value, reference, value)) for value in values])
    mask = apply_thresholds(probabilities, thresholds)
    by_area = np.empty((len(thresholds), len(areas)))
    for value in values:
        components, sizes = find_components(mask == value)
        for number, area in enumerate(areas):
            large = sizes >= area
            large[0] = False
            by_area[value - 1, number] = _nan_or(iou(large[components], reference, value))
    return at_half, by_area


def iou(predicted: np.ndarray, reference: np.ndarray, value: int) -> float | None:
    """IoU of a boolean mask with the class `value` of a reference of label values; None where both are empty.

    Ignored pixels belong to neither.
    """
    is_class = reference == value
    hits = np.count_nonzero(predicted & is_class)
    union = np.count_nonzero(predicted & (reference != IGNORE)) + np.count_nonzero(is_class) - hits
    return hits / union if union else None


def _nan_or(score: float | None) -> float:
    return np.nan if score is None else score


def _mean(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over pictures of the scores that are defined; NaN where none is, as of a class that is nowhere."""
    stacked = np.stack(scores)
    counts = np.count_nonzero(~np.isnan(stacked), axis=0)
    return np.divide(np.nansum(stacked, axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def _best_threshold(scores: np.ndarray, thresholds: Sequence[float]) -> float:
    scores = np.nan_to_num(scores, nan=-1.0)
    return max(zip(scores.round(6), thresholds, strict=True), key=lambda pair: (pair[0], -abs(pair[1] - 0.5)))[1]


def _best_area(scores: np.ndarray, areas: Sequence[int]) -> int:
    """Index of the area with the best score, the smallest among equals."""
    rounded = np.nan_to_num(scores, nan=-1.0).round(6)
    return max(range(len(areas)), key=lambda index: (rounded[index], -areas[index]))


def _listed(scores: np.ndarray) -> list[float | None]:
    return [None if np.isnan(score) else float(score) for score in scores]
