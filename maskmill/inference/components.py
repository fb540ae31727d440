"""Connected components of regions, and the steps of post-processing that keep or drop whole components.

Pixels that touch, if only at a corner, are of one component: 8-connected in a picture, 26-connected in a volume. Holes
are the opposite: 4-connected in a picture, 6-connected in a volume.
"""

import cv2
import numpy as np


def find_components(region: np.ndarray, corners: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Component of each pixel of a boolean region (D, H, W), 0 outside, as int32; and the components' areas by number.

    corners: whether pixels that touch only at a corner or edge belong together.
    """
    if len(region) == 1:
        _, components, areas, _ = cv2.connectedComponentsWithStats(
            region[0].astype(np.uint8), connectivity=8 if corners else 4
        )
        return components[np.newaxis], areas[:, cv2.CC_STAT_AREA]
    from scipy import ndimage  # slow to load, and pictures do without

    components, count = ndimage.label(region, np.ones((3, 3, 3)) if corners else None)
    # slice by slice, as counting takes a copy in 64 bits
    return components, sum(np.bincount(page.ravel(), minlength=count + 1) for page in components)


def remove_small(region: np.ndarray, area: float) -> np.ndarray:
    """The region (D, H, W) without its components of fewer than `area` pixels."""
    if area <= 1:
        return region
    components, areas = find_components(region)
    large = areas >= area
    large[0] = False  # what is not of the region
    return large[components]


def keep_largest(region: np.ndarray) -> np.ndarray:
    """The largest component of the region (D, H, W), among equals the one with the first pixel."""
    components, areas = find_components(region)
    if len(areas) == 1:
        return region
    largest = 1 + np.flatnonzero(areas[1:] == areas[1:].max())
    first = np.isin(components, largest).argmax() if len(largest) > 1 else None
    return components == (largest[0] if first is None else components.ravel()[first])


def fill_holes(region: np.ndarray, area: float) -> np.ndarray:
    """The region (D, H, W) with its holes of fewer than `area` pixels; what reaches the picture's edge is no hole."""
    components, areas = find_components(~region, corners=False)
    filled = areas < area
    for axis in range(1 if len(region) == 1 else 0, 3):
        for end in (0, -1):
            filled[np.take(components, end, axis)] = False
    filled[0] = True  # the region itself
    return filled[components]
