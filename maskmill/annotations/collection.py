"""What readers of files with many pictures share: one parse a file, pictures' paths, run lengths, turned boxes."""

import functools
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar
from urllib.parse import unquote

import numpy as np

from maskmill.annotations.shapes import AnnotationError, Finding, Shape

MOST_PIXELS = 2**31
"""Greatest size of a run-length mask; COCO's own tools count pixels with 32 bits."""

_LISTED = 12

Parsed = TypeVar("Parsed")


class ShapeError(ValueError):
    """Why a stored shape cannot be drawn; `kind` is that of its finding."""

    def __init__(self, detail: str, kind: str = "broken_annotation") -> None:
        super().__init__(detail)
        self.kind = kind


def parsed_once(parse: Callable[[str], Parsed]) -> Callable[[str | os.PathLike], Parsed]:
    """Make a parser keep what it made of the last two files, as long as these do not change on disk.

    AnnotationError where the file cannot be opened.
    """

    @functools.lru_cache(maxsize=2)
    def remembered(path: str, modified: int, size: int) -> Parsed:
        return parse(path)

    @functools.wraps(parse)
    def parsed(path: str | os.PathLike) -> Parsed:
        try:
            status = Path(path).stat()
            return remembered(os.fspath(path), status.st_mtime_ns, status.st_size)
        except OSError as error:
            remedy = "restore the file, or correct dataset.source"
            finding = Finding("broken_annotation", f"cannot be read: {error.strerror}", remedy)
            raise AnnotationError(finding) from error

    return parsed


def picture_path(name: str) -> str:
    r"""A picture's name as a path with "/": Windows separators are turned, of an address only the path is kept.

    "a\b.jpg" is "a/b.jpg", "https://host/a/b%20c.jpg?key=1" is "a/b c.jpg".
    """
    if address := re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]+://[^/]*/*([^?#]*).*", name, re.DOTALL):
        name = unquote(address[1])
    return PureWindowsPath(name).as_posix()


def listing(offenders: Sequence[str]) -> str:
    """How many there are and which, the first of many."""
    more = f" and {len(offenders) - _LISTED} more" if len(offenders) > _LISTED else ""
    return f"({len(offenders)}) {', '.join(offenders[:_LISTED])}{more}"


def flat_numbers(values: Any, kinds: str = "iuf") -> np.ndarray | None:
    """The array of a list of numbers, of these kinds of dtype; None of anything else."""
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    return array if array.ndim == 1 and (not array.size or array.dtype.kind in kinds) else None


def mask_of_runs(runs: Sequence[int], height: int, width: int, by_column: bool) -> np.ndarray:
    """The (height, width) bool mask of run lengths, which alternate between background, the first, and foreground.

    by_column: the runs go down the columns (COCO) instead of along the rows (CVAT). ShapeError where they are no whole
    numbers from 0 on or do not cover the mask exactly.
    """
    if height * width > MOST_PIXELS:
        raise ShapeError(f"is a mask of {width} × {height} pixels, more than can be read")
    lengths = flat_numbers(runs, kinds="iu")
    if lengths is None or (lengths < 0).any():
        raise ShapeError("is a mask whose run lengths are not a list of whole numbers from 0 on")
    if (covered := sum(runs)) != height * width:
        raise ShapeError(f"is a mask whose run lengths cover {covered} pixels of {width} × {height} = {height * width}")
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T if by_column else pixels.reshape(height, width)


def mask_shape(label: str, mask: np.ndarray, left: int, top: int, group_id: int | None) -> Shape:
    """A mask shape without empty margins, for a mask (h, w) bool with its top left pixel at (left, top).

    ShapeError where the mask has no pixel.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise ShapeError("is a mask without pixels", "degenerate_shape")
    (y, bottom), (x, right) = rows[[0, -1]], columns[[0, -1]]
    corners = np.array([[left + x, top + y], [left + right, top + bottom]], dtype=np.float64)
    return Shape(label, "mask", corners, group_id, np.ascontiguousarray(mask[y : bottom + 1, x : right + 1]))


def box_shape(label: str, corners: np.ndarray, degrees: float, group_id: int | None) -> Shape:
    """A rectangle with the corners (2, 2), turned about its centre: clockwise on the screen, by `degrees`.

    ShapeError where the box has no extent.
    """
    extent = corners[1] - corners[0]
    if (extent <= 0).any():
        raise ShapeError(f"is a box of {extent[0]:g} × {extent[1]:g} pixels", "degenerate_shape")
    if degrees == 0:
        return Shape(label, "rectangle", corners, group_id)
    (left, top), (right, bottom) = corners
    outline = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return Shape(label, "oriented_rectangle", turned(outline, corners.mean(axis=0), degrees), group_id)


def turned(points: np.ndarray, centre: np.ndarray, degrees: float) -> np.ndarray:
    """Points (N, 2) turned about a centre, clockwise on the screen (from x to the right to y down)."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return centre + (points - centre) @ np.array([[cosine, sine], [-sine, cosine]])
