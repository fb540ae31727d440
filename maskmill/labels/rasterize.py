"""From annotations to label and object images: shapes are drawn exactly as labelme draws them.

labelme draws with Pillow: coordinates are cut to integers, outlines belong to the shape, later shapes cover earlier
ones, a point is a disc of radius 5 and a line 10 pixels wide. One canvas for all shapes gives the same pixels as one
array a shape does, in a small part of the time.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import BACKGROUND, BACKGROUND_LABEL, IGNORE, IGNORE_LABEL, Classes

POINT_RADIUS = 5
LINE_WIDTH = 10

_INSTANCE_SUFFIX = re.compile(r"[-_]\d+$")
_UPRIGHT = 1e-6

BackgroundOption = str | Sequence[str]


def rasterize_annotation(annotation: Annotation, classes: Classes, background: BackgroundOption = "rest") -> np.ndarray:
    """Label image (H, W) uint8 of an annotation that `labels.check_annotation` found nothing wrong with."""
    if annotation.label_values is not None:
        return annotation.label_values
    labels = np.full((annotation.height, annotation.width), BACKGROUND, dtype=np.uint8)
    canvas = _canvas_of(labels)
    values = _values_by_label(annotation, classes, background)
    for shape in annotation.shapes:
        draw_shape(canvas, shape, values[shape.label])
    return labels


def rasterize_instances(annotation: Annotation, classes: Classes, background: BackgroundOption = "rest") -> np.ndarray:
    """Object numbers (H, W) int32 of an annotation, 0 where there is no object; whose: `object_numbers`.

    An object that later ones cover has no pixel, and its number is missing. Where the annotation is a label image, its
    objects are those it tells apart, renumbered from 1 in their order, else the 8-connected (in volumes 26-connected)
    regions of each class from the top left on.
    """
    if annotation.label_values is not None:
        return _instances_of_labels(annotation.label_values, annotation.object_values)
    size, numbers = (annotation.height, annotation.width), object_numbers(annotation, classes, background)
    shared = np.zeros(size, dtype=np.uint16) if max(numbers, default=0) < 2**16 else None
    canvas = Image.new("I", size[::-1], 0) if shared is None else _canvas_of(shared)
    for shape, number in zip(annotation.shapes, numbers, strict=True):
        draw_shape(canvas, shape, number)
    return np.array(canvas if shared is None else shared, dtype=np.int32)


def object_numbers(annotation: Annotation, classes: Classes, background: BackgroundOption = "rest") -> list[int]:
    """The object number of every shape: from 1 on in drawing order, the same for shapes of one label and group.

    Shapes that are ignored or background are no objects: their number is 0, which takes away what they cover.
    """
    values = _values_by_label(annotation, classes, background)
    known: dict[object, int] = {}
    numbers = []
    for index, shape in enumerate(annotation.shapes):
        key = index if shape.group_id is None else (shape.label, shape.group_id)
        is_object = values[shape.label] not in (BACKGROUND, IGNORE)
        numbers.append(known.setdefault(key, len(known) + 1) if is_object else 0)
    return numbers


def label_value(label: str, classes: Classes, background: BackgroundOption) -> int | None:
    """Label value of a shape's label, None if it is unknown.

    A label is a class, "__ignore__" (255), "_background_" or one of a list of background labels (0: such a shape covers
    what lies below it). One that is none of these may carry an instance number, as in "person-1" or "square_2".
    """
    for name in (label, _INSTANCE_SUFFIX.sub("", label)):
        if name in classes.names:
            return classes.index(name)
        if name == IGNORE_LABEL:
            return IGNORE
        if name == BACKGROUND_LABEL or (background != "rest" and name in background):
            return BACKGROUND
    return None


def draw_shape(canvas: Image.Image, shape: Shape, value: int) -> None:
    """Draw one shape with this value on a canvas of mode "L", "I;16" or "I". What lies outside is clipped.

    A polygon's hole takes away the pixels that a polygon of its ring would cover, outline included. An ellipse whose
    half-axes lie along rows and columns is drawn like a circle, on cut coordinates. Of any other, the pixels are drawn
    whose centres lie in the ellipse with half-axes half a pixel longer, since the outline belongs to it; for upright
    ones the two rules differ by pixels whose centres are at most 1.2 pixels from the edge.
    """
    if shape.holes:
        _draw_with_holes(canvas, shape, value)
    elif shape.kind == "mask":
        _draw_mask(canvas, shape.mask, shape.points[0].astype(int).tolist(), value)
    elif shape.kind == "ellipse":
        _draw_ellipse(canvas, shape.points, value)
    else:
        _draw_outlined(ImageDraw.Draw(canvas), shape.kind, shape.points, value)


def _draw_outlined(draw: ImageDraw.ImageDraw, kind: str, points: np.ndarray, value: int) -> None:
    flat = points.ravel().tolist()
    if kind in ("polygon", "oriented_rectangle"):
        draw.polygon(flat, fill=value)
    elif kind == "rectangle":
        draw.rectangle([*points.min(axis=0).tolist(), *points.max(axis=0).tolist()], fill=value)
    elif kind == "circle":
        x, y, edge_x, edge_y = flat
        radius = math.sqrt((x - edge_x) ** 2 + (y - edge_y) ** 2)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=value)
    elif kind in ("line", "linestrip"):
        draw.line(flat, fill=value, width=LINE_WIDTH)
    else:
        for x, y in points.tolist():
            box = [x - POINT_RADIUS, y - POINT_RADIUS, x + POINT_RADIUS, y + POINT_RADIUS]
            draw.ellipse(box, fill=value)


def _draw_mask(canvas: Image.Image, mask: np.ndarray, corner: Sequence[int], value: int) -> None:
    """Draw where a mask (h, w) bool is true; Pillow fills through a mask with 8 or 32 bits only, but pastes any."""
    filled = Image.new(canvas.mode, mask.shape[::-1], value)
    canvas.paste(filled, (corner[0], corner[1]), Image.fromarray(mask))


def _draw_with_holes(canvas: Image.Image, shape: Shape, value: int) -> None:
    """Draw a polygon, then put back within its holes what was there before.

    The holes are found by drawing them on the canvas itself: Pillow's edges depend on where a ring lies.
    """
    box = _extent(np.concatenate([shape.points, *shape.holes]), canvas.size)
    draw = ImageDraw.Draw(canvas)
    before = canvas.crop(box)
    draw.polygon(shape.points.ravel().tolist(), fill=value)
    after = canvas.crop(box)
    canvas.paste(0, box)
    for ring in shape.holes:
        draw.polygon(ring.ravel().tolist(), fill=1)
    cut = Image.fromarray(np.asarray(canvas.crop(box)) > 0)
    canvas.paste(after, box)
    canvas.paste(before, box, cut)


def _draw_ellipse(canvas: Image.Image, points: np.ndarray, value: int) -> None:
    centre, axes = points[0], points[1:] - points[0]
    reach = np.hypot(*axes)
    if np.abs(axes).min(axis=1).max() < _UPRIGHT:
        ImageDraw.Draw(canvas).ellipse([*(centre - reach).tolist(), *(centre + reach).tolist()], fill=value)
        return
    short, long = np.sort(np.hypot(*axes.T))
    x, y = axes[np.hypot(*axes.T).argmax()] / long
    left, top, right, bottom = _extent(np.stack([centre - reach, centre + reach]), canvas.size)
    down, across = np.mgrid[top:bottom, left:right] + (0.5 - centre[::-1, None, None])
    inside = ((across * x + down * y) / (long + 0.5)) ** 2 + ((down * x - across * y) / (short + 0.5)) ** 2 <= 1
    _draw_mask(canvas, inside, (left, top), value)


def _canvas_of(pixels: np.ndarray) -> Image.Image:
    """A canvas that draws into an array (H, W) of uint8 or uint16.

    Reading a canvas of Pillow's own takes as long as drawing 200 polygons, of 32 bits five times as long.
    """
    mode = "L" if pixels.dtype == np.uint8 else "I;16"
    canvas = Image.frombuffer(mode, pixels.shape[::-1], pixels, "raw", mode, 0, 1)
    canvas.readonly = 0  # else Pillow would draw on a copy
    return canvas


def _extent(points: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom (exclusive) of the pixels of a picture of this size that points may reach."""
    low = np.clip(np.floor(points.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.trunc(points.max(axis=0)) + 1, 0, size).astype(int)  # Pillow cuts -0.5 to 0
    return (*low.tolist(), *np.maximum(low, high).tolist())


def _values_by_label(annotation: Annotation, classes: Classes, background: BackgroundOption) -> dict[str, int]:
    return {label: label_value(label, classes, background) for label in {shape.label for shape in annotation.shapes}}


def _instances_of_labels(labels: np.ndarray, objects: np.ndarray | None) -> np.ndarray:
    from skimage.measure import label
    from skimage.segmentation import relabel_sequential

    classes = np.where(labels == IGNORE, BACKGROUND, labels)
    if objects is None:
        return label(classes, background=BACKGROUND).astype(np.int32)
    return relabel_sequential(np.where(classes == BACKGROUND, 0, objects))[0].astype(np.int32)
