"""Read COCO's JSON files of object instances: polygons, run lengths plain and compressed, boxes.

A file lists pictures, categories and annotations, which refer to both by their ids. Every annotation is one object; all
rings of its polygon belong to it (COCO knows no holes). Annotations are drawn in the order of the file. One without a
segmentation is drawn as its box. `iscrowd` makes no difference: the pixels are of the category.

Reference: https://cocodataset.org/#format-data
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.annotations.collection import (
    ShapeError,
    box_shape,
    flat_numbers,
    listing,
    mask_of_runs,
    mask_shape,
    parsed_once,
    picture_path,
)
from maskmill.annotations.formats import Entry
from maskmill.annotations.shapes import FARTHEST, Annotation, AnnotationError, Finding, Shape
from maskmill.files import sha256_json

_PARTS = ("images", "annotations", "categories")
_EXPORT = "export the file again as COCO instances"


@dataclass(frozen=True)
class _Picture:
    """One picture of a file: its record and the annotations on it, in the order of the file."""

    record: dict[str, Any]
    annotations: list[dict[str, Any]]


@dataclass(frozen=True)
class _File:
    """A parsed file: names of categories by the text of their ids, pictures by their paths."""

    labels: dict[str, str]
    pictures: dict[str, _Picture]


def list_entries(path: str | os.PathLike) -> list[Entry]:
    """The pictures that a file lists, with or without annotations, in its order.

    Raises AnnotationError with all that is wrong with the file as a whole: no COCO file, pictures without a name or
    listed twice, annotations of pictures that it does not list.
    """
    file = _parsed(path)
    return [Entry(name, name, _digest(picture, file.labels)) for name, picture in file.pictures.items()]


def read(path: str | os.PathLike, entry_key: str) -> Annotation:
    """Read the annotations of one picture. Masks are taken exactly; polygons and boxes keep their coordinates.

    Raises AnnotationError with everything that is wrong with them.
    """
    file = _parsed(path)
    if entry_key not in file.pictures:
        raise AnnotationError(Finding("broken_annotation", f'does not list the picture "{entry_key}"', _EXPORT))
    picture = file.pictures[entry_key]
    findings, shapes = [], []
    size = _size(picture, findings)
    for number, annotation in enumerate(picture.annotations, 1):
        shapes += _checked_shapes(annotation, number, file.labels, size, findings)
    if findings:
        raise AnnotationError(*findings)
    return Annotation(*size, tuple(shapes), picture=entry_key)


def _digest(picture: _Picture, labels: Mapping[str, str]) -> str:
    drawn = [
        [_label(annotation, labels), annotation.get("segmentation") or _box(annotation)]
        for annotation in picture.annotations
    ]
    return sha256_json([picture.record.get("height"), picture.record.get("width"), drawn])


@parsed_once
def _parsed(path: str) -> _File:
    content = _content(path)
    findings = []
    labels = _labels(content["categories"], findings)
    names = _names(content["images"], findings)
    annotations = _by_picture(content["annotations"], names, findings)
    if findings:
        raise AnnotationError(*findings)
    records = {_id(record, "id"): record for record in content["images"]}
    return _File(labels, {name: _Picture(records[key], annotations[key]) for key, name in names.items()})


def _content(path: str) -> dict[str, list]:
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        remedy = f"{_EXPORT}, or restore it from a copy"
        raise AnnotationError(Finding("broken_annotation", f"not valid JSON: {error}", remedy)) from error
    missing = [part for part in _PARTS if not (isinstance(content, dict) and isinstance(content.get(part), list))]
    if missing:
        lists = ", ".join(f'"{part}"' for part in missing)
        remedy = f"{_EXPORT}, or correct dataset.source"
        if isinstance(content, dict) and isinstance(content.get("shapes"), list):
            remedy = "set dataset.source.format to labelme, or correct dataset.source"
        raise AnnotationError(Finding("broken_annotation", f"not a COCO file: it has no list {lists}", remedy))
    if any(isinstance(annotation, dict) and "segments_info" in annotation for annotation in content["annotations"]):
        remedy = f"{_EXPORT}, or read its mask pictures as format png"
        raise AnnotationError(Finding("broken_annotation", "a COCO panoptic file, whose masks are elsewhere", remedy))
    return content


def _labels(categories: list, findings: list[Finding]) -> dict[str, str]:
    """Names of the categories by the text of their ids."""
    labels, wrong = {}, []
    for number, category in enumerate(categories, 1):
        key, name = _id(category, "id"), category.get("name") if isinstance(category, dict) else None
        if key is None or not isinstance(name, str) or not name:
            wrong.append(f"category {number} has no id or no name")
        elif labels.setdefault(key, name) != name:
            wrong.append(f'id {key} is "{labels[key]}" and "{name}"')
    if wrong:
        detail = f"categories that cannot be told apart: {listing(wrong)}"
        findings.append(Finding("broken_annotation", detail, "give every category an id of its own and a name"))
    return labels


def _names(images: list, findings: list[Finding]) -> dict[str, str]:
    """Paths of the pictures by the text of their ids."""
    names, nameless, same_id, same_name = {}, [], [], []
    taken = set()
    for number, record in enumerate(images, 1):
        key, name = _id(record, "id"), _picture_name(record)
        if key is None or name is None:
            nameless.append(f"image {number}")
        elif key in names:
            same_id.append(f"{key} ({names[key]}, {name})")
        else:
            if name in taken:
                same_name.append(name)
            names[key] = name
            taken.add(name)
    remedy = f"correct the list of images, or {_EXPORT}"
    for kind, what, offenders in (
        ("broken_annotation", "images without an id or a file_name", nameless),
        ("duplicate_id", "image ids that are given twice", same_id),
        ("duplicate_id", "file names that are listed twice", same_name),
    ):
        if offenders:
            findings.append(Finding(kind, f"{what}: {listing(offenders)}", remedy))
    return names


def _picture_name(record: Any) -> str | None:
    if not isinstance(record, dict):
        return None
    stated = next((record[k] for k in ("file_name", "coco_url") if isinstance(record.get(k), str) and record[k]), "")
    return picture_path(stated) if stated else None


def _by_picture(annotations: list, names: Mapping[str, str], findings: list[Finding]) -> dict[str, list[dict]]:
    """Annotations by the text of the id of their picture."""
    grouped, strays = defaultdict(list), []
    for number, annotation in enumerate(annotations, 1):
        key = _id(annotation, "image_id")
        if key in names:
            grouped[key].append(annotation)
        elif isinstance(annotation, dict):
            strays.append(
                f"{_id(annotation, 'id') or f'number {number}'} (image_id {annotation.get('image_id')!r:.40})"
            )
        else:
            strays.append(f"number {number} (not an object)")
    if strays:
        detail = f"annotations of pictures that the file does not list: {listing(strays)}"
        findings.append(Finding("missing_picture", detail, "list their pictures, or delete these annotations"))
    return grouped


def _id(record: Any, key: str) -> str | None:
    """Text of an id, so that 7 and "7" are one; None where there is none."""
    value = record.get(key) if isinstance(record, dict) else None
    value = value if isinstance(value, str) else _whole(value)
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    """A number without a fraction, which some tools write as 7.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def _which(annotation: Mapping[str, Any], number: int) -> str:
    """How an annotation is found in the file: by its id, or else its place."""
    return f"annotation {_id(annotation, 'id') or f'number {number} of its picture'}"


def _label(annotation: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    return labels.get(_id(annotation, "category_id") or "")


def _size(picture: _Picture, findings: list[Finding]) -> tuple[int | None, int | None]:
    """Height and width that the file states for a picture, or else those of its run-length masks."""
    masks = [a["segmentation"].get("size") for a in picture.annotations if isinstance(a.get("segmentation"), dict)]
    known = next((size for size in masks if _is_size(size)), [None, None])
    sizes = []
    for key, other in zip(("height", "width"), known, strict=True):
        stated = picture.record.get(key) or other
        sizes.append(_whole(stated))
        if stated is not None and (sizes[-1] is None or sizes[-1] < 0):
            detail = f"states the picture's {key} as {stated!r:.40}"
            findings.append(Finding("broken_annotation", detail, "correct it to a number of pixels"))
    return tuple(sizes)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int and n > 0 for n in value)


def _checked_shapes(
    annotation: dict[str, Any],
    number: int,
    labels: Mapping[str, str],
    size: tuple[int | None, int | None],
    findings: list[Finding],
) -> list[Shape]:
    """Shapes of an annotation, all of one object; what is wrong with it is added to `findings`."""
    which, label = _which(annotation, number), _label(annotation, labels)
    remedy = f"draw the object anew and {_EXPORT}, or delete the annotation"
    if label is None:
        known = ", ".join(labels) or "none"
        detail = f"{which} has category_id {annotation.get('category_id')!r}; the ids of the categories are {known}"
        findings.append(Finding("unknown_label", detail, "add the category to the file, or correct the annotation"))
        label = ""
    try:
        shapes = _shapes(annotation, number, label, size)
    except ShapeError as error:
        findings.append(Finding(error.kind, f"{which} {error}", remedy))
        return []
    for part, shape in enumerate(shapes, 1):
        if defect := shape.defect():
            where = f"{which}, ring {part}," if len(shapes) > 1 else which
            findings.append(Finding("degenerate_shape", f"{where} {defect}", remedy))
    return shapes


def _shapes(annotation: dict[str, Any], number: int, label: str, size: tuple[int | None, int | None]) -> list[Shape]:
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return [mask_shape(label, _mask(segmentation, size), 0, 0, number)]
    if isinstance(segmentation, list) and segmentation:
        return [Shape(label, "polygon", _ring(ring, part), number) for part, ring in enumerate(segmentation, 1)]
    if segmentation not in (None, []):
        raise ShapeError(f"has a segmentation that is neither a list nor an object but {segmentation!r:.40}")
    x, y, width, height, degrees = _box_numbers(annotation)
    return [box_shape(label, np.array([[x, y], [x + width, y + height]]), degrees, number)]


def _ring(ring: Any, part: int) -> np.ndarray:
    array = flat_numbers(ring)
    if array is None:
        raise ShapeError(f"has a ring {part} that is not a list of numbers [x1, y1, x2, y2, ...]")
    if array.size % 2:
        raise ShapeError(f"has a ring {part} of {array.size} numbers, an odd count: a coordinate is missing")
    return array.reshape(-1, 2).astype(np.float64)


def _box(annotation: Mapping[str, Any]) -> list:
    """The box of an annotation and by how many degrees it is turned (as CVAT states it), as in the file."""
    attributes = annotation.get("attributes")
    return [annotation.get("bbox"), attributes.get("rotation") if isinstance(attributes, dict) else None]


def _box_numbers(annotation: Mapping[str, Any]) -> tuple[float, ...]:
    box, degrees = _box(annotation)
    if box is None:
        raise ShapeError("has neither a segmentation nor a bbox")
    numbers = [*box, degrees or 0] if isinstance(box, list) else []
    if len(numbers) != 5 or not all(isinstance(n, int | float) and abs(n) <= FARTHEST for n in numbers):
        raise ShapeError(f"has no segmentation, and its bbox is not four numbers [x, y, width, height] but {box!r:.80}")
    return tuple(map(float, numbers))


def _mask(encoded: dict[str, Any], size: tuple[int | None, int | None]) -> np.ndarray:
    """The (H, W) bool mask of run lengths, which go down the columns of the picture."""
    runs, stated = encoded.get("counts"), encoded.get("size")
    if not _is_size(stated):
        raise ShapeError(f"is a mask whose size is not [height, width] but {stated!r:.40}")
    if any(known and known != value for known, value in zip(size, stated, strict=True)):
        height, width = size
        detail = f"is a mask of {stated[1]} × {stated[0]} pixels on a picture of {width} × {height} (width × height)"
        raise ShapeError(detail, "size_mismatch")
    if not isinstance(runs, list | str):
        raise ShapeError("is a mask without counts")
    return mask_of_runs(_uncompressed(runs) if isinstance(runs, str) else runs, *stated, by_column=True)


def _uncompressed(text: str) -> list[int]:
    """Run lengths of COCO's text for them: numbers in little-endian pieces of 5 bits, each a character from "0" on.

    Bit 6 of a piece tells that another follows; the fourth and later numbers are differences to the last but one.
    pycocotools would return memory it never wrote where a text is cut off.
    """
    runs, value, bits = [], 0, 0
    for character in text:
        piece = ord(character) - ord("0")
        if not 0 <= piece < 64:
            raise ShapeError(f"is a mask whose counts hold the character {character!r}")
        value |= (piece & 31) << bits
        bits += 5
        if bits > 60:
            raise ShapeError("is a mask whose counts hold a number that is too large")
        if piece & 32:
            continue
        if piece & 16:
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = bits = 0
    if bits:
        raise ShapeError("is a mask whose counts end within a number")
    return runs
