"""Write labelme's JSON files.

labelme has no holes: one is written as a polygon of its own, behind the one it is cut out of, with the same label and
group_id and the flag "hole", which the reader takes as such. Where labelme itself draws label images it would fill it.
"""

import base64
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from maskmill.annotations.flags import HOLE
from maskmill.annotations.shapes import Shape
from maskmill.files import write_json

VERSION = "6.3.1"
"""The version of labelme whose files are written; 5 reads them too."""


def write(
    path: str | os.PathLike,
    shapes: Sequence[Shape],
    picture: str,
    size: tuple[int, int],
    flags: Mapping[str, bool] | None = None,
    embedded: str | None = None,
    **other: Any,
) -> None:
    """Write a labelme file; folders are made.

    shapes: of any kind but "ellipse", which labelme does not have. picture: as `relative_picture` gives it. size:
    (height, width) of the upright picture. embedded: base64 text of the picture's bytes, if it has no file of its own.
    other: further keys, which labelme keeps.
    """
    content = {
        "version": VERSION,
        "flags": dict(flags or {}),
        "shapes": stored_shapes(shapes),
        "imagePath": picture,
        "imageData": embedded,
        "imageHeight": size[0],
        "imageWidth": size[1],
    }
    write_json(path, content | other)


def relative_picture(picture: str | os.PathLike, annotation: str | os.PathLike) -> str:
    """A picture's path as an annotation file names it: from the file's folder, with "/"."""
    return PurePath(os.path.relpath(picture, Path(annotation).parent)).as_posix()


def stored_shapes(shapes: Sequence[Shape]) -> list[dict[str, Any]]:
    """The shapes as labelme stores them, holes behind their polygon."""
    used = {shape.group_id for shape in shapes}
    fresh = (number for number in count(1) if number not in used)
    return [stored for shape in shapes for stored in _stored(shape, fresh)]


def _stored(shape: Shape, fresh: Iterator[int]) -> list[dict[str, Any]]:
    """A shape and its holes; one with holes is given a group of its own if it has none."""
    if shape.kind == "ellipse":
        raise ValueError("labelme has no ellipse")
    if shape.holes and shape.group_id is None:
        shape = replace(shape, group_id=next(fresh))
    mask = _encoded(shape.mask) if shape.kind == "mask" else None
    return [
        _record(shape, shape.points, {}) | {"mask": mask},
        *(_record(shape, ring, {HOLE: True}) for ring in shape.holes),
    ]


def _record(shape: Shape, points: np.ndarray, flags: Mapping[str, bool]) -> dict[str, Any]:
    return {
        "label": shape.label,
        "points": points.tolist(),
        "group_id": shape.group_id,
        "description": "",
        "shape_type": shape.kind,
        "flags": dict(flags),
        "mask": None,
    }


def _encoded(mask: np.ndarray) -> str:
    """A mask (h, w) bool as the base64 text of a PNG of zeros and ones."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
