"""Polygon regularisation, a step of post-processing for buildings: outlines become straight and right-angled.

Each outline is simplified [1]; the walls' direction is that which its edges agree on, longer ones counting more; edges
near it or at right angles to it are turned to it, through the mean of their pixels, and corners are where neighbouring
edges meet. An outline that this would change too much stays as simplified, or as it was.

References
----------
.. [1] Douglas & Peucker (1973), "Algorithms for the reduction of the number of points", Cartographica 10(2).
"""

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np

LARGEST_TURN = np.radians(30)
"""Edges further than this from both directions keep their own."""

LEAST_AGREEMENT = 0.9
"""IoU with what was found below which the regularised outline is not taken, nor the simplified one."""

_ALIKE = 1e-6

_SHIFT = 4
"""Binary digits after the point of the coordinates that are drawn."""


def regularize_region(region: np.ndarray, tolerance: float) -> np.ndarray:
    """The region, bool (1, H, W), with regularised outlines of its components and holes.

    tolerance: how far in pixels an outline may be from the simplified one.
    """
    drawn = np.zeros(region.shape[1:], np.uint8)
    contours, tree = cv2.findContours(region[0].astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parents = tree[0, :, 3].tolist() if contours else []
    holes: dict[int, list[np.ndarray]] = defaultdict(list)
    for contour, parent in zip(contours, parents, strict=True):
        holes[parent].append(contour)
    for number, parent in enumerate(parents):
        if parent < 0:  # what stands in a courtyard is a component of its own
            drawn |= _draw_component(contours[number], holes[number], drawn.shape, tolerance)
    return drawn[np.newaxis] > 0


def _draw_component(
    outline: np.ndarray, holes: Sequence[np.ndarray], shape: tuple[int, int], tolerance: float
) -> np.ndarray:
    """What contours (N, 1, 2) of a component and of its own holes enclose once regularised: uint8 0 or 1 (H, W)."""
    drawn = _draw(outline, shape, tolerance)
    for hole in holes:
        # the contour of a hole runs over the region's pixels around it, which stay
        drawn &= ~cv2.erode(_draw(hole, shape, tolerance), np.ones((3, 3), np.uint8))
    return drawn


def _draw(contour: np.ndarray, shape: tuple[int, int], tolerance: float) -> np.ndarray:
    """What a contour (N, 1, 2) encloses once it is regularised: uint8 0 or 1 (H, W)."""
    outline = contour[:, 0].astype(np.float64)
    drawn = _fill(outline, shape)
    for polygon in (_orthogonal(contour, tolerance), cv2.approxPolyDP(contour, tolerance, True)[:, 0]):
        regular = _fill(polygon, shape)
        if np.count_nonzero(regular & drawn) >= LEAST_AGREEMENT * np.count_nonzero(regular | drawn):
            return regular
    return drawn


def _orthogonal(contour: np.ndarray, tolerance: float) -> np.ndarray:
    simple = cv2.approxPolyDP(contour, tolerance, True)[:, 0]
    places = {tuple(point): place for place, point in enumerate(contour[:, 0].tolist())}
    corners = np.sort([places[tuple(point)] for point in simple.tolist()])
    return orthogonalize(contour[:, 0].astype(np.float64), corners)


def orthogonalize(outline: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The corners (M, 2) of a polygon with edges in its main direction and across it.

    outline: points of a closed line, float (N, 2). corners: those of them, in ascending order, between which it is
    taken for straight. Each edge goes through the mean of its points. Edges further than `LARGEST_TURN` from both
    directions keep their own; neighbours that come to run in one direction become one edge. Where fewer than four edges
    are left, the corners stay.
    """
    edges = np.roll(outline[corners], -1, axis=0) - outline[corners]
    lengths, angles = np.hypot(*edges.T), np.arctan2(edges[:, 1], edges[:, 0])
    main = np.angle(np.sum(lengths**2 * np.exp(4j * angles))) / 4
    quarter = np.pi / 2
    turned = main + np.round((angles - main) / quarter) * quarter
    turned = np.where(np.abs(turned - angles) <= LARGEST_TURN, turned, angles)
    directions = np.column_stack([np.cos(turned), np.sin(turned)])
    starts = np.flatnonzero((directions * np.roll(directions, 1, axis=0)).sum(axis=1) < 1 - _ALIKE)
    if len(starts) < 4:
        return outline[corners]
    first, along = corners[starts], directions[starts]
    ends = np.append(first[1:], first[0] + len(outline))
    means = np.array([
        outline[np.arange(start, end + 1) % len(outline)].mean(axis=0) for start, end in zip(first, ends, strict=True)
    ])  # fmt: skip
    pairs = [[run - 1, run] for run in range(len(starts))]
    return np.concatenate([_corner(outline[first[run]], means[pair], along[pair]) for run, pair in enumerate(pairs)])


def _corner(old: np.ndarray, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Where two lines meet, (1, 2); of lines in opposite directions, the feet of the old corner on both, (2, 2).

    points, directions: (2, 2), one of each a line.
    """
    (a, b), (c, d) = directions
    cross = a * d - b * c
    if abs(cross) < _ALIKE:
        return points + directions * ((old - points) * directions).sum(axis=1, keepdims=True)
    gap = points[1] - points[0]
    return (points[0] + (gap[0] * d - gap[1] * c) / cross * directions[0])[np.newaxis]


def _fill(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    return cv2.fillPoly(canvas, [np.rint(polygon * 2**_SHIFT).astype(np.int32)], 1, shift=_SHIFT)
