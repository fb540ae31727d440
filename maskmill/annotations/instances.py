"""Read masks that tell objects apart: a folder with a mask file an object, or one file of object numbers."""

import os
from pathlib import Path

import numpy as np

from maskmill.annotations.formats import MASK_SUFFIXES, LabelOptions
from maskmill.annotations.masks import (
    FLAT_REMEDY,
    check_transparency,
    counted,
    listing,
    read_pixels,
    single_channel,
    unexpected,
)
from maskmill.annotations.shapes import Annotation, AnnotationError, Finding
from maskmill.classes import BACKGROUND, IGNORE, MAX_CLASSES, Classes
from maskmill.dag.pictures import IMAGE_SUFFIXES
from maskmill.errors import MaskmillError
from maskmill.labels.rasterize import label_value
from maskmill.wording import count_of

_LOSSY_SUFFIXES = set(IMAGE_SUFFIXES) - set(MASK_SUFFIXES)
_NUMBERS_REMEDY = "save the objects' numbers as a grey picture of 8, 16 or 32 bits: 0 is none, then 1, 2, 3 and so on"


def read(path: str | os.PathLike, options: LabelOptions) -> Annotation:
    """Read the objects of a picture.

    path is a folder with a black-and-white mask a file, of the one class or, in subfolders named like the classes, of
    several; the masks are drawn class by class in the order of `options.classes` and by name, later ones cover earlier
    ones. Or it is a file of object numbers (8, 16 or 32 bits, 0 is none), all of the one class; also a slice of a stack
    ("#page=N") or a TIFF file of several pages.

    Gives `label_values` and `object_values` (in a folder numbered from 1 in drawing order), (H, W) or (D, H, W).
    Raises AnnotationError with everything that is wrong with the files, MaskmillError where a file of numbers cannot
    say which of several classes is meant.
    """
    if Path(path).is_dir():
        labels, objects = _draw_folder(Path(path), options)
    else:
        objects = _object_numbers(path, options)
        labels = (objects > 0).astype(np.uint8)
    return Annotation(*labels.shape[-2:], label_values=labels, object_values=objects)


def _object_numbers(path: str | os.PathLike, options: LabelOptions) -> np.ndarray:
    """(H, W) or (D, H, W) int32 numbers that a file holds."""
    if len(options.classes) != 1:
        raise MaskmillError(
            f"a file of object numbers does not say of which class they are, and dataset.classes has "
            f"{len(options.classes)}; name one class, or give every picture a folder with a subfolder a class"
        )
    numbers = single_channel(read_pixels(path, raw=True), "object numbers", _NUMBERS_REMEDY)
    values, counts = counted(numbers)
    wrong = (values < 0) | (values != np.trunc(values)) | (values > np.iinfo(np.int32).max)
    if wrong.any() or not np.isfinite(values).all():
        wrong |= ~np.isfinite(values)
        found = listing(values[wrong].tolist(), counts[wrong])
        raise unexpected(f"values that are no object numbers: {found}", _NUMBERS_REMEDY)
    if values[-1] in (255, 65535) and not values[:-1].any():
        raise unexpected(
            f"a 0/{int(values[-1])} mask where object numbers are expected, which tell touching objects apart",
            f'{_NUMBERS_REMEDY}; if objects do not matter, take "format: png"',
        )
    return numbers.astype(np.int32)


def _draw_folder(folder: Path, options: LabelOptions) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) uint8 label values and int32 object numbers of the masks in a folder."""
    files, findings = _object_files(folder, options)
    labels = objects = None
    number = 0
    for value, file in files:
        try:
            mask = _object_mask(file)
        except AnnotationError as error:
            findings += [Finding(f.kind, f"{file.name}: {f.detail}", f.remedy) for f in error.findings]
            continue
        if labels is None:
            labels, objects = np.zeros(mask.shape, np.uint8), np.zeros(mask.shape, np.int32)
        if mask.shape != labels.shape:
            findings.append(_size_mismatch(file, mask.shape, labels.shape))
        elif not mask.any() and len(files) > 1:
            detail = f"{file.name} has no pixel of an object"
            findings.append(Finding("empty_object", detail, "delete the file, or draw the object anew"))
        elif not findings:
            counts = BACKGROUND < value < IGNORE
            number += counts
            np.putmask(labels, mask, value)
            np.putmask(objects, mask, number if counts else 0)
    if findings:
        raise AnnotationError(*findings)
    return labels, objects


def _object_files(folder: Path, options: LabelOptions) -> tuple[list[tuple[int, Path]], list[Finding]]:
    """Label value and file of every mask in drawing order (classes, background, ignored), and what is in the way."""
    classes = Classes.from_config(options.classes)
    files, findings = [], []
    for place in (folder, *(entry for entry in _visible(folder) if entry.is_dir())):
        suffixes = {entry: entry.suffix.lower() for entry in _visible(place) if entry.is_file()}
        masks = [entry for entry, suffix in suffixes.items() if suffix in MASK_SUFFIXES]
        findings += [_lossy(entry) for entry, suffix in suffixes.items() if suffix in _LOSSY_SUFFIXES]
        value = 1 if place == folder else label_value(place.name, classes, options.background)
        if place == folder and masks and len(classes) > 1:
            detail = (
                f"{count_of(len(masks), 'mask')} whose class is written nowhere, and dataset.classes has {len(classes)}"
            )
            findings.append(Finding("unknown_label", detail, "put them in subfolders named like the classes"))
        elif masks and value is None:
            detail = f'folder "{place.name}" ({count_of(len(masks), "mask")}); known are {", ".join(classes.names)}'
            remedy = "name the folder like a class, or add it to dataset.classes or to a list in dataset.background"
            findings.append(Finding("unknown_label", detail, remedy))
        else:
            files += [(value, entry) for entry in masks]
    if not files and not findings:
        detail = f"the folder holds no mask ({', '.join(MASK_SUFFIXES)})"
        remedy = (
            "put a mask of every object there (one without a pixel if there is no object), or take the picture away"
        )
        findings.append(Finding("broken_annotation", detail, remedy))
    return sorted(files, key=lambda item: (item[0] or MAX_CLASSES + 0.5, item[1])), findings


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _object_mask(file: Path) -> np.ndarray:
    """bool pixels of the object in a black-and-white mask, of any two values of which one is 0."""
    pixels = single_channel(read_pixels(file, raw=True), "the mask of one object", FLAT_REMEDY)
    mask = pixels != 0
    if mask.any() and np.count_nonzero(pixels == pixels.max()) != np.count_nonzero(mask):
        values, counts = counted(pixels)
        found = listing(values.tolist(), counts)
        remedy = f"{FLAT_REMEDY}; if these are numbers of several objects, let the file take the folder's place"
        raise unexpected(f"more values than 0 and one other in the mask of one object: {found}", remedy)
    check_transparency(file, mask)
    return mask


def _size_mismatch(file: Path, found: tuple[int, ...], expected: tuple[int, ...]) -> Finding:
    extents = [" × ".join(map(str, reversed(shape))) for shape in (found, expected)]
    detail = f"{file.name} has {extents[0]} pixels, the masks before it have {extents[1]}"
    return Finding("size_mismatch", detail, "export the masks of this picture anew, all in its size")


def _lossy(file: Path) -> Finding:
    return Finding("broken_annotation", f"{file.name} is no mask: its format blends values", FLAT_REMEDY)
