"""How far the boundaries of two masks lie apart: boundary F1 and the 95th percentile Hausdorff distance.

The boundary of a mask are its pixels with one of the four neighbours outside the mask; beyond the picture's frame is
outside. Distances are Euclidean, between pixel centres, exact up to float32 rounding.

References
----------
.. [1] Csurka, Larlus & Perronnin (2013), "What is a good evaluation measure for semantic segmentation?", BMVC
   (boundary F1).
.. [2] Huttenlocher, Klanderman & Rucklidge (1993), "Comparing images using the Hausdorff distance", IEEE TPAMI 15(9).
.. [3] Maier-Hein, Reinke et al. (2024), "Metrics reloaded: recommendations for image analysis validation",
   Nature Methods 21.
"""

from dataclasses import dataclass
from math import hypot

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

_FOUR_NEIGHBOURS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the boundaries of a prediction and a reference, in units of the pixel spacing.

    to_reference: float32, from each boundary pixel of the prediction to the nearest of the reference.
    to_prediction: float32, from each boundary pixel of the reference to the nearest of the prediction.
    worst: what HD95 is where only one of the two masks is empty: the length of the picture's diagonal.
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
    spacing: tuple[float, float] = (1.0, 1.0),
) -> SurfaceDistances:
    """Measure the distances between the boundaries of two boolean masks (H, W).

    Pixels outside `valid` (boolean, H × W) belong to neither mask, so no boundary pixel lies there.
    spacing: height and width of a pixel, such as millimetres; distances come in that unit.
    """
    if valid is not None:
        prediction, reference = prediction & valid, reference & valid
    height, width = prediction.shape
    worst = hypot(height * spacing[0], width * spacing[1])
    box = _bounding_box(prediction | reference)
    predicted, referred = boundary(prediction[box]), boundary(reference[box])
    return SurfaceDistances(
        to_reference=_distances(predicted, referred, spacing),
        to_prediction=_distances(referred, predicted, spacing),
        worst=worst,
    )


def boundary(mask: np.ndarray) -> np.ndarray:
    """Boundary pixels (boolean, H × W) of a boolean mask: those with a 4-neighbour outside mask or picture."""
    if not mask.any():
        return np.zeros_like(mask)
    inner = cv2.erode(mask.astype(np.uint8), _FOUR_NEIGHBOURS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inner == 0)


def _distances(origin: np.ndarray, target: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Distance of each pixel of the mask `origin` to the nearest of the mask `target`; infinite if that is empty."""
    if not origin.any() or not target.any():
        return np.full(np.count_nonzero(origin), np.inf, np.float32)
    if spacing[0] == spacing[1]:
        away = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return away[origin] * np.float32(spacing[0])
    return distance_transform_edt(~target, sampling=spacing)[origin].astype(np.float32)


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice]:
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def _share_within(distances: np.ndarray, tolerance: float) -> float:
    return float(np.count_nonzero(distances <= tolerance)) / distances.size if distances.size else 0.0
