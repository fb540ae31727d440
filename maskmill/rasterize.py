"""From annotations to label images: shapes are drawn exactly as labelme draws them.

labelme draws with Pillow: coordinates are cut to integers, outlines belong to the shape, later shapes cover earlier
ones, a point is a disc of radius 5 and a line 10 pixels wide. One canvas for all shapes gives the same pixels as one
array a shape does, in a small part of the time.
"""

import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from maskmill.annotations import labelme, masks
from maskmill.annotations.shapes import BACKGROUND_LABEL, IGNORE_LABEL, Annotation, AnnotationError, Finding, Shape
from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, write_table
from maskmill.images import ImageError, read_image, write_label_png
from maskmill.logs import progress
from maskmill.problems import BROKEN_IMAGE_REMEDY, Problem, write_problems

STATISTICS_COLUMNS = ("id", "class", "pixels")

POINT_RADIUS = 5
LINE_WIDTH = 10

_INSTANCE_SUFFIX = re.compile(r"[-_]\d+$")

ClassesOption = Sequence[str] | Mapping[str, str]
BackgroundOption = str | Sequence[str]


def rasterize_shard(
    shard_list: str, output_dir: str, source_format: str, classes: ClassesOption, background: BackgroundOption
) -> None:
    """Draw the label image of every sample in a shard's list.

    Writes to `output_dir`: <id>.png (palette PNG, class index), statistics.csv (id, class index, pixels; one row for
    every index that is possible, 0 and 255 included) and problems.csv. A sample with a problem has no PNG and no
    statistics, and stops nothing. source_format ("labelme" or "png"), classes and background: options of the data set.
    """
    palette = Classes.from_config(classes)
    statistics, problems = [], []
    with atomic_path(output_dir) as folder:
        folder.mkdir()
        for sample in progress(read_table(shard_list), "labels"):
            labels, found = draw_sample(sample, source_format, classes, background)
            problems += found
            if labels is None:
                continue
            write_label_png(folder / f"{sample['id']}.png", labels, palette)
            pixels = np.bincount(labels.ravel(), minlength=256)
            statistics += [
                {"id": sample["id"], "class": value, "pixels": int(pixels[value])}
                for value in (*range(len(palette) + 1), IGNORE)
            ]
        write_table(folder / "statistics.csv", statistics, STATISTICS_COLUMNS)
        write_problems(folder / "problems.csv", problems)


def draw_sample(
    sample: Mapping[str, str], source_format: str, classes: ClassesOption, background: BackgroundOption
) -> tuple[np.ndarray | None, list[Problem]]:
    """Label image (H, W) uint8 of one manifest row and no problem, or None and all problems of its two files."""
    problems, annotation, size = [], None, None
    try:
        size = read_image(sample["image"]).shape[:2]
    except ImageError as error:
        problems.append(Problem(sample["id"], sample["image"], "broken_image", error.reason, BROKEN_IMAGE_REMEDY))
    try:
        annotation = read_annotation(sample["annotation"], source_format, classes, background)
        findings = check_annotation(annotation, Classes.from_config(classes), background, size)
    except AnnotationError as error:
        findings = error.findings
    problems += [Problem(sample["id"], sample["annotation"], *dataclasses.astuple(finding)) for finding in findings]
    if problems:
        return None, problems
    annotation = dataclasses.replace(annotation, height=size[0], width=size[1])
    return rasterize_annotation(annotation, Classes.from_config(classes), background), []


def read_annotation(path: str, source_format: str, classes: ClassesOption, background: BackgroundOption) -> Annotation:
    """Read an annotation of the data set's format. Raises AnnotationError with everything wrong with the file."""
    if source_format == "labelme":
        return labelme.read(path)
    if source_format == "png":
        return masks.read(path, classes, background)
    raise MaskmillError(f'dataset.source.format "{source_format}" is unknown; use labelme or png')


def rasterize_annotation(annotation: Annotation, classes: Classes, background: BackgroundOption = "rest") -> np.ndarray:
    """Label image (H, W) uint8 of an annotation that `check_annotation` found nothing wrong with."""
    if annotation.label_values is not None:
        return annotation.label_values
    canvas = Image.new("L", (annotation.width, annotation.height), BACKGROUND)
    for shape in annotation.shapes:
        draw_shape(canvas, shape, label_value(shape.label, classes, background))
    return np.array(canvas)


def label_value(label: str, classes: Classes, background: BackgroundOption) -> int | None:
    """Label value of a shape's label, None if it is unknown.

    A label is a class, "__ignore__" (255), "_background_" or one of a list of background labels (0: such a shape covers
    what lies below it). One that is none of these may carry an instance number, as in "person-1" or "square_2".
    """
    known = dict.fromkeys(background, BACKGROUND) if background != "rest" else {}
    known |= {IGNORE_LABEL: IGNORE, BACKGROUND_LABEL: BACKGROUND}
    known |= {name: value for value, name in enumerate(classes.names, 1)}
    return known.get(label, known.get(_INSTANCE_SUFFIX.sub("", label)))


def check_annotation(
    annotation: Annotation, classes: Classes, background: BackgroundOption, size: tuple[int, int] | None
) -> list[Finding]:
    """Everything that keeps an annotation from being drawn on its picture of `size` (height, width; None: unknown)."""
    findings = []
    if size and (wrong := _size_mismatch(annotation, *size)):
        findings.append(wrong)
    for number, shape in enumerate(annotation.shapes, 1):
        if defect := shape.defect():
            remedy = "draw the shape anew, or delete it"
            findings.append(Finding("degenerate_shape", f'shape {number} ("{shape.label}") {defect}', remedy))
    unknown = Counter(
        shape.label for shape in annotation.shapes if label_value(shape.label, classes, background) is None
    )
    for label, count in sorted(unknown.items()):
        remedy = "add the label to dataset.classes, or to a list in dataset.background, or rename it in the annotation"
        detail = f'label "{label}" ({count} {"shape" if count == 1 else "shapes"}){_suggestion(label, classes)}'
        findings.append(Finding("unknown_label", detail, remedy))
    return findings


def _suggestion(label: str, classes: Classes) -> str:
    folded = {name.casefold(): name for name in classes.names}
    nearest = difflib.get_close_matches(label.casefold(), folded, n=1)
    return f'; did you mean "{folded[nearest[0]]}"?' if nearest else f"; known are {', '.join(classes.names)}"


def _size_mismatch(annotation: Annotation, height: int, width: int) -> Finding | None:
    stated = (annotation.height or height, annotation.width or width)
    if stated == (height, width):
        return None
    detail = f"is for a picture of {stated[1]} × {stated[0]} pixels, but the picture has {width} × {height}"
    if stated == (width, height):
        detail += " (turned upright as its EXIF orientation says)"
    return Finding(
        "size_mismatch", detail, "put the picture that was annotated in its place, or annotate this one anew"
    )


def draw_shape(canvas: Image.Image, shape: Shape, value: int) -> None:
    """Draw one shape on an 8-bit grey canvas with this value. What lies outside is clipped."""
    draw = ImageDraw.Draw(canvas)
    points = [(x, y) for x, y in shape.points.tolist()]
    if shape.kind in ("polygon", "oriented_rectangle"):
        draw.polygon(points, outline=value, fill=value)
    elif shape.kind == "rectangle":
        draw.rectangle([*shape.points.min(axis=0), *shape.points.max(axis=0)], outline=value, fill=value)
    elif shape.kind == "circle":
        radius = float(np.hypot(*(shape.points[1] - shape.points[0])))
        _draw_disc(draw, points[0], radius, value)
    elif shape.kind in ("line", "linestrip"):
        draw.line(points, fill=value, width=LINE_WIDTH)
    elif shape.kind in ("point", "points"):
        for point in points:
            _draw_disc(draw, point, POINT_RADIUS, value)
    else:
        pixels = Image.fromarray(shape.mask.astype(np.uint8) * 255)
        canvas.paste(value, tuple(shape.points[0].astype(int).tolist()), pixels)


def _draw_disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, value: int) -> None:
    x, y = centre
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=value, fill=value)
