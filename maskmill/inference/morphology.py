"""Closing and opening of regions with a disc (of volumes, a ball): steps of post-processing.

Reference: Serra (1982), "Image analysis and mathematical morphology".
"""

import cv2
import numpy as np


def close_region(region: np.ndarray, radius: int) -> np.ndarray:
    """Close gaps narrower than about twice `radius` pixels; region: bool (D, H, W). Nothing is ever removed.

    What lies outside the picture is no part of the region, so that it is not drawn to the picture's edge.
    """
    margin = _margin(region, radius)
    padded = np.pad(region, [(side, side) for side in margin])
    closed = _erode(_dilate(padded, radius), radius)
    return closed[tuple(slice(side, length - side) for side, length in zip(margin, closed.shape, strict=True))]


def open_region(region: np.ndarray, radius: int) -> np.ndarray:
    """Remove what is narrower than about twice `radius` pixels; region: bool (D, H, W). Nothing is ever added.

    The region is taken to go on outside the picture, so that objects cut by the picture's edge stay.
    """
    return _dilate(_erode(region, radius), radius)


def border_band(region: np.ndarray, radius: int) -> np.ndarray:
    """The pixels at most `radius` from one on the other side of the region's border: bool (D, H, W)."""
    return _dilate(region, radius) & ~_erode(region, radius)


def ball(radius: int, dimensions: int) -> np.ndarray:
    """The pixels at most `radius` from the middle one of a cube: bool, of side 2 · radius + 1."""
    axes = np.ogrid[(slice(-radius, radius + 1),) * dimensions]
    return sum(axis**2 for axis in axes) <= radius**2


def _margin(region: np.ndarray, radius: int) -> tuple[int, int, int]:
    return (0 if len(region) == 1 else radius), radius, radius


def _dilate(region: np.ndarray, radius: int) -> np.ndarray:
    if len(region) == 1:
        return cv2.dilate(region[0].astype(np.uint8), ball(radius, 2).astype(np.uint8))[np.newaxis] > 0
    from scipy import ndimage  # slow to load, and pictures do without

    return ndimage.binary_dilation(region, ball(radius, 3))


def _erode(region: np.ndarray, radius: int) -> np.ndarray:
    """Where the ball around a pixel is in the region, as far as it is in the picture."""
    return ~_dilate(~region, radius)
