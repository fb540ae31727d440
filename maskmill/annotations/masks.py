"""Read masks that are pictures themselves: class indices, or a colour for every class."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from maskmill.annotations.shapes import Annotation, AnnotationError, Finding
from maskmill.classes import BACKGROUND, IGNORE, MAX_CLASSES, Classes, parse_colour
from maskmill.imaging.images import ImageError, read_image, read_values
from maskmill.imaging.signatures import PILLOW_FORMATS
from maskmill.wording import count_of

_MASK_REMEDY = "replace the mask, or take it and its picture away"
FLAT_REMEDY = "export it anew as PNG in its full size, without smoothing, or restore the values from the original"

_LISTED = 12
_STACK_SUFFIXES = (".tif", ".tiff")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_GDAL_NODATA = 42113
_ALPHA_MODES = ("LA", "La", "PA", "P", "RGBA", "RGBa")

_NEAR = 16
"""Greatest difference of a channel between a flat colour and what JPEG makes of it."""

_SEVERAL = 2
"""Number of unlisted colours near that of a class from which a mask is no drawing in flat colours."""

_MANY = 8
"""Number of distinct colours from which a mask is no drawing in flat colours."""

_RARE = 0.005
"""Share of the pixels below which a colour is that of a few pixels."""


def read(
    path: str | os.PathLike, classes: Sequence[str] | Mapping[str, str], background: str | Sequence[str]
) -> Annotation:
    """Read a mask (PNG, TIFF, BMP) as the options `dataset.classes` and `dataset.background` say.

    classes is a list of names: a pixel's value (of a palette picture: its index) is the class index, 0 is background
    and 255 ignored; any other value is a finding. `background` has no meaning then.
    classes maps names to "#rrggbb": a pixel's colour is its class, compared exactly (palettes are resolved, grey is
    repeated). With background "rest" every other colour is background; with a list of colours just these are, and any
    other colour is a finding.

    255 is ignored, too, where a file has the colour table of label images, whatever the colours of `classes`.

    Findings too, since background would take them silently: class indices where colours are expected, edges blended by
    smoothing or JPEG, and pixels of a class that are wholly transparent.

    Returns an Annotation with `label_values`, (H, W) or, of a TIFF file with several pages, (D, H, W). Raises
    AnnotationError with the values or colours found and how often.
    """
    if isinstance(classes, Mapping):
        pixels = read_pixels(path, raw=False)
        ignored = read_pixels(path, raw=True)[..., 0] == IGNORE if _has_label_palette(path) else None
        values = _from_colours(pixels, Classes.from_config(classes), background, ignored)
    else:
        pixels = read_pixels(path, raw=True)
        values = class_indices(pixels, classes, _has_label_palette(path) or _nodata(path) == IGNORE)
    check_transparency(path, values)
    return Annotation(*values.shape[-2:], label_values=values)


@contextmanager
def mask_errors() -> Iterator[None]:
    """Turns an ImageError into an AnnotationError, for a mask is an annotation."""
    try:
        yield
    except ImageError as error:
        raise AnnotationError(Finding("broken_annotation", error.reason, _MASK_REMEDY)) from error


def read_pixels(path: str | os.PathLike, raw: bool) -> np.ndarray:
    """Pixels of a mask (H, W, C) or, of a TIFF file with several pages, (D, H, W, C). AnnotationError if unreadable.

    raw: leave palette and bilevel pictures as the values stored instead of colours and 0/255. A bilevel TIFF file whose
    0 is shown white is refused then: tools that look at it and tools that compute with it mean opposite regions.
    """
    if raw and _shows_zero_white(path):
        raise unexpected(
            "a bilevel TIFF file in which 0 is white: viewers show the inverse of the values stored",
            "save it as PNG, or write dataset.classes as a mapping of the name to the colour that viewers show",
        )
    with mask_errors():
        if str(path).lower().endswith(_STACK_SUFFIXES):
            from maskmill.imaging.volumes import is_stack, read_volume

            if is_stack(path):
                return read_volume(path, raw).pixels
        return read_values(path) if raw else read_image(path)


def _shows_zero_white(path: str | os.PathLike) -> bool:
    file = str(path).partition("#page=")[0]
    if not file.lower().endswith(_STACK_SUFFIXES):
        return False
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            return image.mode == "1" and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    except OSError:  # missing, damaged, or a kind of TIFF that Pillow does not know, none of which is bilevel
        return False


def _has_label_palette(path: str | os.PathLike) -> bool:
    """Whether a file's colour table is that of label images (`Classes.palette`), in the colours of any classes.

    Between classes and ignore it is black, where tables of grey levels are not.
    """
    try:
        with Image.open(str(path).partition("#page=")[0], formats=PILLOW_FORMATS) as image:
            if image.mode != "P" or image.palette is None:
                return False
            layout, table = image.palette.getdata()
    except OSError:  # missing, damaged, or a kind of TIFF that Pillow does not know
        return False
    values = np.frombuffer(table, np.uint8)
    if values.size != 3 * (IGNORE + 1):
        return False
    colours = values.reshape(3, -1).T if layout.endswith(";L") else values.reshape(-1, 3)  # ";L": channel by channel
    shown = [tuple(colours[value].tolist()) for value in (BACKGROUND, MAX_CLASSES, IGNORE)]
    return shown == [(0, 0, 0), (0, 0, 0), (255, 255, 255)] and bool(colours[1].any())


def _nodata(path: str | os.PathLike) -> float | None:
    """The nodata value that a TIFF file states as GDAL writes it; None where there is none."""
    file = str(path).partition("#page=")[0]
    if not file.lower().endswith(_STACK_SUFFIXES):
        return None
    try:
        with Image.open(file, formats=("TIFF",)) as image:
            return float(str(image.tag_v2.get(_GDAL_NODATA)).strip("\0 "))
    except (OSError, ValueError):  # as in `_shows_zero_white`; no nodata value, or none that is a number
        return None


def class_indices(pixels: np.ndarray, names: Sequence[str], ignores_255: bool = False) -> np.ndarray:
    """(...) uint8 label values of the class indices stored in pixels (..., C).

    ignores_255: whether the file says that 255 is no class, so that 0 and 255 alone are no mask in black and white.
    """
    grey = single_channel(
        pixels,
        "class indices",
        'write dataset.classes as a mapping of names to these colours, such as {building: "#3c1098"}',
    )
    values, counts = counted(grey)
    if not ignores_255 and values[-1] in (IGNORE, 65535) and set(values[:-1].tolist()) <= {BACKGROUND}:
        bits = ", and save the mask with 8 bits" if grey.dtype != np.uint8 else ""
        white = counts[-1] / counts.sum()
        raise unexpected(
            f"a 0/{values[-1]} mask where class indices are expected (255 means ignore there): "
            f"{100 * white:.1f} % of the pixels are white, {100 - 100 * white:.1f} % black",
            f"write dataset.classes as a mapping of the name to its colour, such as {_example(names)}, "
            f'or "#000000" if the class is black{bits}; '
            "if ignore is meant, take the mask and its picture away, as no class is on it",
        )
    wrong = ~np.isin(values, [*range(len(names) + 1), IGNORE])
    if wrong.any() and _are_evenly_spread(values):
        raise unexpected(
            f"values that are no class index, evenly spread up to {values[-1]}: {listing(values.tolist(), counts)}",
            'take "format: ritm" if these are RITM\'s click masks, whose values are numbers of objects; otherwise map '
            "the names in dataset.classes to these grey levels as colours, such as {building: "
            f'"{hexadecimal(int(values[-1]) * 0x010101)}"}}',
        )
    if wrong.any() and grey.dtype == np.uint8 and _smeared(values, counts, wrong):
        raise _blended(f"{listing(values[wrong].tolist(), counts[wrong])} beside black and white", names)
    if wrong.any():
        raise unexpected(
            f"values that are no class index: {listing(values[wrong].tolist(), counts[wrong])}; "
            f"dataset.classes has {len(names)}, so 0 to {len(names)} and 255 (ignore) are possible",
            "list the missing classes in dataset.classes; if these are grey levels, map the names to colours; if they "
            'are object numbers, take "format: instances"',
        )
    return grey.astype(np.uint8)


def single_channel(pixels: np.ndarray, expected: str, remedy: str) -> np.ndarray:
    """The one channel (...) of pixels (..., C) whose channels are equal.

    Raises AnnotationError where they are not; expected and remedy are for its text.
    """
    if pixels.shape[-1] == 1 or (pixels == pixels[..., :1]).all():
        return pixels[..., 0]
    if pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise unexpected(
            f"{pixels.shape[-1]} channels of {pixels.dtype} where {expected} are expected",
            "save the mask with one channel, or with 8-bit RGB colours",
        )
    if np.ptp(pixels, axis=-1).max() <= 2 * _NEAR:
        values, counts = counted(pixels[..., 1])
        if _smeared(values, counts, (values > 0) & (values < 255)):
            raise _blended("colours close to grey beside black and white", ())
    colours, counts = np.unique(colour_codes(pixels), return_counts=True)
    found = listing([hexadecimal(code) for code in colours], counts)
    raise unexpected(f"colours where {expected} are expected: {found}", remedy)


def counted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values, ascending, and how often each occurs."""
    if values.dtype not in (np.uint8, np.uint16):
        return np.unique(values, return_counts=True)
    parts = np.array_split(values.reshape(-1), values.size // 2**22 + 1)  # bincount makes 8 bytes of each value
    counts = sum(np.bincount(part, minlength=np.iinfo(values.dtype).max + 1) for part in parts)
    distinct = np.flatnonzero(counts)
    return distinct, counts[distinct]


def colour_codes(pixels: np.ndarray) -> np.ndarray:
    """(...) int32 0xRRGGBB of pixels (..., 1 or 3 or more)."""
    last = pixels.shape[-1] - 1
    red, green, blue = (pixels[..., min(channel, last)].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue


def lookup(codes: np.ndarray, meaning: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Label values, uint8, of integer codes by `meaning`, and where there is one (bool); 0 elsewhere."""
    known = np.array(sorted(meaning))
    position = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    matched = known[position] == codes
    values = np.array([meaning[code] for code in known.tolist()], dtype=np.uint8)
    return np.where(matched, values[position], np.uint8(BACKGROUND)), matched


def listing(values: Sequence, counts: np.ndarray) -> str:
    """Values with their pixel counts, the most frequent first."""
    order = np.argsort(-counts, kind="stable")
    listed = ", ".join(f"{values[i]} ({counts[i]} px)" for i in order[:_LISTED])
    return listed + (f" and {len(order) - _LISTED} more" if len(order) > _LISTED else "")


def hexadecimal(code: int) -> str:
    """The "#rrggbb" of 0xRRGGBB."""
    return f"#{code:06x}"


def unexpected(detail: str, remedy: str) -> AnnotationError:
    """The error of a mask that holds what the options do not explain."""
    return AnnotationError(Finding("unexpected_value", detail, remedy))


def _from_colours(
    pixels: np.ndarray, classes: Classes, background: str | Sequence[str], ignored: np.ndarray | None
) -> np.ndarray:
    """(...) uint8 label values of 8-bit colours (..., 1 or 3). ignored: bool (...) or None, where they mean nothing."""
    if pixels.dtype != np.uint8 or pixels.shape[-1] not in (1, 3):
        raise unexpected(
            f"{pixels.shape[-1]} channels of {pixels.dtype} where 8-bit colours are expected",
            "save the mask with 8 bits, grey or RGB; if its values are class indices or object numbers, write "
            'dataset.classes as a list (and take "format: instances" for numbers)',
        )
    codes = colour_codes(pixels)
    meaning = {_code(colour): index for index, colour in enumerate(classes.colours, 1)}
    if background != "rest":
        meaning = {_code(parse_colour(colour)): BACKGROUND for colour in background} | meaning
    values, matched = lookup(codes, meaning)
    if ignored is not None:
        values[ignored], matched[ignored] = IGNORE, True
    others = codes[~matched]
    if _more_than(_MANY, others):
        others, inverse, counts = np.unique(others, return_inverse=True, return_counts=True)
        _check_distance(others, classes)
        rare = np.zeros(codes.shape, bool)
        rare[~matched] = (counts < _RARE * codes.size)[inverse.reshape(-1)]
        _check_edges(rare, values, len(others))
    elif matched.any():
        _check_distance(np.unique(others), classes)
    elif indices := _indices(np.unique(codes), len(classes)):
        raise unexpected(
            f"grey levels that look like class indices ({indices}) where colours are expected",
            f"write dataset.classes as a list of names: [{', '.join(classes.names)}]",
        )
    if background != "rest" and not matched.all():
        colours, counts = np.unique(codes[~matched], return_counts=True)
        found = listing([hexadecimal(code) for code in colours], counts)
        raise unexpected(
            f"colours that are neither a class nor background: {found}",
            'add them to dataset.classes or dataset.background, or take "background: rest"',
        )
    return values


def _more_than(limit: int, values: np.ndarray) -> bool:
    """Whether there are more distinct values than `limit`; fast where a few values fill most of the array."""
    for _ in range(limit + 1):
        if not values.size:
            return False
        values = values[values != values[0]]
    return True


def _indices(colours: np.ndarray, count: int) -> str:
    """The class indices among grey colours, all of which may be indices of `count` classes; "" where one is not."""
    grey = colours & 0xFF
    if not (colours == grey * 0x010101).all() or not np.isin(grey, [*range(count + 1), IGNORE]).all():
        return ""
    return ", ".join(str(value) for value in grey.tolist() if BACKGROUND < value < IGNORE)


def _check_distance(colours: np.ndarray, classes: Classes) -> None:
    """AnnotationError where distinct unlisted colours (0xRRGGBB) are so near that of a class as JPEG makes them."""
    channels = np.stack([colours >> 16, colours >> 8 & 0xFF, colours & 0xFF], axis=1)
    for name, colour in zip(classes.names, classes.colours, strict=True):
        near = (np.abs(channels - np.array(colour)).max(axis=1) <= _NEAR).sum()
        if near >= _SEVERAL:
            raise _blended(f"{count_of(near, 'colour')} close to that of {name}, {hexadecimal(_code(colour))},", ())


def _check_edges(rare: np.ndarray, values: np.ndarray, count: int) -> None:
    """AnnotationError where most pixels of the many unlisted colours touch a class, as blended edges do.

    rare: bool, where an unlisted colour of few pixels is; values: label values of its shape; count: of the colours.
    """
    drawn = (values > 0).reshape(-1, values.shape[-1]).astype(np.uint8)
    beside = cv2.dilate(drawn, np.ones((3, 3), np.uint8)).reshape(values.shape) > 0
    if (rare & beside).sum() > rare.sum() / 2:
        raise _blended(f"{count} unlisted colours, most of them along the edges of classes,", ())


def _are_evenly_spread(values: np.ndarray) -> bool:
    """Whether distinct values are those RITM gives to several objects: multiples of 255 // number, and perhaps 0."""
    objects = values[values > 0]
    return 2 <= len(objects) < 128 and np.array_equal(objects, np.arange(1, len(objects) + 1) * (255 // len(objects)))


def _smeared(values: np.ndarray, counts: np.ndarray, wrong: np.ndarray) -> bool:
    """Whether grey levels are those of a black-and-white mask whose edges were blended."""
    end = (values <= _NEAR) | (values >= 255 - _NEAR)
    white = values[-1] >= 255 - _NEAR
    return white and counts[end].sum() > 0.75 * counts.sum() and ((end & wrong).any() or len(values) > _MANY)


def _blended(what: str, names: Sequence[str]) -> AnnotationError:
    then = f", and write dataset.classes as {_example(names)}" if names else ""
    return unexpected(f"{what} as smoothing or JPEG make them of a mask in flat colours", FLAT_REMEDY + then)


def _example(names: Sequence[str]) -> str:
    return f'{{{names[0] if len(names) == 1 else "building"}: "#ffffff"}}'


def check_transparency(path: str | os.PathLike, values: np.ndarray) -> None:
    """AnnotationError where pixels of a class are wholly transparent, so that no viewer shows them."""
    if values.ndim == 3 or "#page=" in str(path):
        return
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            if image.mode not in _ALPHA_MODES or not image.has_transparency_data:
                return
            alpha = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))[:, :, 3]
    except UnidentifiedImageError:  # kinds of TIFF that Pillow does not know
        return
    if hidden := int(((alpha == 0) & (values != BACKGROUND)).sum()):
        raise unexpected(
            f"{hidden} wholly transparent pixels have the value of a class, though no viewer shows them",
            "save the mask without transparency, with a value or colour of its own for the background",
        )


def _code(colour: tuple[int, int, int]) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]
