"""Crops of the objects worth a look in pictures that are too large to show them: lost, tiny, outside, crossing."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any

import cv2
import numpy as np

from maskmill.classes import Classes
from maskmill.imaging.overlay import display_image, outline_mask

CROPS = 3
"""Most objects that are shown of a picture."""

SIDE = 180
"""Side in pixels of a crop; three pairs of them are as wide as the page."""

GAP = 4
MARGIN = 6
"""Distance in pixels of the frame from the object, and of the frame from the edge of the crop at least."""

_TELLING = (
    "gone at training size",
    "covered altogether",
    "outside the picture",
    "crosses itself",
    "reaches outside",
    "tiny",
)
"""Remarks whose objects are shown, the gravest first."""


def telling_remark(row: Mapping[str, Any]) -> str | None:
    """The gravest remark for which an object, a row of objects.csv, is shown; None if it is not."""
    remarks = row["remarks"].split(", ")
    return next((remark for remark in _TELLING if remark in remarks), None)


def worst_objects(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """At most `CROPS` of the objects of a picture: one of each telling remark, then a second one, the gravest first."""
    seen: Counter[str] = Counter()
    ranked = []
    for row in rows:
        if remark := telling_remark(row):
            ranked.append((seen[remark], _TELLING.index(remark), int(row["object"]), row))
            seen[remark] += 1
    return [row for *_, row in sorted(ranked, key=lambda entry: entry[:3])[:CROPS]]


def draw_crop(image: np.ndarray, labels: np.ndarray, box: Sequence[int], classes: Classes) -> np.ndarray:
    """RGB uint8: the picture (H, W, C) around an object, and beside it the outlines in `labels`, the object framed.

    box: left, top, right and bottom of the object in pixels, right and bottom exclusive. The crop is at full size
    unless the object is larger than it.
    """
    height, width = labels.shape
    left, top, right, bottom = np.clip(box, 0, (width, height, width, height)).tolist()
    side = max(SIDE, ceil(max(right - left, bottom - top) * SIDE / (SIDE - 4 * MARGIN)))
    rows, columns = _window(top, bottom, side, height), _window(left, right, side, width)
    part, mask = display_image(image)[rows, columns], labels[rows, columns]
    factor = SIDE / side
    size = max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor))
    panels = [cv2.resize(part, size, interpolation=cv2.INTER_AREA)]
    panels.append(outline_mask(panels[0], cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), classes))
    frame = np.array([left - columns.start, top - rows.start, right - columns.start, bottom - rows.start]) * factor
    low, high = (frame[:2] - MARGIN).round().astype(int).tolist(), (frame[2:] + MARGIN).round().astype(int).tolist()
    for colour, breadth in ((0, 0, 0), 3), ((255, 255, 255), 1):
        cv2.rectangle(panels[1], low, high, colour, breadth)
    panels = [_padded(panel) for panel in panels]
    return np.concatenate([panels[0], np.full((SIDE, GAP, 3), 255, np.uint8), panels[1]], axis=1)


def _window(low: int, high: int, side: int, length: int) -> slice:
    """As many pixels of a row or column of `length` as there are, up to `side`, around those from low to high."""
    start = max(0, min((low + high - side) // 2, length - side))
    return slice(start, min(start + side, length))


def _padded(panel: np.ndarray) -> np.ndarray:
    """A panel with white below and to the right, where the picture is smaller than a crop."""
    padded = np.full((SIDE, SIDE, 3), 255, np.uint8)
    padded[: panel.shape[0], : panel.shape[1]] = panel
    return padded
