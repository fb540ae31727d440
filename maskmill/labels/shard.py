"""From a shard's list of samples to its label images, with everything that is wrong with pictures and annotations."""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maskmill.annotations.formats import LabelOptions, read_annotation
from maskmill.annotations.shapes import Annotation, AnnotationError, Finding
from maskmill.classes import IGNORE, Classes
from maskmill.data.cases import instances_path, mask_path
from maskmill.files import atomic_path, read_table, write_table
from maskmill.imaging.images import (
    MAX_OBJECTS,
    ImageError,
    image_header,
    read_bands,
    write_instance_png,
    write_label_png,
)
from maskmill.imaging.volumes import read_page, stack_header, write_label_volume
from maskmill.labels.palettes import PALETTE_COLUMNS, palette_rows
from maskmill.labels.problems import BROKEN_IMAGE_REMEDY, Problem, write_problems
from maskmill.labels.rasterize import label_value, rasterize_annotation, rasterize_instances
from maskmill.logs import progress
from maskmill.wording import count_of

STATISTICS_COLUMNS = ("id", "class", "pixels")

_CORNER = (-0.1, 1.1)
"""Least and greatest coordinate that may be a fraction of the picture's side, careless clicks at its edge included."""

_TINY_PICTURE = 16
"""Longer side of pictures, in pixels, whose objects may all lie in the top left pixel."""


def rasterize_shard(shard_list: str, output_dir: str, options: Mapping[str, object]) -> None:
    """Draw the label image of every sample in a shard's list.

    Writes to `output_dir`: <id>.png (palette PNG, class index; of a volume <id>.nii.gz), with the option `instances`
    also <id>.instances.png (16 bits, object numbers), statistics.csv (id, class index, pixels; one row for every index
    that is possible, 0 and 255 included), palettes.csv (rows of `palette_rows`) and problems.csv. A sample with a
    problem has no label image and no statistics, and stops nothing. options: the fields of `LabelOptions`.
    """
    options = LabelOptions(**options)
    palette = Classes.from_config(options.classes)
    statistics, palettes, problems = [], [], []
    with atomic_path(output_dir) as folder:
        folder.mkdir()
        for sample in progress(read_table(shard_list), "labels"):
            annotation, found = checked_annotation(sample, options)
            objects = None
            if annotation and options.instances:
                objects = rasterize_instances(annotation, palette, options.background)
                found += _object_problems(sample, objects)
            problems += found
            if found:
                continue
            labels = rasterize_annotation(annotation, palette, options.background)
            _write_labels(folder, sample, labels, palette)
            if objects is not None:
                write_instance_png(instances_path(folder, sample["id"]), objects)
            pixels = np.bincount(labels.ravel(), minlength=256)
            palettes += palette_rows(sample, options.classes, pixels)
            statistics += [
                {"id": sample["id"], "class": value, "pixels": int(pixels[value])}
                for value in (*range(len(palette) + 1), IGNORE)
            ]
        write_table(folder / "statistics.csv", statistics, STATISTICS_COLUMNS)
        write_table(folder / "palettes.csv", palettes, PALETTE_COLUMNS)
        write_problems(folder / "problems.csv", problems)


def labels_path(folder: Path, sample: Mapping[str, str]) -> Path:
    """File of a sample's label image (a row of the manifest) in its shard's folder."""
    return mask_path(folder, sample["id"], is_volume=int(sample["depth"]) > 1)


def _object_problems(sample: Mapping[str, str], objects: np.ndarray) -> list[Problem]:
    """Why the objects' numbers cannot be written."""
    if objects.ndim == 3:
        detail, remedy = "objects of a volume cannot be told apart yet", "set dataset.source.stacks to slices"
    elif (count := int(objects.max(initial=0))) > MAX_OBJECTS:
        detail, remedy = f"{count:,} objects, where {MAX_OBJECTS:,} are possible", "cut the picture into smaller ones"
    else:
        return []
    remedy += ", or set dataset.instances to false"
    return [Problem(sample["id"], sample["annotation"], "too_many_objects", detail, remedy)]


def _write_labels(folder: Path, sample: Mapping[str, str], labels: np.ndarray, palette: Classes) -> None:
    path = labels_path(folder, sample)
    path.parent.mkdir(parents=True, exist_ok=True)
    if labels.ndim == 3:
        write_label_volume(path, labels, like=sample["image"])
    else:
        write_label_png(path, labels, palette)


def checked_annotation(sample: Mapping[str, str], options: LabelOptions) -> tuple[Annotation | None, list[Problem]]:
    """A sample's annotation, of its picture's size, and no problem; or None and all problems of its two files."""
    problems, annotation, size = [], None, None
    try:
        size = _decoded_size(sample)
    except ImageError as error:
        problems.append(Problem(sample["id"], sample["image"], "broken_image", error.reason, BROKEN_IMAGE_REMEDY))
    try:
        annotation = read_annotation(sample, options)
        findings = check_annotation(annotation, Classes.from_config(options.classes), options.background, size)
    except AnnotationError as error:
        findings = error.findings
    problems += [Problem(sample["id"], sample["annotation"], *dataclasses.astuple(finding)) for finding in findings]
    if problems:
        return None, problems
    return dataclasses.replace(annotation, height=size[-2], width=size[-1]), []


def _decoded_size(sample: Mapping[str, str]) -> tuple[int, ...]:
    """Size of a sample's picture. All of it is decoded, in parts, so that damage is found, which raises ImageError."""
    if int(sample["depth"]) > 1:
        header = stack_header(sample["image"])
        size = header.shape[:3]
        parts = (read_page(sample["image"], number) for number in range(header.depth))
    else:
        width, height, *_ = image_header(sample["image"])
        size = height, width
        parts = read_bands(sample["image"])
    for part in parts:
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            raise ImageError(sample["image"], "it holds NaN or infinite values")
    return size


def check_annotation(
    annotation: Annotation, classes: Classes, background: str | Sequence[str], size: tuple[int, ...] | None
) -> list[Finding]:
    """Everything that keeps an annotation from being drawn on its picture of `size`.

    size: (height, width), of a volume (depth, height, width), None where the picture cannot be read.
    """
    findings = []
    if size and (wrong := _size_mismatch(annotation, size) or _normalised(annotation, size)):
        findings.append(wrong)
    for number, shape in enumerate(annotation.shapes, 1):
        if defect := shape.defect():
            remedy = "draw the shape anew, or delete it"
            findings.append(Finding("degenerate_shape", f'shape {number} ("{shape.label}") {defect}', remedy))
    counts = Counter(shape.label for shape in annotation.shapes)
    unknown = [label for label in counts if label_value(label, classes, background) is None]
    for label, count in sorted((label, counts[label]) for label in unknown):
        remedy = "add the label to dataset.classes, or to a list in dataset.background, or rename it in the annotation"
        detail = f'label "{label}" ({count_of(count, "shape")}){_suggestion(label, classes)}'
        findings.append(Finding("unknown_label", detail, remedy))
    return findings


def _normalised(annotation: Annotation, size: Sequence[int]) -> Finding | None:
    """Whether coordinates are fractions of the picture's sides, so that all objects would lie in its first pixel."""
    points = [shape.points for shape in annotation.shapes if len(shape.points)]
    if not points or max(size[-2:]) <= _TINY_PICTURE or any(shape.kind == "mask" for shape in annotation.shapes):
        return None
    low, high = np.min([p.min() for p in points]), np.max([p.max() for p in points])
    if not (low >= _CORNER[0] and high <= _CORNER[1]):
        return None
    detail = (
        f"all coordinates lie between {low:.3g} and {high:.3g}, as fractions of width and height do; in pixels, the "
        f"unit here, all objects would lie in the top left one of {_extent(size)}"
    )
    remedy = (
        "export the annotations in pixels, or multiply every x by the picture's width and every y by its height; if "
        "they are in pixels, delete this speck"
    )
    return Finding("normalised_coordinates", detail, remedy)


def _suggestion(label: str, classes: Classes) -> str:
    folded = {name.casefold(): name for name in classes.names}
    nearest = difflib.get_close_matches(label.casefold(), folded, n=1)
    return f'; did you mean "{folded[nearest[0]]}"?' if nearest else f"; known are {', '.join(classes.names)}"


def _size_mismatch(annotation: Annotation, size: tuple[int, ...]) -> Finding | None:
    stated = (annotation.height or size[-2], annotation.width or size[-1])
    if annotation.label_values is not None:
        stated = annotation.label_values.shape
    if stated == size:
        return None
    detail = f"is for a picture of {_extent(stated)} pixels, but the picture has {_extent(size)}"
    remedy = "put the picture that was annotated in its place, or annotate this one anew"
    if stated == size[::-1]:
        detail += ": width and height are exchanged, as where a tool ignores the EXIF orientation"
        remedy = "export the annotations with a tool that shows the picture upright, or save the picture upright"
    return Finding("size_mismatch", detail, remedy)


def _extent(size: Sequence[int]) -> str:
    """Width × height (× depth), as people write it."""
    return " × ".join(map(str, size[:-3:-1] + size[:-2]))
