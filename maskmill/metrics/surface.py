"""How far the boundaries of two masks lie apart: boundary F1 and the 95th percentile Hausdorff distance.

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
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

import cv2
import numpy as np
from scipy.spatial import KDTree

_FOUR_NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the boundaries of a prediction and a reference, in units of the pixel spacing.

    to_reference: float32, from each boundary pixel of the prediction to the nearest of the reference.
    to_prediction: float32, from each boundary pixel of the reference to the nearest of the prediction.
    worst: what HD95 is where only one of the two masks is empty: the length of the picture's or volume's diagonal.
    Where a mask is empty, the distances to it are infinite.
    """

    to_reference: np.ndarray
    to_prediction: np.ndarray
    worst: float

    def boundary_f1(self, tolerance: float) -> float | None:
        """Boundary F1 [1]: harmonic mean of the shares of both boundaries that lie within `tolerance` of the other.

        In [0, 1]; 0 where only one mask is empty, None where both are.
        """
        if not self.to_reference.size and not self.to_prediction.size:
            return None
        precision = _share_within(self.to_reference, tolerance)
        recall = _share_within(self.to_prediction, tolerance)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def hd95(self) -> float | None:
        """Hausdorff distance [2], robust form: the larger of the two directed 95th percentiles (as MONAI defines it).

        Percentiles interpolate linearly. `worst` where only one mask is empty, None where both are.
        """
        if not self.to_reference.size and not self.to_prediction.size:
            return None
        if not self.to_reference.size or not self.to_prediction.size:
            return self.worst
        return float(max(np.percentile(self.to_reference, 95), np.percentile(self.to_prediction, 95)))


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
    box = _bounding_box(prediction | reference)
    predicted, referred = boundary(prediction[box]), boundary(reference[box])
    return SurfaceDistances(
        to_reference=_distances(predicted, referred, spacing),
        to_prediction=_distances(referred, predicted, spacing),
        worst=worst,
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


def _distances(origin: np.ndarray, target: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Distance of each pixel of the mask `origin` to the nearest of the mask `target`; infinite if that is empty."""
    if not origin.any() or not target.any():
        return np.full(np.count_nonzero(origin), np.inf, np.float32)
    if origin.ndim == 2 and spacing[0] == spacing[1]:
        away = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return away[origin] * np.float32(spacing[0])
    # of volumes, whose boundaries are few of their voxels, this is several times faster than a distance transform
    nearest, _ = KDTree(np.argwhere(target) * spacing).query(np.argwhere(origin) * spacing)
    return nearest.astype(np.float32)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    box = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(found[0], found[-1] + 1) if found.size else slice(0, 0))
    return tuple(box)


def _share_within(distances: np.ndarray, tolerance: float) -> float:
    return float(np.count_nonzero(distances <= tolerance)) / distances.size if distances.size else 0.0
