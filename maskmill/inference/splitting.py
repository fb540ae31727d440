"""Objects that touch are told apart where they have a waist between them: a step of post-processing.

A watershed of the distance to the outside, from one marker an object. Markers are the h-maxima of that distance,
smoothed: the middles of parts that are wider than the waist between them [1].

References
----------
.. [1] Soille (2003), "Morphological image analysis", 2nd ed., chapters 6 (h-maxima) and 9 (watershed).
"""

import cv2
import numpy as np

from maskmill.imaging.distances import distance_to_zero
from maskmill.inference.components import find_components

SMOOTHING = 1.0
"""Standard deviation in pixels of the Gaussian that takes the roughness of outlines out of the distances."""

_ROUNDING = 1e-4
_EDGE = 1
"""Pixels around the picture, so that distances are also to the picture's edge."""


def split_region(region: np.ndarray, depth: float) -> np.ndarray:
    """Object of each pixel of a region, int32 (D, H, W) from 1, 0 outside; region: bool (1, H, W).

    depth: how much nearer, in pixels, to the outside a waist is than the middles of both parts that it lies between. No
    component goes without a number, and none of two components share one.
    """
    from skimage.segmentation import watershed  # slow to load

    padded = cv2.copyMakeBorder(region[0].astype(np.uint8), *(_EDGE,) * 4, cv2.BORDER_CONSTANT, value=0)
    distance = distance_to_zero(padded)
    smooth = cv2.GaussianBlur(distance, (0, 0), SMOOTHING)[_EDGE:-_EDGE, _EDGE:-_EDGE]
    markers = _markers(smooth, region[0], depth)
    return watershed(-smooth, markers, connectivity=np.ones((3, 3)), mask=region[0]).astype(np.int32)[np.newaxis]


def _markers(height: np.ndarray, region: np.ndarray, depth: float) -> np.ndarray:
    """The domes over the h-maxima of a height (H, W), numbered; a component of the region without one is a marker."""
    inside = np.where(region, height, 0).astype(np.float32)
    above = inside - _reconstruct(np.maximum(inside - np.float32(depth), 0), inside)
    domes = _components_with(above > _ROUNDING, above >= depth - _ROUNDING)
    return cv2.connectedComponents((domes | _components_with(region, domes, False)).astype(np.uint8), connectivity=8)[1]


def _components_with(region: np.ndarray, marks: np.ndarray, wanted: bool = True) -> np.ndarray:
    """The components of a region (H, W) that hold a mark, or those that hold none."""
    components, areas = find_components(region[np.newaxis])
    marked = np.zeros(len(areas), bool)
    marked[components[0][marks]] = True
    return region & (marked[components[0]] == wanted)


def _reconstruct(marker: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Reconstruction by dilation of `marker` under `mask`, float32 (H, W): steps of one pixel until nothing changes."""
    window = np.ones((3, 3), np.uint8)
    while True:
        grown = cv2.min(cv2.dilate(marker, window), mask)
        if np.array_equal(grown, marker):
            return grown
        marker = grown
