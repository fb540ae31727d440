"""Read masks that are pictures themselves: class indices, or a colour for every class."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from maskmill.annotations.shapes import Annotation, AnnotationError, Finding
from maskmill.classes import BACKGROUND, IGNORE, Classes, parse_colour
from maskmill.images import ImageError, read_image, read_values

MASK_SUFFIXES = (".bmp", ".png", ".tif", ".tiff")

_LISTED = 12


def read(
    path: str | os.PathLike, classes: Sequence[str] | Mapping[str, str], background: str | Sequence[str]
) -> Annotation:
    """Read a mask (PNG, TIFF, BMP) as the options `dataset.classes` and `dataset.background` say.

    classes is a list of names: a pixel's value (of a palette picture: its index) is the class index, 0 is background
    and 255 ignored; any other value is a finding. `background` has no meaning then.
    classes maps names to "#rrggbb": a pixel's colour is its class, compared exactly (palettes are resolved, grey is
    repeated). With background "rest" every other colour is background; with a list of colours just these are, and any
    other colour is a finding.

    Returns an Annotation with `label_values`. Raises AnnotationError with the values or colours found and how often.
    """
    try:
        if isinstance(classes, Mapping):
            values = _from_colours(read_image(path), Classes.from_config(classes), background)
        else:
            values = _from_indices(read_values(path), len(classes))
    except ImageError as error:
        remedy = "replace the mask, or take it and its picture away"
        raise AnnotationError(Finding("broken_annotation", error.reason, remedy)) from error
    return Annotation(*values.shape, label_values=values)


def _from_indices(pixels: np.ndarray, count: int) -> np.ndarray:
    """(H, W) uint8 class indices of stored values (H, W, C)."""
    if pixels.shape[2] > 1:
        if (pixels != pixels[:, :, :1]).any():
            colours, counts = np.unique(_colour_codes(pixels), return_counts=True)
            found = _listing([f"#{code:06x}" for code in colours], counts)
            raise _unexpected(
                f"colours where class indices are expected: {found}",
                'write dataset.classes as a mapping of names to these colours, such as {building: "#3c1098"}',
            )
        pixels = pixels[:, :, :1]
    pixels = pixels[:, :, 0]
    values, counts = np.unique(pixels, return_counts=True)
    if values[-1] == IGNORE and set(values.tolist()) <= {BACKGROUND, IGNORE}:
        raise _unexpected(
            "a 0/255 mask where class indices are expected (255 means ignore there)",
            'write dataset.classes as a mapping of the name to its colour, such as {building: "#ffffff"}',
        )
    wrong = ~np.isin(values, [*range(count + 1), IGNORE])
    if wrong.any():
        raise _unexpected(
            f"values that are no class index: {_listing(values[wrong].tolist(), counts[wrong])}; "
            f"dataset.classes has {count}, so 0 to {count} and 255 (ignore) are possible",
            "list the missing classes in dataset.classes, or, if these are grey levels, map the names to colours",
        )
    return pixels.astype(np.uint8)


def _from_colours(pixels: np.ndarray, classes: Classes, background: str | Sequence[str]) -> np.ndarray:
    """(H, W) uint8 class indices of 8-bit colours (H, W, 1 or 3)."""
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
        raise _unexpected(
            f"{pixels.shape[2]} channels of {pixels.dtype} where 8-bit colours are expected",
            "save the mask with 8 bits, grey or RGB; if its values are class indices, write dataset.classes as a list",
        )
    codes = _colour_codes(pixels)
    meaning = {code: index for index, code in enumerate(map(_code, classes.colours), 1)}
    if background != "rest":
        meaning = {_code(parse_colour(colour)): BACKGROUND for colour in background} | meaning
    known = np.array(sorted(meaning))
    position = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    matched = known[position] == codes
    if background != "rest" and not matched.all():
        colours, counts = np.unique(codes[~matched], return_counts=True)
        found = _listing([f"#{code:06x}" for code in colours], counts)
        raise _unexpected(
            f"colours that are neither a class nor background: {found}",
            'add them to dataset.classes or dataset.background, or take "background: rest"',
        )
    indices = np.array([meaning[code] for code in known.tolist()], dtype=np.uint8)
    return np.where(matched, indices[position], np.uint8(BACKGROUND))


def _colour_codes(pixels: np.ndarray) -> np.ndarray:
    """(H, W) int32 0xRRGGBB of pixels (H, W, 1, 3 or more)."""
    red, green, blue = (pixels[:, :, min(channel, pixels.shape[2] - 1)].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def _code(colour: tuple[int, int, int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def _listing(values: Sequence, counts: np.ndarray) -> str:
    """Values with their pixel counts, the most frequent first."""
    order = np.argsort(-counts, kind="stable")
    listed = ", ".join(f"{values[i]} ({counts[i]} px)" for i in order[:_LISTED])
    return listed + (f" and {len(order) - _LISTED} more" if len(order) > _LISTED else "")


def _unexpected(detail: str, remedy: str) -> AnnotationError:
    return AnnotationError(Finding("unexpected_value", detail, remedy))
