"""Relaxed precision and recall, which forgive a shift of a few pixels, and their break-even.

The measure of the Massachusetts Roads and Buildings data sets, whose labels are a few pixels off. A volume is measured
slice by slice.

References
----------
.. [1] Mnih & Hinton (2010), "Learning to detect roads in high-resolution aerial images", ECCV.
.. [2] Mnih (2013), "Machine learning for aerial image labeling", PhD thesis, University of Toronto, section 3.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from maskmill.metrics import LEVELS

RELAXATION = 3
"""Distance in pixels, between pixel centres, within which a pixel counts as found: rho of [2]."""


@dataclass(frozen=True)
class RelaxedCurve:
    """Pixels at each of the thresholds 0, 1, … 255 of a stored probability; curves of several pictures add up.

    predicted: int64 (256), pixels that reach the threshold. right: those of them near a pixel of the reference.
    found: pixels of the reference near one that reaches the threshold. reference: pixels of the reference.
    """

    predicted: np.ndarray
    right: np.ndarray
    found: np.ndarray
    reference: int

    def __add__(self, other: "RelaxedCurve") -> "RelaxedCurve":
        return RelaxedCurve(
            self.predicted + other.predicted,
            self.right + other.right,
            self.found + other.found,
            self.reference + other.reference,
        )

    def precision(self, level: int) -> float | None:
        """Share of the predicted pixels that lie near the reference; None where nothing is predicted."""
        return float(self.right[level] / self.predicted[level]) if self.predicted[level] else None

    def recall(self, level: int) -> float | None:
        """Share of the reference that lies near a predicted pixel; None where the reference is empty."""
        return float(self.found[level] / self.reference) if self.reference else None

    def break_even(self) -> float | None:
        """Precision where it equals recall, between two thresholds by a straight line; the highest of several.

        The curve ends, as usual, at recall 0 and precision 1, where nothing is predicted. None where the reference is
        empty.
        """
        if not self.reference:
            return None
        some = self.predicted > 0
        precision = np.append(self.right[some] / self.predicted[some], 1.0)
        recall = np.append(self.found[some] / self.reference, 0.0)
        ahead = precision - recall
        here, there = ahead[:-1], ahead[1:]
        crossing = np.flatnonzero((here <= 0) & (there >= 0) | (here >= 0) & (there <= 0))
        steps = (there - here)[crossing]
        along = np.divide(-here[crossing], steps, out=np.zeros(len(crossing)), where=steps != 0)
        return float(np.max(precision[crossing] + along * np.diff(precision)[crossing]))


def relaxed_curve(
    levels: np.ndarray, reference: np.ndarray, valid: np.ndarray, radius: int = RELAXATION
) -> RelaxedCurve:
    """Count what `RelaxedCurve` holds.

    levels: stored probabilities of a class, uint8 (D, H, W); a mask as 0 and 1, whose scores are those at level 1.
    reference, valid: boolean, of the same shape; pixels that are not valid belong to neither mask.
    """
    disc = _disc(radius)
    predicted, right, found = np.zeros((3, LEVELS + 1), np.int64)
    for page, referred, counted in zip(np.where(valid, levels, 0), reference & valid, valid, strict=True):
        near = cv2.dilate(referred.astype(np.uint8), disc) != 0
        predicted += _reaching(page[counted])
        right += _reaching(page[near & counted])
        found += _reaching(cv2.dilate(page, disc)[referred])
    return RelaxedCurve(predicted, right, found, int(np.count_nonzero(reference & valid)))


def _disc(radius: int) -> np.ndarray:
    offsets = np.arange(-radius, radius + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


def _reaching(levels: np.ndarray) -> np.ndarray:
    """How many values reach each threshold from 0 to 255."""
    return np.bincount(levels, minlength=LEVELS + 1)[::-1].cumsum()[::-1]
