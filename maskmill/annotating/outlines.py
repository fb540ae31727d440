"""From label images to polygons: the way back from `rasterize`.

A polygon runs through the centres of an object's outermost pixels, so that drawing it, outline included, gives the
object again. A hole's ring runs through the centres of the hole's own outermost pixels.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from maskmill.annotations.shapes import Shape
from maskmill.classes import BACKGROUND, IGNORE, IGNORE_LABEL, Classes

TOLERANCE_SHARE = 0.1
"""Greatest distance a simplified outline may lie from the exact one, as a share of the advised vertex spacing."""

_CORNERS = np.array([[0.0, 0.0], [0.25, 0.0], [0.0, 0.25]])
"""What is added to a pixel's centre, so that outlines of one or two pixels have three vertices, all in that pixel."""


def trace_labels(
    labels: np.ndarray, classes: Classes, objects: np.ndarray | None = None, spacing: float = 0.0
) -> list[Shape]:
    """Polygons that give the label image (H, W) uint8 when drawn.

    objects: (H, W) object numbers, 0 none; without them the 8-connected regions of each class are the objects. Ignored
    pixels become "__ignore__". Polygons of one object share a group_id, from 1 on; a single one has none.
    spacing: advised distance of vertices in pixels. With 0 the label image comes back exactly; else no vertex of the
    exact outline is farther than `spacing` × `TOLERANCE_SHARE` from the simplified one.
    """
    shapes, groups = [], 0
    for label, (top, left), region in _objects(labels, classes, objects):
        polygons = trace_region(region, spacing * TOLERANCE_SHARE)
        groups += len(polygons) > 1
        group = groups if len(polygons) > 1 else None
        for ring, holes in polygons:
            corner = np.array([left, top])
            shapes.append(Shape(label, "polygon", ring + corner, group, holes=tuple(hole + corner for hole in holes)))
    return shapes


def mask_shapes(labels: np.ndarray, classes: Classes, objects: np.ndarray | None = None) -> list[Shape]:
    """Shapes of the kind "mask", one an object, that give the label image (H, W) uint8 when drawn.

    objects: see `trace_labels`.
    """
    return [
        Shape(label, "mask", np.array([(left, top), (left + region.shape[1] - 1, top + region.shape[0] - 1)], float),
              mask=region)
        for label, (top, left), region in _objects(labels, classes, objects)
    ]  # fmt: skip


def trace_mask(shape: Shape, spacing: float = 0.0) -> list[Shape]:
    """Polygons of a shape of the kind "mask", with its label and group; see `trace_labels`."""
    corner = shape.points[0].astype(int)
    return [
        Shape(shape.label, "polygon", ring + corner, shape.group_id, holes=tuple(hole + corner for hole in holes))
        for ring, holes in trace_region(shape.mask, spacing * TOLERANCE_SHARE)
    ]


def _objects(
    labels: np.ndarray, classes: Classes, objects: np.ndarray | None
) -> Iterator[tuple[str, tuple[int, int], np.ndarray]]:
    """Label, upper left corner (top, left) and pixels (h, w) bool of every object, class by class."""
    from scipy.ndimage import find_objects

    names = dict(enumerate(classes.names, 1)) | {IGNORE: IGNORE_LABEL}
    for value in np.unique(labels[labels != BACKGROUND]).tolist():
        region = labels == value
        if objects is None or value == IGNORE:
            _, numbers = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)
        else:
            numbers = np.where(region, objects, 0)
        for number, box in enumerate(find_objects(numbers), 1):
            if box is not None:
                yield names[value], (box[0].start, box[1].start), numbers[box] == number


def trace_region(region: np.ndarray, tolerance: float = 0.0) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Polygons of a region (H, W) bool, each a ring (N, 2) of x and y and the rings of its holes.

    With tolerance 0 the polygons give exactly the region when drawn; else see `trace_labels`.
    """
    contours = _contours(region)
    owner = np.zeros(region.shape, np.int32)
    for number, contour in enumerate(contours, 1):
        cv2.drawContours(owner, [contour], -1, number, cv2.FILLED)
    holes = _holes((owner > 0) & ~region)
    polygons = [(_ring(contour, tolerance), []) for contour in contours]
    for hole in holes:
        column, row = hole[0, 0]
        polygons[owner[row, column] - 1][1].append(_ring(hole, tolerance))
    # a hole's ring may enclose pixels of the region: islands, and parts that only corners connect with the rest
    enclosed = np.zeros(region.shape, np.uint8)
    cv2.drawContours(enclosed, holes, -1, 1, cv2.FILLED)
    lost = region & (enclosed > 0)
    return polygons + trace_region(lost, tolerance) if lost.any() else polygons


def _contours(region: np.ndarray) -> list[np.ndarray]:
    """Outermost pixels (N, 1, 2) of each 8-connected part of a region, without those in the hole of another."""
    return list(cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0])


def _holes(background: np.ndarray) -> list[np.ndarray]:
    """Outermost pixels of each 4-connected part."""
    from scipy.ndimage import find_objects

    _, numbers = cv2.connectedComponents(background.astype(np.uint8), connectivity=4)
    found = []
    for number, (rows, columns) in enumerate(find_objects(numbers), 1):
        (contour,) = _contours(numbers[rows, columns] == number)
        found.append(contour + np.int32([columns.start, rows.start]))
    return found


def _ring(contour: np.ndarray, tolerance: float) -> np.ndarray:
    """Vertices (N, 2) at pixel centres, at least three."""
    ring = contour[:, 0]
    if tolerance:
        simple = cv2.approxPolyDP(contour, tolerance, True)[:, 0]
        ring = simple if len(simple) > 2 else ring
    ring = ring + 0.5
    return ring if len(ring) > 2 else ring[-1] + _CORNERS if len(ring) == 1 else np.vstack([ring, ring[-1] + (0.25, 0)])
