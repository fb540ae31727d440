"""What the choice of an operating point goes by: scores of one picture, None or NaN where they are undefined."""

import numpy as np

from maskmill.classes import IGNORE
from maskmill.inference.sliding_window import LEVELS


def threshold_curve(probabilities: np.ndarray, reference: np.ndarray) -> np.ndarray:
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


def iou(predicted: np.ndarray, reference: np.ndarray, value: int) -> float | None:
    """IoU of a boolean mask with the class `value` of a reference of label values; None where both are empty.

    Ignored pixels belong to neither.
    """
    is_class = reference == value
    hits = np.count_nonzero(predicted & is_class)
    union = np.count_nonzero(predicted & (reference != IGNORE)) + np.count_nonzero(is_class) - hits
    return hits / union if union else None
