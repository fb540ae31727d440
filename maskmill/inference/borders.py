"""Border refinement, a step of post-processing: the picture's own edges decide where a region ends.

The guided filter [1] smooths the probabilities as the picture is smooth: within a window each is fitted as a linear
function of the picture's brightness, so that where there is an edge in the picture there is one in the result.

References
----------
.. [1] He, Sun & Tang (2013), "Guided image filtering", IEEE TPAMI 35(6), doi:10.1109/TPAMI.2012.213.
"""

import cv2
import numpy as np

from maskmill.inference.morphology import border_band

SMOOTHNESS = 1e-4
"""ε of the guided filter, for brightness from 0 to 1: windows that vary by less than 0.01 count as flat."""

_TAILS = (0.5, 99.5)


def brightness(image: np.ndarray) -> np.ndarray:
    """What the filter is guided by, float32 (D, H, W) in [0, 1]: the mean of the channels of an image (D, H, W, C).

    The 0.5 and 99.5 percentiles of the whole picture or volume become 0 and 1.
    """
    grey = image.mean(axis=-1, dtype=np.float32)
    low, high = np.percentile(grey, _TAILS)
    return np.clip((grey - np.float32(low)) / np.float32(max(high - low, 1e-6)), 0, 1)


def refine_border(
    region: np.ndarray, probability: np.ndarray, threshold: float, guide: np.ndarray, radius: int
) -> np.ndarray:
    """Decide anew the pixels at most `radius` from the region's border; region: bool (D, H, W).

    probability: of the class, uint8 (D, H, W), and `threshold` the value from which on a pixel is of it. guide: see
    `brightness`. A pixel is of the region where the filtered probability reaches the threshold.
    """
    band = border_band(region, radius)
    if not band.any():
        return region
    box = _box(band, margin=2 * radius)  # so far away is what decides a pixel
    refined = region.copy()
    filtered = guided_filter(probability[box].astype(np.float32), guide[box], radius)
    refined[box] = np.where(band[box], filtered >= threshold, region[box])
    return refined


def guided_filter(values: np.ndarray, guide: np.ndarray, radius: int, smoothness: float = SMOOTHNESS) -> np.ndarray:
    """Guided filter [1] of values by a guide, both float32 (D, H, W), with windows of side 2 · radius + 1.

    In a picture windows are squares, in a volume cubes; at the edges both are mirrored.
    """
    mean_guide, mean_values = _mean(guide, radius), _mean(values, radius)
    covariance = _mean(guide * values, radius) - mean_guide * mean_values
    variance = _mean(guide * guide, radius) - mean_guide * mean_guide
    slope = covariance / (variance + smoothness)
    offset = mean_values - slope * mean_guide
    return _mean(slope, radius) * guide + _mean(offset, radius)


def _box(region: np.ndarray, margin: int) -> tuple[slice, ...]:
    """The smallest box around a region (D, H, W) that is not empty, with a margin."""
    sides = []
    for axis in range(region.ndim):
        places = np.flatnonzero(region.any(axis=tuple(other for other in range(region.ndim) if other != axis)))
        sides.append(slice(max(0, places[0] - margin), places[-1] + margin + 1))
    return tuple(sides)


def _mean(values: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    if len(values) == 1:
        return cv2.blur(values[0], (side, side), borderType=cv2.BORDER_REFLECT)[np.newaxis]
    from scipy import ndimage  # slow to load, and pictures do without

    return ndimage.uniform_filter(values, side, mode="reflect")
