"""Read labelme's JSON files, of every version from 3 on and of tools that imitate it.

A file holds shapes, each with a label and points, and the picture's name, size and, in older versions, its bytes.
Keys that are missing in old files (version, shape_type, group_id, imageHeight, imageWidth) have defaults.
"""

import base64
import binascii
import io
import json
import os
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image

from maskmill.annotations.shapes import POINT_COUNTS, Annotation, AnnotationError, Finding, Shape

_REMEDY = "open the file in labelme and save it again, or restore it from a copy"


def read(path: str | os.PathLike) -> Annotation:
    """Read one labelme file. Shapes keep their order and their labels exactly.

    Raises AnnotationError, with every defect of the file, where it is no labelme file or a shape makes no sense.
    """
    content = load(path)
    shapes, findings = [], []
    for number, stored in enumerate(content["shapes"], 1):
        try:
            shapes.append(_shape(stored))
        except (ValueError, TypeError, KeyError) as error:
            findings.append(Finding("broken_annotation", f"shape {number}: {_reason(error)}", _REMEDY))
    if findings:
        raise AnnotationError(*findings)
    return Annotation(
        _size(content, "imageHeight"), _size(content, "imageWidth"), tuple(shapes), picture=picture(content)
    )


def load(path: str | os.PathLike) -> dict[str, Any]:
    """The JSON object of a labelme file; AnnotationError where it is not one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise AnnotationError(Finding("broken_annotation", f"cannot be read: {error.strerror}", _REMEDY)) from error
    except (ValueError, RecursionError) as error:
        raise AnnotationError(Finding("broken_annotation", f"not valid JSON: {error}", _REMEDY)) from error
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        remedy = "move files that are no annotations away, or correct dataset.source"
        raise AnnotationError(Finding("broken_annotation", 'not a labelme file: it has no list "shapes"', remedy))
    return content


def picture(content: dict[str, Any]) -> str | None:
    """The picture's path relative to the file's folder, as stored in it; Windows separators become "/"."""
    name = content.get("imagePath")
    return PureWindowsPath(name).as_posix() if isinstance(name, str) and name else None


def _reason(error: Exception) -> str:
    return f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)


def _size(content: dict[str, Any], key: str) -> int | None:
    value = content.get(key)
    return int(value) if isinstance(value, int | float) and value > 0 else None


def _shape(stored: dict[str, Any]) -> Shape:
    if not isinstance(stored, dict):
        raise TypeError("it is not an object")
    label, kind, points = stored["label"], stored.get("shape_type") or "polygon", stored["points"]
    if not isinstance(label, str):
        raise TypeError(f"its label {label!r} is not text")
    if kind not in POINT_COUNTS:
        raise ValueError(f'its shape_type "{kind}" is unknown (known: {", ".join(POINT_COUNTS)})')
    group = stored.get("group_id")
    mask = _mask(stored.get("mask")) if kind == "mask" else None
    return Shape(label, kind, _points(points), group if isinstance(group, int) else None, mask)


def _points(points: Any) -> np.ndarray:
    message = "its points are not a list of [x, y] pairs of numbers"
    try:
        array = np.asarray(points, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(message) from error
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(message)
    return array


def _mask(encoded: Any) -> np.ndarray | None:
    """The (h, w) bool pixels of a mask shape, stored as the base64 text of a PNG of zeros and ones."""
    if encoded is None:
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            return np.asarray(image.convert("L") if image.mode not in ("1", "L", "P") else image) > 0
    except (OSError, TypeError, binascii.Error) as error:
        raise ValueError("its mask is not a base64 PNG") from error
