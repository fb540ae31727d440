"""Read masks in the manner of Pascal VOC: PNGs in whose pictures each class has a colour that a list names.

Everingham et al. (2010), "The Pascal Visual Object Classes (VOC) Challenge", IJCV 88. Also what CVAT (labelmap.txt),
labelme (class_names.txt) and SegmentationClassAug (grey indices) make of it.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.masks import (
    FLAT_REMEDY,
    colour_codes,
    counted,
    hexadecimal,
    listing,
    lookup,
    mask_errors,
    unexpected,
)
from maskmill.annotations.shapes import Annotation, AnnotationError, Finding
from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.dag.pictures import strip_suffix
from maskmill.imaging.images import read_values
from maskmill.imaging.signatures import PILLOW_FORMATS
from maskmill.indexing.discovery import composed
from maskmill.labels.rasterize import label_value
from maskmill.wording import count_of

NAMES_2012 = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)

_VOID = 0xE0E0C0
_LABEL_MAP, _CLASS_NAMES = "labelmap.txt", "class_names.txt"
_LABEL_MAP_LINE = re.compile(r"(?P<name>.+?):(?:(?P<r>\d+),\s*(?P<g>\d+),\s*(?P<b>\d+))?(?::[^:]*){0,2}")
_CLASS_FOLDER = re.compile(r"SegmentationClass", re.IGNORECASE)
_LIST_REMEDY = (
    "put the label map of the export beside the masks (labelmap.txt, a line label:r,g,b:: a class), or take "
    '"format: png" and write dataset.classes as a mapping of names to colours'
)


def read(path: str | os.PathLike, options: LabelOptions) -> Annotation:
    """Read a VOC mask: RGB, palette, or grey with the indices of the list of classes.

    What a colour means stands in labelmap.txt or class_names.txt (line i has the ith colour of VOC's colour map, from
    0) in the mask's folder or one of the two above it; without them it is VOC 2012. The colour 224,224,192 and index
    255 are ignored. Names that are not in `options.classes` are background with "rest"; else the list names those that
    are, and any other name is a finding, as is a colour without a name.

    With `options.instances` the file of the same name in SegmentationObject, where there is one, gives
    `object_values`, numbered as in VOC's colour map. Raises AnnotationError.
    """
    names, source = _names(path)
    codes = _codes(path, indices=source != _LABEL_MAP)
    _check_names(names, source, options)
    classes = Classes.from_config(options.classes)
    values = {code: _value(name, classes, options) for code, name in names.items()}
    known = {code: value for code, value in values.items() if value is not None}
    labels, matched = lookup(codes, {0: BACKGROUND, _VOID: IGNORE} | known)
    if not matched.all():
        raise AnnotationError(*_unmatched(codes[~matched], names, source))
    objects = _objects(path, labels) if options.instances else None
    return Annotation(*labels.shape, label_values=labels, object_values=objects)


def companions(path: str | os.PathLike) -> list[str]:
    """The other files that `read` looks at for this mask, sorted: a change of them changes the label."""
    found = [class_list(path), object_file(path)]
    return sorted(str(file) for file in found if file)


def object_file(path: str | os.PathLike) -> Path | None:
    """The file of the objects beside a mask in a folder SegmentationClass…, None where there is none."""
    parts = list(Path(path).parts)
    for i in range(len(parts) - 2, -1, -1):
        if _CLASS_FOLDER.match(parts[i]):
            for name in (_CLASS_FOLDER.sub("SegmentationObject", parts[i]), "SegmentationObject"):
                file = Path(*parts[:i], name, *parts[i + 1 :])
                if file.is_file():
                    return file
    return None


def colour_map(indices: np.ndarray) -> np.ndarray:
    """int32 0xRRGGBB of indices (24 bits) in VOC's colour map: their bits dealt to red, green, blue, highest first."""
    indices = np.asarray(indices, dtype=np.int32)
    codes = np.zeros_like(indices)
    for bit in range(8):
        for channel in range(3):
            codes |= (indices >> (3 * bit + channel) & 1) << (16 - 8 * channel + 7 - bit)
    return codes


def colour_index(codes: np.ndarray) -> np.ndarray:
    """int32 indices whose colours in VOC's colour map are 0xRRGGBB; every colour has one."""
    bits = np.arange(256)[:, None] >> np.arange(7, -1, -1) & 1
    spread = (bits << np.arange(0, 24, 3)).sum(axis=1).astype(np.int32)
    return spread[codes >> 16] | spread[codes >> 8 & 0xFF] << 1 | spread[codes & 0xFF] << 2


def sample_id(file: str) -> str | None:
    """Sample id of a file's path below the export's folder: that of a class mask below `SegmentationClass`, if there.

    None of files that are not class masks.
    """
    parts = PurePosixPath(file).parts
    if not file.lower().endswith(".png") or "SegmentationObject" in parts:
        return None
    kept = [part for part in parts if part != "SegmentationClass"]
    return composed(strip_suffix("/".join(kept)))


def class_list(path: str | os.PathLike) -> Path | None:
    """The file that lists the classes, in the mask's folder or, failing that, in one of the two above it."""
    for folder in list(Path(path).parents)[:3]:
        for name in (_LABEL_MAP, _CLASS_NAMES):
            if (folder / name).is_file():
                return folder / name
    return None


def class_names(path: str | os.PathLike) -> list[str]:
    """Names of the classes that a mask may hold, in the order of its list; AnnotationError where that is damaged."""
    return list(_names(path)[0].values())


def _names(path: str | os.PathLike) -> tuple[dict[int, str], str]:
    """Names of the classes by colour 0xRRGGBB, and the name of the file that lists them ("" where it is VOC 2012)."""
    file = class_list(path)
    if file is None:
        return _in_order(NAMES_2012), ""
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise _broken_list(file, f"cannot be read: {error}") from error
    if file.name == _LABEL_MAP:
        return _label_map(file, lines), file.name
    return _in_order([line for line in lines if line != "__ignore__"]), file.name


def _in_order(names: Sequence[str]) -> dict[int, str]:
    codes = colour_map(np.arange(len(names))).tolist()
    return {code: name for code, name in zip(codes, names, strict=True) if name}


def _label_map(file: Path, lines: list[str]) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        match = _LABEL_MAP_LINE.fullmatch(line)
        channels = [int(match[channel]) for channel in "rgb"] if match and match["r"] else []
        if match is None or max(channels, default=0) > 255:
            raise _broken_list(file, f'line {number} is not label:r,g,b:parts:actions, but "{line}"')
        if not channels:
            continue
        code = channels[0] << 16 | channels[1] << 8 | channels[2]
        if names.setdefault(code, match["name"]) != match["name"]:
            raise _broken_list(file, f"{names[code]} and {match['name']} have the same colour {hexadecimal(code)}")
    return names


def _broken_list(file: Path, reason: str) -> AnnotationError:
    return AnnotationError(Finding("broken_annotation", f"{file}: {reason}", "correct it, or export the masks anew"))


def _check_names(names: Mapping[int, str], source: str, options: LabelOptions) -> None:
    """AnnotationError where the list has none of the classes, or one of them under a slightly different name."""
    listed, where = list(names.values()), source or "VOC 2012"
    missing = [name for name in options.classes if name not in listed]
    if len(missing) == len(options.classes):
        detail = f"none of dataset.classes ({', '.join(missing)}) is in {where}, which lists {', '.join(listed)}"
        raise AnnotationError(Finding("unknown_label", detail, "write the names as they are there, or " + _LIST_REMEDY))
    spare = {name.casefold(): name for name in listed if name not in options.classes}
    nearest = {name: difflib.get_close_matches(name.casefold(), spare, n=1) for name in missing}
    findings = [
        Finding(
            "unknown_label",
            f'dataset.classes has "{name}", which {where} does not list; did you mean "{spare[match[0]]}"?',
            "correct the name in dataset.classes",
        )
        for name, match in nearest.items()
        if match
    ]
    if findings:
        raise AnnotationError(*findings)


def _value(name: str, classes: Classes, options: LabelOptions) -> int | None:
    """Label value of a listed class, None if neither the classes nor the background have it."""
    value = label_value(name, classes, options.background)
    if value is None and (options.background == "rest" or name == "background"):
        return BACKGROUND
    return value


def _codes(path: str | os.PathLike, indices: bool) -> np.ndarray:
    """(H, W) int32 0xRRGGBB of a mask. indices: grey values are indices of the colour map, as palette values are."""
    with mask_errors():
        pixels = read_values(path)
        palette = _palette(path)
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
        raise unexpected(
            f"{pixels.shape[2]} channels of {pixels.dtype} where 8-bit colours are expected",
            "save the mask as PNG with a palette or RGB",
        )
    if palette is not None:
        return _resolved(pixels[:, :, 0], palette)
    if pixels.shape[2] == 1 and indices:
        return colour_map(np.arange(256, dtype=np.int32))[pixels[:, :, 0]]
    return colour_codes(pixels)


def _palette(path: str | os.PathLike) -> np.ndarray | None:
    """(N,) int32 colours of a palette picture, None for others."""
    with Image.open(path, formats=PILLOW_FORMATS) as image:
        if image.mode != "P":
            return None
        return colour_codes(np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3))


def _resolved(values: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colours of palette values; AnnotationError where the palette ends before a value, which decoders make black."""
    beyond = values[values >= len(palette)]
    if beyond.size:
        found, counts = counted(beyond)
        detail = (
            f"values beyond the {count_of(len(palette), 'colour')} of its palette: {listing(found.tolist(), counts)}"
        )
        raise unexpected(detail, FLAT_REMEDY)
    return palette[values]


def _unmatched(codes: np.ndarray, names: Mapping[int, str], source: str) -> list[Finding]:
    """What to say of colours without a meaning: names that are not wanted, and colours that have no name."""
    colours, counts = np.unique(codes, return_counts=True)
    named = np.isin(colours, list(names))
    findings = []
    for code, count in zip(colours[named].tolist(), counts[named].tolist(), strict=True):
        detail = f'label "{names[code]}" ({hexadecimal(code)}, {count} px) is neither a class nor background'
        remedy = 'add it to dataset.classes or dataset.background, or take "background: rest"'
        findings.append(Finding("unknown_label", detail, remedy))
    if not named.all():
        found = listing([hexadecimal(code) for code in colours[~named]], counts[~named])
        detail = f"colours that {source or 'the colour map of VOC 2012'} does not have: {found}"
        findings.append(Finding("unexpected_value", detail, FLAT_REMEDY if source else _LIST_REMEDY))
    return findings


def _objects(path: str | os.PathLike, labels: np.ndarray) -> np.ndarray | None:
    """(H, W) int32 object numbers of the pixels that have a class; None without a file of objects."""
    file = object_file(path)
    if file is None:
        return None
    objects = colour_index(_codes(file, indices=True))
    if objects.shape != labels.shape:
        detail = f"{file} has {objects.shape[1]} × {objects.shape[0]} pixels, the classes have "
        detail += f"{labels.shape[1]} × {labels.shape[0]}"
        raise AnnotationError(Finding("size_mismatch", detail, "export both anew"))
    return np.where((labels == BACKGROUND) | (labels == IGNORE), 0, objects).astype(np.int32)
