"""What each annotated object loses on its way from the annotation to the network, and what is odd about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from PIL import Image

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import Classes
from maskmill.imaging.resampling import resize_labels, scaled_size
from maskmill.labels.rasterize import BackgroundOption, draw_shape, label_value, object_numbers, rasterize_instances
from maskmill.metrics import SIZE_BINS

OBJECT_COLUMNS = (
    "id",
    "class",
    "object",
    "kind",
    "left",
    "top",
    "right",
    "bottom",
    "annotated_area",
    "drawn_pixels",
    "visible_pixels",
    "trained_pixels",
    "extent",
    "patches",
    "vertices",
    "spacing",
    "outside_share",
    "remarks",
)

TINY = SIZE_BINS["small"]
"""Visible pixels below which an object is called tiny."""

HIDDEN = 0.5
"""Share of an object's pixels that, covered by later ones, is worth a remark."""

CURVED = 60
"""Median turn in degrees at the vertices below which an outline follows a curve; buildings turn by 90."""

COARSE = 1.0
"""Height in pixels of the arcs that a coarse outline cuts off."""

LARGE = "larger than a patch"
"""Remark on an object of which training never sees the whole: no fault of the annotation."""

_CROSSES = "crosses itself"
_OUTLINES = ("polygon", "oriented_rectangle")


@dataclass(frozen=True)
class AuditOptions:
    """What training will do to the objects, of the options of a run.

    scale: factor on height and width. patch: side of a training patch in pixels after scaling, or its sides, or "auto",
    which is not decided before training. minimum_areas: the areas in stored pixels below which post-processing may
    remove components. vertex_spacing: advised greatest distance of an outline's vertices in stored pixels, where it is
    curved.
    """

    scale: float
    patch: int | Sequence[int] | str
    minimum_areas: Sequence[int]
    vertex_spacing: float

    @property
    def patch_sides(self) -> tuple[int, int] | None:
        """Height and width of a training patch; None where they are not decided."""
        if self.patch == "auto":
            return None
        return (self.patch, self.patch) if isinstance(self.patch, int) else tuple(self.patch[-2:])

    @property
    def patch_side(self) -> int | None:
        """The longer of height and width of a training patch; None where it is not decided."""
        return self.patch_sides and max(self.patch_sides)


def audit_objects(
    sample: str,
    annotation: Annotation,
    labels: np.ndarray,
    classes: Classes,
    background: BackgroundOption,
    options: AuditOptions,
) -> list[dict[str, Any]]:
    """One row (see `OBJECT_COLUMNS`) an object of a sample with the label image `labels`, in drawing order.

    left, top, right, bottom: the box around it as it was annotated, right and bottom exclusive, also outside of the
    picture. annotated_area: square pixels by geometry (None for points and lines, and where an outline crosses itself).
    drawn_pixels: drawn alone, in the picture. visible_pixels: left in the label image. trained_pixels: left at the
    training resolution. extent: longer side of the box around what is visible, in pixels at the training resolution.
    patches: number of patches of the validation's grid, laid from the top left corner on, that the box around what is
    visible lies in; None where they are not decided or nothing is visible.
    spacing: mean distance of the outline's vertices. outside_share: share of the area outside the picture. Lengths and
    areas are in stored pixels where nothing is said.
    """
    numbers = rasterize_instances(annotation, classes, background)
    visible = np.bincount(numbers.ravel())
    trained = np.bincount(_at_training_size(numbers, options.scale).ravel(), minlength=len(visible))
    boxes = _boxes(numbers)
    rows = []
    for number, row in _described(annotation, labels, numbers, visible, classes, background):
        seen = int(visible[number]) if number < len(visible) else 0
        kept = int(trained[number]) if number < len(visible) else 0
        row |= dict(zip(("left", "top", "right", "bottom"), row.pop("bounds") or boxes[number], strict=True))
        row |= {"id": sample, "object": number, "visible_pixels": seen, "trained_pixels": kept}
        row["extent"] = round(_longer_side(boxes[number]) * options.scale) if seen else 0
        row["patches"] = _patches(boxes[number], options) if seen else None
        rows.append(row | {"remarks": ", ".join(_remarks(row, options))})
    return rows


def _described(
    annotation: Annotation,
    labels: np.ndarray,
    numbers: np.ndarray,
    visible: np.ndarray,
    classes: Classes,
    background: BackgroundOption,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and figures of every object."""
    if annotation.label_values is not None:
        owner = np.zeros(len(visible), dtype=np.uint8)
        owner[numbers.ravel()] = labels.ravel()
        for number in np.flatnonzero(visible[1:]) + 1:
            yield int(number), _region_figures(classes.names[owner[number] - 1], int(visible[number]))
        return
    parts: dict[int, list[Shape]] = {}
    for shape, number in zip(annotation.shapes, object_numbers(annotation, classes, background), strict=True):
        if number:
            parts.setdefault(number, []).append(shape)
    for number, shapes in parts.items():
        name = classes.names[label_value(shapes[0].label, classes, background) - 1]
        yield number, {"class": name} | _shape_figures(shapes, *labels.shape)


def _region_figures(name: str, pixels: int) -> dict[str, Any]:
    return {
        "class": name,
        "kind": "region",
        "bounds": None,
        "annotated_area": pixels,
        "drawn_pixels": pixels,
        "vertices": None,
        "spacing": None,
        "outside_share": 0.0,
        "faults": [],
        "chord_error": 0.0,
    }


def _shape_figures(shapes: Sequence[Shape], height: int, width: int) -> dict[str, Any]:
    """Figures of the shapes that make up one object."""
    faults = [fault for shape in shapes for fault in _faults(shape)]
    areas = [None] if _CROSSES in faults else [shape_area(shape) for shape in shapes]
    rings = [ring for shape in shapes if shape.kind in _OUTLINES for ring in (shape.points, *shape.holes)]
    edges = np.concatenate([_edges(ring) for ring in rings]) if rings else np.empty(0)
    bounds = np.stack([_bounds(shape) for shape in shapes])
    low, high = np.floor(bounds[:, 0].min(axis=0)), np.floor(bounds[:, 1].max(axis=0)) + 1
    return {
        "bounds": (*low.astype(int).tolist(), *high.astype(int).tolist()),
        "kind": "+".join(sorted({shape.kind for shape in shapes})),
        "annotated_area": None if None in areas else round(sum(areas), 1),
        "drawn_pixels": _drawn_pixels(shapes, height, width),
        "vertices": len(edges) or None,
        "spacing": round(float(edges.mean()), 2) if len(edges) else None,
        "outside_share": round(max(_outside_share(shape, height, width) for shape in shapes), 4),
        "faults": faults,
        "chord_error": max(map(_chord_error, rings), default=0.0),
    }


def shape_area(shape: Shape) -> float | None:
    """Geometric area of a shape in square pixels; None for kinds without one (points and lines)."""
    if shape.kind in _OUTLINES:
        return _ring_area(shape.points) - sum(_ring_area(ring) for ring in shape.holes)
    if shape.kind == "rectangle":
        return float(np.prod(np.ptp(shape.points, axis=0)))
    if shape.kind == "circle":
        return float(np.pi * ((shape.points[1] - shape.points[0]) ** 2).sum())
    if shape.kind == "ellipse":
        return float(np.pi * np.prod(np.hypot(*(shape.points[1:] - shape.points[0]).T)))
    if shape.kind == "mask":
        return float(shape.mask.sum())
    return None


def _ring_area(points: np.ndarray) -> float:
    x, y = (points - points.mean(axis=0)).T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def _edges(ring: np.ndarray) -> np.ndarray:
    """Lengths of a closed ring's edges, a repeated last vertex left out."""
    lengths = np.hypot(*(np.roll(ring, -1, axis=0) - ring).T)
    return lengths[lengths > 0]


def _chord_error(ring: np.ndarray) -> float:
    """How far, in pixels, a curve through the vertices bulges beyond the edges: half of them by more than this.

    An edge of length l between vertices that turn by t is the chord of an arc of height l / 2 tan(t / 4). 0 where half
    of the turns are above 60 degrees, as at the corners of buildings, or there are fewer than six vertices.
    """
    ahead = np.roll(ring, -1, axis=0) - ring
    lengths = np.hypot(*ahead.T)
    ahead, lengths = ahead[lengths > 0], lengths[lengths > 0]
    if len(lengths) < 6:
        return 0.0
    headings = np.arctan2(ahead[:, 1], ahead[:, 0])
    turns = np.abs((np.diff(headings, append=headings[:1]) + np.pi) % (2 * np.pi) - np.pi)
    if np.median(turns) > np.radians(CURVED):
        return 0.0
    return float(np.median(lengths / 2 * np.tan(turns / 4)))


def _drawn_pixels(shapes: Sequence[Shape], height: int, width: int) -> int:
    """Pixels in the picture that the shapes cover, drawn alone. Only the box around them is drawn."""
    reach = max(10.0, *(_reach(shape) for shape in shapes))  # points and lines are wider than their points
    points = np.concatenate([shape.points for shape in shapes])
    low = np.clip(np.floor(points.min(axis=0) - reach), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + reach) + 1, 0, (width, height)).astype(int)
    if (high <= low).any():
        return 0
    canvas = Image.new("L", tuple((high - low).tolist()))
    for shape in shapes:
        draw_shape(canvas, _moved(shape, low), 1)
    return int(np.count_nonzero(canvas))


def _reach(shape: Shape) -> float:
    """How far a round shape reaches beyond its points."""
    if shape.kind in ("circle", "ellipse"):
        return float(np.hypot(*(shape.points[1:] - shape.points[0]).T).max())
    return float(max(shape.mask.shape)) if shape.kind == "mask" else 0.0


def _bounds(shape: Shape) -> np.ndarray:
    """Lower and upper corner (2, 2) of the box around a shape, points and lines without their breadth."""
    if shape.kind in ("circle", "ellipse"):
        return shape.points[0] + np.array([[-1.0], [1.0]]) * _reach(shape)
    return np.stack([shape.points.min(axis=0), shape.points.max(axis=0)])


def _moved(shape: Shape, origin: np.ndarray) -> Shape:
    holes = tuple(ring - origin for ring in shape.holes)
    return Shape(shape.label, shape.kind, shape.points - origin, shape.group_id, shape.mask, holes)


def _outside_share(shape: Shape, height: int, width: int) -> float:
    """Share of a shape outside the picture: of its area, or of its points where it has none or is a mask."""
    low, high = shape.points.min(axis=0) - _reach(shape), shape.points.max(axis=0) + _reach(shape)
    if (low >= -1).all() and (high <= (width + 1, height + 1)).all():  # the breadth of a careless click at the edge
        return 0.0
    if shape.kind in (*_OUTLINES, "rectangle"):
        area, inside = _clipped_area(shape, height, width)
        if area:
            return 1 - inside / area
    outside = (shape.points < 0).any(axis=1) | (shape.points > (width, height)).any(axis=1)
    return float(outside.mean())


def _clipped_area(shape: Shape, height: int, width: int) -> tuple[float, float]:
    """Area of an outline and of its part in the picture, crossings mended."""
    import shapely

    if shape.kind == "rectangle":
        outline = shapely.box(*shape.points.min(axis=0), *shape.points.max(axis=0))
    else:
        outline = shapely.make_valid(shapely.Polygon(shape.points, shape.holes))
    return outline.area, outline.intersection(shapely.box(0, 0, width, height)).area


def _faults(shape: Shape) -> list[str]:
    """Faults of an outline's geometry."""
    if shape.kind not in _OUTLINES:
        return [f"{shape.kind} drawn wide"] if shape.kind in ("point", "points", "line", "linestrip") else []
    import shapely

    if shapely.is_simple(shapely.LinearRing(shape.points)):
        return []
    # a ring that only touches itself encloses the same area however its inside is counted
    area, mended = _ring_area(shape.points), shapely.make_valid(shapely.Polygon(shape.points)).area
    return [_CROSSES] if abs(area - mended) > max(1.0, 0.001 * mended) else []


def _at_training_size(numbers: np.ndarray, scale: float) -> np.ndarray:
    """Object numbers resized as label images are, slice by slice."""
    height, width = scaled_size(*numbers.shape[-2:], scale)
    if scale == 1:
        return numbers
    slices = numbers.reshape(-1, *numbers.shape[-2:]).astype(np.float32)  # exact up to 2^24 objects
    return np.stack([resize_labels(one, height, width) for one in slices]).astype(np.int32)


def _boxes(numbers: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """Left, top, right and bottom (exclusive) of the box around what is visible of each object."""
    from scipy.ndimage import find_objects

    found = enumerate(find_objects(numbers), 1)
    boxes = {number: box[-2:] for number, box in found if box is not None}
    return {n: (columns.start, rows.start, columns.stop, rows.stop) for n, (rows, columns) in boxes.items()}


def _longer_side(box: tuple[int, int, int, int]) -> int:
    left, top, right, bottom = box
    return max(right - left, bottom - top)


def _patches(box: tuple[int, int, int, int], options: AuditOptions) -> int | None:
    """Number of patches of a grid without overlap that a box in stored pixels lies in."""
    if not options.patch_sides:
        return None
    left, top, right, bottom = (round(side * options.scale, 6) for side in box)
    height, width = options.patch_sides
    return (ceil(bottom / height) - int(top // height)) * (ceil(right / width) - int(left // width))


def _remarks(row: dict[str, Any], options: AuditOptions) -> Iterator[str]:
    """What is worth a look, in words; takes the helper figures out of the row."""
    faults, chord_error = row.pop("faults"), row.pop("chord_error")
    yield from sorted(set(faults))
    if row["outside_share"]:
        yield "outside the picture" if row["outside_share"] > 0.999 else "reaches outside"
    if not row["drawn_pixels"]:
        return
    if not row["visible_pixels"]:
        yield "covered altogether"
        return
    if row["visible_pixels"] < HIDDEN * row["drawn_pixels"]:
        yield "mostly covered"
    if row["visible_pixels"] < TINY:
        yield "tiny"
    if not row["trained_pixels"]:
        yield "gone at training size"
    if options.patch_side and row["extent"] > options.patch_side:
        yield LARGE
    if chord_error > COARSE and row["spacing"] > options.vertex_spacing:
        yield "coarse outline"


def count_remarks(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many objects have each remark."""
    counts: dict[str, int] = {}
    for row in rows:
        for remark in filter(None, row["remarks"].split(", ")):
            counts[remark] = counts.get(remark, 0) + 1
    return dict(sorted(counts.items()))
