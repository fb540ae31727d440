"""Read labelme's JSON files, of every version from 3 on and of tools that imitate it.

A file holds shapes, each with a label and points, and the picture's name, size and, in older versions, its bytes.
Keys that are missing in old files (version, shape_type, group_id, imageHeight, imageWidth) have defaults. Of
X-AnyLabeling's files, rectangles of four corners and its shape types "rotation" and "quadrilateral" are read too.

labelme has no holes. A polygon with the flag "hole" is read as one: the flag is a check mark in labelme's dialogue.
"""

import base64
import binascii
import dataclasses
import io
import json
import os
import reprlib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from maskmill.annotations.flags import HOLE, PROPOSED
from maskmill.annotations.shapes import POINT_COUNTS, Annotation, AnnotationError, Finding, Shape

_REMEDY = "open the file in labelme and save it again, or restore it from a copy"
_ENCODING_REMEDY = "save it as UTF-8: every text editor can, or iconv -f GBK -t UTF-8 OLD > NEW"
_HOLE_REMEDY = 'list the hole after the polygon it lies in, with the same label, or take its flag "hole" away'

_REVIEW_REMEDY = f'correct it in labelme (snakemake --cores 1 -- annotate_images), then take its flag "{PROPOSED}" away'

_KINDS = {kind: kind for kind in POINT_COUNTS if kind != "ellipse"}
_KINDS |= {"rotation": "oriented_rectangle", "quadrilateral": "polygon"}

_FOREIGN = {
    "coco": "it is a COCO file",
    "eiseg": "it is a list, as EISeg writes it",
    "geojson": "it is a GeoJSON file",
}


def read(path: str | os.PathLike) -> Annotation:
    """Read one labelme file. Shapes keep their order and their labels exactly.

    A polygon with the flag "hole" becomes a hole of the nearest polygon before it that has the same label and, where
    the hole has a group_id, the same group_id, and that contains it. With a group_id, of the nearest one at all if none
    contains it.

    Raises AnnotationError, with every defect of the file, where it is no labelme file or a shape makes no sense.
    """
    content = load(path)
    drawn, findings, size = [], [], {}
    for key in ("imageHeight", "imageWidth"):
        try:
            size[key] = _size(content.get(key))
        except ValueError as error:
            findings.append(Finding("broken_annotation", f"its {key} {error}", _REMEDY))
    for number, stored in enumerate(content["shapes"], 1):
        try:
            drawn.append((number, _shape(stored), _is_hole(stored)))
        except (ValueError, TypeError, KeyError) as error:
            findings.append(Finding("broken_annotation", f"shape {number}: {_reason(error)}", _REMEDY))
    shapes = _with_holes(drawn, findings)
    flags = content.get("flags")
    if isinstance(flags, dict) and flags.get(PROPOSED) is True:
        findings.append(Finding("unreviewed_proposal", "a model drew it and nobody has confirmed it", _REVIEW_REMEDY))
    if findings:
        raise AnnotationError(*findings)
    return Annotation(size["imageHeight"], size["imageWidth"], tuple(shapes), picture=picture(content))


def load(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON object of a labelme file; AnnotationError where it is not one."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise AnnotationError(Finding("broken_annotation", f"cannot be read: {error.strerror}", _REMEDY)) from error
    content = _parse(_text(data))
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        return content
    if foreign := _foreign(content):
        remedy = f"set dataset.source.format: {foreign}, or move the file away"
        detail = f"not a labelme file: {_FOREIGN[foreign]}"
    else:
        remedy = "move files that are no annotations away, or correct dataset.source"
        detail = 'not a labelme file: it has no list "shapes"'
    raise AnnotationError(Finding("broken_annotation", detail, remedy))


def picture(content: dict[str, Any]) -> str | None:
    """The picture's path relative to the file's folder, as stored in it; Windows separators become "/"."""
    name = content.get("imagePath")
    return PureWindowsPath(name).as_posix() if isinstance(name, str) and name else None


def _text(data: bytes) -> str:
    """A file's text; AnnotationError where it is none, or not in UTF-8."""
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf"):
        detail = f"holds nothing but zero bytes ({len(data)})" if b"\0" in data else "is empty"
        raise AnnotationError(Finding("broken_annotation", detail, "annotate the picture anew, or restore the file"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        detail = f"not valid JSON: its text is not UTF-8 (byte {data[error.start]:#x} at position {error.start})"
        if b"\0" in data:
            detail = "not valid JSON: its text is UTF-16, not UTF-8"
        raise AnnotationError(Finding("broken_annotation", detail, _ENCODING_REMEDY)) from error
    if "\0" in text:
        detail = "not valid JSON: it holds zero bytes, as text in UTF-16 does"
        raise AnnotationError(Finding("broken_annotation", detail, _ENCODING_REMEDY))
    return text


def _parse(text: str) -> Any:
    """The content of a JSON text; AnnotationError where it is none, breaks off, or gives a key twice."""
    repeated = Counter()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated.update(key for key, count in counts.items() if count > 1)
        return content

    try:
        content = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        detail = f"not valid JSON: {error}"
        if isinstance(error, json.JSONDecodeError) and _breaks_off(error):
            detail = f"not valid JSON: it breaks off after {len(text)} characters"
        raise AnnotationError(Finding("broken_annotation", detail, _REMEDY)) from error
    if repeated:
        keys = ", ".join(f'"{key}"' for key in sorted(repeated))
        detail = f"gives the same key twice in one object ({keys}), so that one of the two values would be lost"
        raise AnnotationError(Finding("broken_annotation", detail, "keep the right one of the two in a text editor"))
    return content


def _breaks_off(error: json.JSONDecodeError) -> bool:
    return error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")


def _foreign(content: Any) -> str | None:
    """The name of the format that a JSON file is in which is not labelme's."""
    if isinstance(content, list):
        return "eiseg" if any(isinstance(item, dict) and "labelIdx" in item for item in content) else None
    if not isinstance(content, dict):
        return None
    if "images" in content and "annotations" in content:
        return "coco"
    return "geojson" if content.get("type") in ("FeatureCollection", "Feature") else None


def _reason(error: Exception) -> str:
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)


def _size(value: Any) -> int | None:
    """A number of pixels; tools that imitate labelme write it as text or with a decimal point too."""
    if value is None:
        return None
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not number.is_integer() or number < 1:
        raise ValueError(f"is {reprlib.repr(value)}, which is no number of pixels")
    return int(number)


def _shape(stored: Any) -> Shape:
    if not isinstance(stored, dict):
        raise TypeError("it is not an object")
    label, name, points = stored["label"], stored.get("shape_type") or "polygon", _points(stored["points"])
    if not isinstance(label, str):
        raise TypeError(f"its label {reprlib.repr(label)} is not text")
    if not isinstance(name, str) or name not in _KINDS:
        raise ValueError(f'its shape_type "{name}" is unknown (known: {", ".join(_KINDS)})')
    kind, group, mask = _KINDS[name], stored.get("group_id"), None
    if group is not None and type(group) is not int:
        raise TypeError(f"its group_id {reprlib.repr(group)} is not a whole number")
    if kind == "rectangle" and len(points) == 4:
        points = _opposite_corners(points)
    if kind == "mask" and len(points) == 2:
        points = np.sort(points, axis=0)
        mask = _mask(stored.get("mask"), points)
    return Shape(label, kind, points, group, mask)


def _points(stored: Any) -> np.ndarray:
    if not isinstance(stored, list):
        raise TypeError("its points are not a list of [x, y] pairs of numbers")
    wrong = [number for number, point in enumerate(stored, 1) if not _is_point(point)]
    if wrong:
        which = ", ".join(map(str, wrong[:10])) + (" …" if len(wrong) > 10 else "")
        found = reprlib.repr(stored[wrong[0] - 1])
        raise ValueError(
            f"its points are not all [x, y] pairs of finite numbers (wrong: {which}; the first is {found})"
        )
    return np.array(stored, dtype=np.float64).reshape(-1, 2)


def _is_point(stored: Any) -> bool:
    """Whether this is a pair of numbers, neither NaN nor infinite; true and false are none."""
    return (
        isinstance(stored, list)
        and len(stored) == 2
        and all(type(value) in (int, float) and -1e300 < value < 1e300 for value in stored)
    )


def _opposite_corners(points: np.ndarray) -> np.ndarray:
    """Two corners of a rectangle given by its four, in any order."""
    low, high = points.min(axis=0), points.max(axis=0)
    corners = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
    nearest = np.abs(corners[:, None] - points).max(axis=2).min(axis=1)
    if nearest.max() > 0.01:
        raise ValueError("its 4 points are no upright rectangle; oriented_rectangle and polygon are for any others")
    return np.stack([low, high])


def _mask(encoded: Any, points: np.ndarray) -> np.ndarray | None:
    """The (h, w) bool pixels of a mask shape, stored as the base64 text of a PNG of zeros and ones.

    points: two corners of the box, upper left first, of the pixels' numbers: the lower right one belongs to it.
    """
    if encoded is None:
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded)), formats=("PNG",)) as image:
            extent = points[1] - points[0] + 1
            if (np.abs(image.size - extent) >= 1).any():
                box = " × ".join(f"{side:g}" for side in extent)
                raise ValueError(f"its mask has {image.width} × {image.height} pixels, but its box {box}")
            if len(image.getbands()) > 1:
                raise ValueError(f"its mask has colours ({image.mode}) where zeros and ones are expected")
            return np.asarray(image) > 0
    except (OSError, SyntaxError, TypeError, binascii.Error) as error:
        raise ValueError("its mask is not a base64 PNG") from error


def _is_hole(stored: dict[str, Any]) -> bool:
    flags = stored.get("flags")
    hole = flags.get(HOLE, False) if isinstance(flags, dict) else False
    if not isinstance(hole, bool):
        raise TypeError(f'its flag "hole" is {reprlib.repr(hole)}, neither true nor false')
    if hole and (kind := stored.get("shape_type") or "polygon") != "polygon":
        raise ValueError(f'it is a {kind} with the flag "hole", and only a polygon can be one')
    return hole


def _with_holes(drawn: list[tuple[int, Shape, bool]], findings: list[Finding]) -> list[Shape]:
    """The shapes that are no holes, with their holes; what is wrong with a hole is added to the findings.

    drawn: every shape's number in the file, the shape, and whether it is a hole.
    """
    shapes = [shape for _, shape, hole in drawn if not hole]
    if len(shapes) == len(drawn):
        return shapes
    owners, rings, before = _Owners(shapes), defaultdict(list), 0
    for number, shape, hole in drawn:
        if not hole:
            before += 1
        elif defect := shape.defect():
            detail = f'shape {number} ("{shape.label}") {defect}'
            findings.append(Finding("degenerate_shape", detail, "draw the shape anew, or delete it"))
        elif (owner := owners.find(shape, before)) is None:
            wanted = "contains it" if shape.group_id is None else f"has its group_id {shape.group_id}"
            detail = f'shape {number} ("{shape.label}") is a hole, but no polygon of its label before it {wanted}'
            findings.append(Finding("hole_without_object", detail, _HOLE_REMEDY))
        else:
            rings[owner].append(shape.points)
    return [dataclasses.replace(shape, holes=tuple(rings[index])) for index, shape in enumerate(shapes)]


class _Owners:
    """Finds the polygon that a hole is cut out of. Of many polygons, only those around the hole are looked at."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        import shapely

        self._shapes = shapes
        self._indices = [i for i, shape in enumerate(shapes) if shape.kind == "polygon" and len(shape.points) > 2]
        self._outlines = np.array([shapely.Polygon(shapes[index].points) for index in self._indices], dtype=object)
        shapely.prepare(self._outlines)
        self._tree = shapely.STRtree(self._outlines)
        self._groups = defaultdict(list)
        for index in self._indices:
            self._groups[shapes[index].label, shapes[index].group_id].append(index)

    def find(self, hole: Shape, before: int) -> int | None:
        """Index of the last owner among the first `before` shapes; None if there is none."""
        import shapely

        for place in np.sort(self._tree.query(shapely.multipoints(hole.points)))[::-1].tolist():
            index = self._indices[place]
            shape = self._shapes[index]
            fits = index < before and shape.label == hole.label and hole.group_id in (None, shape.group_id)
            # all points lie in the polygon or on its outline, which may cross itself
            if fits and shapely.intersects_xy(self._outlines[place], *hole.points.T).all():
                return index
        group = self._groups.get((hole.label, hole.group_id), []) if hole.group_id is not None else []
        return group[last - 1] if (last := bisect_left(group, before)) else None
