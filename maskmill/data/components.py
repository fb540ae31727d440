"""How large the objects of label images are: connected components, counted and measured."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import cv2
import numpy as np
from scipy import ndimage

from maskmill.classes import IGNORE

WINDOW = (256, 4096, 4096)
"""Largest part (D, H, W) of a label image that is looked at at once; an object that spans two counts twice."""

_QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}
_MEASURES = ("pixels", "depth", "height", "width")


def component_sizes(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Pixels, depth, height and width, int64 (n, 4), of the components of each class of labels (D, H, W) uint8.

    Pixels that touch at a corner belong together. IGNORE is no class.
    """
    found: dict[int, list[np.ndarray]] = {}
    for corner in product(*(range(0, length, most) for length, most in zip(labels.shape, WINDOW, strict=True))):
        window = labels[tuple(slice(start, start + most) for start, most in zip(corner, WINDOW, strict=True))]
        for value, box in enumerate(ndimage.find_objects(window), 1):
            if box is not None and value != IGNORE:
                found.setdefault(value, []).append(_measure(window[box] == value))
    return {value: np.concatenate(parts) for value, parts in found.items()}


def _measure(mask: np.ndarray) -> np.ndarray:
    """Pixels, depth, height and width (n, 4) of the components of a mask (D, H, W)."""
    if len(mask) == 1:
        _, _, statistics, _ = cv2.connectedComponentsWithStats(mask[0].astype(np.uint8), connectivity=8)
        area, height, width = (
            statistics[1:, column] for column in (cv2.CC_STAT_AREA, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH)
        )
        return np.stack([area, np.ones_like(area), height, width], axis=1).astype(np.int64)
    components, count = ndimage.label(mask, np.ones((3, 3, 3)))
    pixels = sum(np.bincount(page.ravel(), minlength=count + 1) for page in components)[1:]
    extents = [[side.stop - side.start for side in box] for box in ndimage.find_objects(components)]
    return np.column_stack([pixels, extents]).astype(np.int64)


def summarize_sizes(names: Iterable[str], sizes: Iterable[Mapping[int, np.ndarray]]) -> list[dict[str, Any]]:
    """For each class its name, the number of its components in all label images, and quantiles of their sizes.

    `pixels` and `extent` (of depth, height and width) hold p5, median and p95, or are None where there is no component.
    """
    measured = list(sizes)
    rows = []
    for value, name in enumerate(names, 1):
        parts = [one[value] for one in measured if value in one]
        row = {"class": name, "count": sum(map(len, parts)), "pixels": None, "extent": None}
        if parts:
            columns = dict(zip(_MEASURES, map(_quantiles, np.concatenate(parts).T), strict=True))
            row |= {"pixels": columns.pop("pixels"), "extent": columns}
        rows.append(row)
    return rows


def _quantiles(values: np.ndarray) -> dict[str, int]:
    shares = list(_QUANTILES.values())
    found = np.quantile(values, shares, method="inverted_cdf")
    return {name: int(value) for name, value in zip(_QUANTILES, found, strict=True)}
