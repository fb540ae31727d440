"""How far the boundaries of two masks lie apart: boundary F1, NSD, boundary IoU, Hausdorff and mean distances.

Masks are of pictures (H, W) or of volumes (D, H, W). The boundary of a mask are its pixels with one of the four
neighbours (six in a volume) outside the mask; beyond the frame is outside. Distances are Euclidean, between pixel
centres, exact up to float32 rounding.

References
----------
.. [1] Csurka, Larlus & Perronnin (2013), "What is a good evaluation measure for semantic segmentation?", BMVC
   (boundary F1).
.. [2] Huttenlocher, Klanderman & Rucklidge (1993), "Comparing images using the Hausdorff distance", IEEE TPAMI 15(9).
.. [3] Maier-Hein, Reinke et al. (2024), "Metrics reloaded: recommendations for image analysis validation",
   Nature Methods 21.
.. [4] Nikolov et al. (2021), "Clinically applicable segmentation of head and neck anatomy for radiotherapy: deep
   learning algorithm development and validation study", JMIR 23(7):e26151 (normalised surface distance).
.. [5] Cheng, Girshick, Dollár, Berg & Kirillov (2021), "Boundary IoU: improving object-centric image segmentation
   evaluation", CVPR.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot

import cv2
import numpy as np
from scipy.spatial import KDTree

from maskmill.imaging.distances import distance_to_zero

BAND = 0.02
"""Width of the band of boundary IoU as a share of the diagonal: that of [5]."""

_FOUR_NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the boundaries of a prediction and a reference, in units of the pixel spacing.

    to_reference: float32, from each boundary pixel of the prediction to the nearest of the reference.
    to_prediction: float32, from each boundary pixel of the reference to the nearest of the prediction.
    worst: what distances are where only one of the two masks is empty: the diagonal of the picture or volume.
    boundary_iou: see `boundary_iou`; it is measured on the masks, not on these distances.
    Where a mask is empty, the distances to it are infinite.

    All metrics are None where both masks are empty. Where one is, shares are 0 and distances are `worst`.
    """

    to_reference: np.ndarray
    to_prediction: np.ndarray
    worst: float
    boundary_iou: float | None

    def boundary_f1(self, tolerance: float) -> float | None:
        """Boundary F1 [1]: harmonic mean of the shares of both boundaries that lie within `tolerance` of the other."""
        if self._both_empty:
            return None
        precision, recall = (_within(part, tolerance) / max(part.size, 1) for part in self._parts)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def nsd(self, tolerance: float) -> float | None:
        """Normalised surface distance [4], or surface Dice: share of both boundaries together within `tolerance`.

        Pixels of the boundary are counted, not areas of a surface.
        """
        if self._both_empty:
            return None
        return sum(_within(part, tolerance) for part in self._parts) / sum(part.size for part in self._parts)

    def hd(self) -> float | None:
        """Hausdorff distance [2]: the largest of all distances."""
        return self._longest(np.max)

    def hd95(self) -> float | None:
        """Hausdorff distance, robust form: the larger of the two directed 95th percentiles (as MONAI defines it).

        Percentiles interpolate linearly.
        """
        return self._longest(lambda part: np.percentile(part, 95))

    def assd(self) -> float | None:
        """Average symmetric surface distance [3]: mean of all distances of both boundaries together."""
        return self._of_both(
            lambda *parts: sum(np.sum(p, dtype=np.float64) for p in parts) / sum(p.size for p in parts)
        )

    @property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        return self.to_reference, self.to_prediction

    @property
    def _both_empty(self) -> bool:
        return not self.to_reference.size and not self.to_prediction.size

    def _longest(self, statistic: Callable[[np.ndarray], float]) -> float | None:
        return self._of_both(lambda *parts: max(map(statistic, parts)))

    def _of_both(self, statistic: Callable[..., float]) -> float | None:
        """A statistic of the two directed distances, or what stands for it where a mask is empty."""
        if self._both_empty:
            return None
        return float(statistic(*self._parts)) if all(part.size for part in self._parts) else self.worst


def surface_distances(
    prediction: np.ndarray,
    reference: np.ndarray,
    valid: np.ndarray | None = None,
    spacing: Sequence[float] | None = None,
) -> SurfaceDistances:
    """Measure the distances between the boundaries of two boolean masks (H, W) or (D, H, W).

    Pixels outside `valid` (boolean, of the same shape) belong to neither mask, so no boundary pixel lies there.
    spacing: size of a pixel along each axis, such as millimetres; distances come in that unit. None: 1 along each.
    """
    if valid is not None:
        prediction, reference = prediction & valid, reference & valid
    spacing = (1.0,) * prediction.ndim if spacing is None else tuple(spacing)
    worst = hypot(*(size * step for size, step in zip(prediction.shape, spacing, strict=True)))
    box = bounding_box(prediction | reference)
    predicted, referred = boundary(prediction[box]), boundary(reference[box])
    reach = [max(1, round(BAND * worst / step)) for step in spacing]
    return SurfaceDistances(
        to_reference=_distances(predicted, referred, spacing),
        to_prediction=_distances(referred, predicted, spacing),
        worst=worst,
        boundary_iou=boundary_iou(prediction[box], reference[box], reach),
    )


def boundary(mask: np.ndarray) -> np.ndarray:
    """Boundary pixels (boolean) of a boolean mask: those with a neighbour along an axis outside mask or frame."""
    if not mask.any():
        return np.zeros_like(mask)
    if mask.ndim == 2:
        inner = cv2.erode(mask.astype(np.uint8), _FOUR_NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        return mask & (inner == 0)
    inner = mask.copy()
    for axis in range(mask.ndim):
        along, neighbours = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        along[[0, -1]] = False
        along[1:] &= neighbours[:-1]
        along[:-1] &= neighbours[1:]
    return mask & ~inner


def boundary_iou(prediction: np.ndarray, reference: np.ndarray, reach: Sequence[int]) -> float | None:
    """Boundary IoU [5]: IoU of the bands along the inner side of both masks' boundaries.

    reach: width of the band in pixels along each axis, at least 1. The band are the pixels of a mask with a pixel
    outside it at most so many away along every axis (a box, as in the authors' program); beyond the frame is outside.
    In [0, 1]; 0 where only one mask is empty, None where both are.
    """
    bands = [mask & ~_eroded(mask, reach) for mask in (prediction, reference)]
    union = np.count_nonzero(bands[0] | bands[1])
    return np.count_nonzero(bands[0] & bands[1]) / union if union else None


def _eroded(mask: np.ndarray, reach: Sequence[int]) -> np.ndarray:
    """Pixels of a mask all of whose neighbours within the box of half sides `reach` are in the mask, too."""
    if not mask.size:
        return mask
    inner = mask.astype(np.uint8)
    if mask.ndim == 3:
        inner = _erode(inner.reshape(len(inner), -1), reach[0], 0).reshape(mask.shape)
        return np.stack([_erode(page, *reach[1:]) for page in inner]) != 0
    return _erode(inner, *reach) != 0


def _erode(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    box = np.ones((2 * rows + 1, 2 * columns + 1), np.uint8)
    return cv2.erode(mask, box, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def _distances(origin: np.ndarray, target: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distance of each pixel of the mask `origin` to the nearest of the mask `target`; infinite if that is empty."""
    if not origin.any() or not target.any():
        return np.full(np.count_nonzero(origin), np.inf, np.float32)
    if origin.ndim == 2 and spacing[0] == spacing[1]:
        away = distance_to_zero((~target).astype(np.uint8))
        return away[origin] * np.float32(spacing[0])
    # of volumes, whose boundaries are few of their voxels, this is several times faster than a distance transform
    nearest, _ = KDTree(np.argwhere(target) * spacing).query(np.argwhere(origin) * spacing)
    return nearest.astype(np.float32)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds a boolean mask, of no size where that is empty."""
    box = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(found[0], found[-1] + 1) if found.size else slice(0, 0))
    return tuple(box)


def _within(distances: np.ndarray, tolerance: float) -> int:
    return int(np.count_nonzero(distances <= tolerance))
