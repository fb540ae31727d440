"""Read the XML files of CVAT's export "CVAT for images 1.1".

A file lists images with the shapes on them: polygons, boxes and ellipses (both may be turned), polylines, points and
masks. Shapes are drawn by their z_order, equal ones in the order of the file; shapes of one label and group_id are one
object. Shapes that are `outside` are not drawn. Tags, attributes, `occluded` and the labels' colours are not kept.

CVAT writes no document type declaration, so a file that has one is refused and no entity is ever expanded.

Reference: https://docs.cvat.ai/docs/other/xml_format
"""

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from maskmill.annotations.collection import (
    ShapeError,
    box_shape,
    listing,
    mask_of_runs,
    mask_shape,
    parsed_once,
    picture_path,
    turned,
)
from maskmill.annotations.formats import Entry
from maskmill.annotations.shapes import FARTHEST, Annotation, AnnotationError, Finding, Shape
from maskmill.files import sha256_json

_EXPORT = 'export the task again as "CVAT for images 1.1"'
_POINT_KINDS = {"polygon": "polygon", "polyline": "linestrip", "points": "points"}
_KNOWN = (*_POINT_KINDS, "box", "ellipse", "mask")
_NOT_DRAWN = ("tag", "attribute")
_NOT_SHOWN = ("occluded", "source")


@dataclass(frozen=True)
class _Picture:
    """One image element: its attributes, and tag and attributes of each shape in the order of the file."""

    attributes: dict[str, str]
    shapes: list[tuple[str, dict[str, str]]]


class _TreeBuilder(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        detail = "has a document type declaration (<!DOCTYPE ...>), which CVAT never writes"
        raise AnnotationError(Finding("broken_annotation", detail, _EXPORT))


def list_entries(path: str | os.PathLike) -> list[Entry]:
    """The pictures that a file lists, with or without shapes, in its order.

    Raises AnnotationError with all that is wrong with the file as a whole: no CVAT file, one of a video, pictures
    without a name or listed twice.
    """
    return [Entry(name, name, _digest(picture)) for name, picture in _parsed(path).items()]


def read(path: str | os.PathLike, entry_key: str) -> Annotation:
    """Read the shapes on one picture. Masks are taken exactly; all other shapes keep their coordinates.

    Raises AnnotationError with everything that is wrong with them.
    """
    pictures = _parsed(path)
    if entry_key not in pictures:
        raise AnnotationError(Finding("broken_annotation", f'does not list the picture "{entry_key}"', _EXPORT))
    picture = pictures[entry_key]
    findings, placed = [], []
    size = [_size(picture.attributes, key, findings) for key in ("height", "width")]
    for number, (tag, attributes) in enumerate(picture.shapes, 1):
        try:
            if attributes.get("outside") != "1":
                placed.append((_whole(attributes, "z_order", "0"), _checked_shape(tag, attributes)))
        except ShapeError as error:
            detail = f'shape {number} (<{tag} label="{attributes.get("label", "")}">) {error}'
            remedy = f"correct or delete the shape in CVAT and {_EXPORT}"
            findings.append(Finding(error.kind, detail, remedy))
    if findings:
        raise AnnotationError(*findings)
    shapes = tuple(shape for _, shape in sorted(placed, key=lambda place: place[0]))
    return Annotation(*size, shapes, picture=entry_key)


def _digest(picture: _Picture) -> str:
    shapes = [
        [tag, {key: value for key, value in attributes.items() if key not in _NOT_SHOWN}]
        for tag, attributes in picture.shapes
    ]
    return sha256_json([picture.attributes.get("height"), picture.attributes.get("width"), shapes])


@parsed_once
def _parsed(path: str) -> dict[str, _Picture]:
    """The pictures of a file by their paths."""
    images = _images(path)
    named, nameless = [], []
    for number, image in enumerate(images, 1):
        if image.get("name"):
            shapes = [(shape.tag, shape.attrib) for shape in image if shape.tag not in _NOT_DRAWN]
            named.append((picture_path(image.get("name")), _Picture(image.attrib, shapes)))
        else:
            nameless.append(f"image {number}")
    findings = []
    if nameless:
        findings.append(Finding("broken_annotation", f"images without a name: {listing(nameless)}", _EXPORT))
    pictures = _told_apart(named)
    repeated = [name for name, count in Counter(name for name, _ in pictures).items() if count > 1]
    if repeated:
        remedy = "export the tasks one by one, or delete all but one of these images from the file"
        findings.append(Finding("duplicate_id", f"file names that are listed twice: {listing(repeated)}", remedy))
    if findings:
        raise AnnotationError(*findings)
    return dict(pictures)


def _told_apart(named: list[tuple[str, _Picture]]) -> list[tuple[str, _Picture]]:
    """Put the subset before names that several tasks of a project share, as the folders of its export do."""
    counts = Counter(name for name, _ in named)
    subsets = [picture.attributes.get("subset", "") if counts[name] > 1 else "" for name, picture in named]
    return [
        (f"{subset}/{name}" if subset else name, picture)
        for subset, (name, picture) in zip(subsets, named, strict=True)
    ]


def _images(path: str) -> list[ElementTree.Element]:
    try:
        root = ElementTree.parse(path, ElementTree.XMLParser(target=_TreeBuilder())).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        remedy = f"{_EXPORT}, or restore the file from a copy"
        raise AnnotationError(Finding("broken_annotation", f"not valid XML: {error}", remedy)) from error
    detail = None
    version = root.findtext("version", "1.1").strip()
    if root.tag != "annotations":
        detail = f"not a CVAT file: its root is <{root.tag}>, not <annotations>"
    elif root.find("track") is not None:
        detail = "is the export of a video, with tracks over frames"
    elif version.split(".")[0] != "1":
        detail = f"is of version {version} of CVAT's format, of which 1 is known"
    elif root.find("image") is None:
        detail = "lists no image"
    if detail:
        raise AnnotationError(Finding("broken_annotation", detail, f"{_EXPORT}, or correct dataset.source"))
    return root.findall("image")


def _size(attributes: Mapping[str, str], key: str, findings: list[Finding]) -> int | None:
    try:
        size = _whole(attributes, key, "0")
    except ShapeError:
        size = -1
    if size < 0:
        detail = f'states the picture\'s {key} as "{attributes[key]:.40}"'
        findings.append(Finding("broken_annotation", detail, f"correct it to a number of pixels, or {_EXPORT}"))
    return size or None


def _checked_shape(tag: str, attributes: Mapping[str, str]) -> Shape:
    shape = _shape(tag, attributes)
    if defect := shape.defect():
        raise ShapeError(defect, "degenerate_shape")
    return shape


def _shape(tag: str, attributes: Mapping[str, str]) -> Shape:
    if tag not in _KNOWN:
        raise ShapeError(f"is of a kind that has no area; known are {', '.join(_KNOWN)}", "unsupported_shape")
    label = _text(attributes, "label")
    group = _whole(attributes, "group_id", "0") or None
    if tag in _POINT_KINDS:
        return Shape(label, _POINT_KINDS[tag], _points(_text(attributes, "points")), group)
    if tag == "mask":
        return _mask(label, attributes, group)
    degrees = _number(attributes, "rotation", "0")
    if tag == "ellipse":
        return _ellipse(label, attributes, degrees, group)
    left, top, right, bottom = (_number(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    return box_shape(label, np.array([[left, top], [right, bottom]]), degrees, group)


def _points(text: str) -> np.ndarray:
    """Points (N, 2) of the text "x,y;x,y;..."."""
    try:
        points = np.array([pair.split(",") for pair in text.split(";")], dtype=np.float64)
    except ValueError:
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError('has points that are not "x,y;x,y;..."')
    return points


def _ellipse(label: str, attributes: Mapping[str, str], degrees: float, group: int | None) -> Shape:
    x, y, across, down = (_number(attributes, key) for key in ("cx", "cy", "rx", "ry"))
    if across == 0 or down == 0:
        raise ShapeError(f"has the half-axes {across:g} and {down:g}", "degenerate_shape")
    ends = np.array([[x, y], [x + abs(across), y], [x, y + abs(down)]])
    return Shape(label, "ellipse", turned(ends, ends[0], degrees), group)


def _mask(label: str, attributes: Mapping[str, str], group: int | None) -> Shape:
    left, top, width, height = (_whole(attributes, key) for key in ("left", "top", "width", "height"))
    if width <= 0 or height <= 0:
        raise ShapeError(f"is a mask of {width} × {height} pixels", "degenerate_shape")
    if max(abs(left), abs(top)) > FARTHEST:
        raise ShapeError(f"is a mask at {left!s:.12}, {top!s:.12}, far outside of any picture", "degenerate_shape")
    stored = _text(attributes, "rle")
    try:
        runs = [int(run) for run in stored.split(",")]
    except ValueError as error:
        raise ShapeError("has an rle that is not a list of whole numbers") from error
    return mask_shape(label, mask_of_runs(runs, height, width, by_column=False), left, top, group)


def _text(attributes: Mapping[str, str], key: str) -> str:
    if not attributes.get(key):
        raise ShapeError(f"has no {key}")
    return attributes[key]


def _number(attributes: Mapping[str, str], key: str, default: str = "") -> float:
    text = attributes.get(key, default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not abs(number) <= FARTHEST:
        raise ShapeError(f'has a {key} that is no number or lies far outside of any picture: "{text:.40}"')
    return number


def _whole(attributes: Mapping[str, str], key: str, default: str = "") -> int:
    text = attributes.get(key, default)
    try:
        return int(text)
    except ValueError as error:
        raise ShapeError(f'has a {key} that is no whole number: "{text:.40}"') from error
