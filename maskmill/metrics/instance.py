"""Objects one by one: panoptic quality, average precision, aggregated Jaccard index.

Objects are the numbers of an image, 0 is none. A predicted and a reference object match where their IoU is greater than
a threshold of at least 0.5, so that an object has one match at most and nothing is left to choose.

References
----------
.. [1] Kirillov, He, Girshick, Rother & Dollár (2019), "Panoptic segmentation", CVPR (PQ, SQ, RQ).
.. [2] Caicedo et al. (2019), "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature
   Methods 16 (average precision of a picture).
.. [3] Kumar et al. (2017), "A dataset and a technique for generalized nuclear segmentation for computational
   pathology", IEEE TMI 36(7) (AJI, algorithm 1).
"""

from dataclasses import dataclass

import numpy as np
from skimage.measure import label

THRESHOLDS = tuple(np.arange(10, 20) / 20)
"""IoU thresholds 0.5, 0.55, … 0.95 of mean average precision."""


@dataclass(frozen=True)
class ObjectOverlaps:
    """Areas of the objects of both images, and of each pair that overlaps.

    predicted, reference: int64, pixels of each object. pairs: int64 (n, 2), positions in `predicted` and `reference`.
    shared: int64 (n), pixels that a pair has in common.

    Metrics are in [0, 1]; None where there is no object in either image, 0 where there is none in one of them.
    """

    predicted: np.ndarray
    reference: np.ndarray
    pairs: np.ndarray
    shared: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """IoU of each pair."""
        return self.shared / (self.predicted[self.pairs[:, 0]] + self.reference[self.pairs[:, 1]] - self.shared)

    def average_precision(self, threshold: float = 0.5) -> float | None:
        """tp / (tp + fp + fn) at one IoU threshold, as the 2018 Data Science Bowl defines it [2].

        This is no area under a curve of precision and recall, which is what COCO calls average precision.
        """
        matched = np.count_nonzero(self.iou > threshold)
        every = len(self.predicted) + len(self.reference) - matched
        return matched / every if every else None

    def mean_average_precision(self) -> float | None:
        """Mean of `average_precision` over the thresholds 0.5, 0.55, … 0.95 [2]."""
        scores = [self.average_precision(threshold) for threshold in THRESHOLDS]
        return None if None in scores else float(np.mean(scores))

    @property
    def sq(self) -> float | None:
        """Segmentation quality [1]: mean IoU of the matches; None where there is none."""
        matched = self.iou[self.iou > 0.5]
        return float(matched.mean()) if matched.size else None

    @property
    def rq(self) -> float | None:
        """Recognition quality [1]: F1 of objects, tp / (tp + fp / 2 + fn / 2)."""
        every = len(self.predicted) + len(self.reference)
        return 2 * np.count_nonzero(self.iou > 0.5) / every if every else None

    @property
    def pq(self) -> float | None:
        """Panoptic quality [1]: SQ × RQ."""
        return self.rq and self.rq * self.sq

    def aji(self) -> float | None:
        """Aggregated Jaccard index [3].

        Each reference object is put with the predicted one of the largest IoU, which several may share; their common
        pixels are divided by their unions and the predicted objects that were never taken.
        """
        if not len(self.predicted) + len(self.reference):
            return None
        order = np.lexsort((-self.iou, self.pairs[:, 1]))
        best = order[np.unique(self.pairs[order, 1], return_index=True)[1]]
        left_out = np.setdiff1d(np.arange(len(self.predicted)), self.pairs[best, 0])
        common = self.shared[best].sum()
        union = self.reference.sum() + self.predicted[self.pairs[best, 0]].sum() - common
        return float(common / (union + self.predicted[left_out].sum()))


def object_overlaps(prediction: np.ndarray, reference: np.ndarray) -> ObjectOverlaps:
    """Measure the overlaps of two images of object numbers (integers, any shape, 0 is none)."""
    predicted, referred = (np.unique(numbers, return_inverse=True) for numbers in (prediction, reference))
    places = referred[1].ravel().astype(np.int64) * len(predicted[0]) + predicted[1].ravel()
    codes, shared = np.unique(places, return_counts=True)
    pairs = np.stack([codes % len(predicted[0]), codes // len(predicted[0])], axis=1)
    objects = (predicted[0] != 0, referred[0] != 0)
    is_object = objects[0][pairs[:, 0]] & objects[1][pairs[:, 1]]
    position = [np.cumsum(mask) - 1 for mask in objects]
    return ObjectOverlaps(
        predicted=_areas(predicted[1], objects[0]),
        reference=_areas(referred[1], objects[1]),
        pairs=np.stack([position[side][pairs[is_object, side]] for side in (0, 1)], axis=1),
        shared=shared[is_object].astype(np.int64),
    )


def _areas(positions: np.ndarray, is_object: np.ndarray) -> np.ndarray:
    return np.bincount(positions.ravel(), minlength=len(is_object))[is_object]


def number_components(mask: np.ndarray) -> np.ndarray:
    """Object numbers of a boolean mask without any: its components, 8-connected in a picture, 26 in a volume."""
    return label(mask, connectivity=mask.ndim)
