"""Overlap of two masks: counts of pixels, and the ratios made of them.

References
----------
.. [1] Taha & Hanbury (2015), "Metrics for evaluating 3D medical image segmentation", BMC Medical Imaging 15:29.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """Pixels found rightly (`tp`), found wrongly (`fp`), missed (`fn`) and rightly left out (`tn`).

    Ratios are in [0, 1], None where undefined.
    """

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def iou(self) -> float | None:
        """Intersection over union (Jaccard): tp / (tp + fp + fn); undefined where both masks are empty."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def dice(self) -> float | None:
        """Dice (F1): 2 tp / (2 tp + fp + fn); undefined where both masks are empty."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float | None:
        """Share of the prediction that is right: tp / (tp + fp); undefined where the prediction is empty."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the reference that is found: tp / (tp + fn); undefined where the reference is empty."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float | None:
        """Share of what is not the class that is left out: tn / (tn + fp); undefined where the reference is all."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def accuracy(self) -> float | None:
        """Share of the pixels that are right: (tp + tn) / (tp + fp + fn + tn); undefined where no pixel counts."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


def confusion(prediction: np.ndarray, reference: np.ndarray, valid: np.ndarray | None = None) -> Confusion:
    """Count the pixels of two boolean masks of one shape; only pixels in the boolean mask `valid` count, if given."""
    if valid is not None:
        prediction, reference = prediction & valid, reference & valid
    counted = prediction.size if valid is None else int(np.count_nonzero(valid))
    tp = int(np.count_nonzero(prediction & reference))
    fp, fn = int(np.count_nonzero(prediction)) - tp, int(np.count_nonzero(reference)) - tp
    return Confusion(tp, fp, fn, counted - tp - fp - fn)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
