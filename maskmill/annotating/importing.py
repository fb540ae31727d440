"""Convert annotations of any format that is read into labelme's JSON files, one for each picture."""

import dataclasses
import io
import logging
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from maskmill.annotating.outlines import mask_shapes, trace_labels, trace_mask
from maskmill.annotations import labelme_writer, voc
from maskmill.annotations.formats import FORMATS, LabelOptions, read_annotation
from maskmill.annotations.shapes import Annotation, AnnotationError, Shape
from maskmill.classes import BACKGROUND_LABEL, IGNORE_LABEL, Classes
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path
from maskmill.imaging.images import ImageError, image_header, opened, read_image, split_page
from maskmill.imaging.overlay import display_image
from maskmill.imaging.signatures import PILLOW_FORMATS
from maskmill.imaging.volumes import is_stack, stack_header
from maskmill.indexing.pairing import Pair, find_pairs
from maskmill.indexing.recognise import recognise
from maskmill.labels.problems import BROKEN_IMAGE_REMEDY, Problem, describe
from maskmill.labels.rasterize import draw_shape
from maskmill.labels.shard import check_annotation
from maskmill.logs import progress
from maskmill.wording import count_of

_NAMELESS = ("png", "ritm", "instances", "nifti")
"""Formats whose files do not say what their classes are called."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How masks become shapes. masks: as labelme's mask shapes, else as polygons. spacing: see `trace_labels`."""

    masks: bool = False
    spacing: float = 0.0


def import_annotations(
    source: Mapping[str, str], options: LabelOptions, output: Path, drawing: Drawing | None = None
) -> int:
    """Write `<id>.json` below `output` for every picture that has an annotation; their number.

    source: the option `dataset.source`; the format may be "auto". Shapes keep their kind, coordinates, labels, groups
    and order; ellipses, which labelme lacks, become outlines. Pictures that are embedded in their annotation, and the
    slices of stacks, get a file beside the annotation. Either all files are written or none.

    Raises MaskmillError with everything that is wrong with any of the files, or where `output` is not empty.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise MaskmillError(f"{output} is not empty; name a folder that does not exist, so that nothing is overwritten")
    source = _recognised(source, options)
    pairs, problems = find_pairs(source)
    if source["format"] == "voc" and not options.classes:
        options = dataclasses.replace(options, classes=_voc_names(pairs.values()))
    unannotated = [problem for problem in problems if problem.kind == "missing_annotation"]
    problems = [problem for problem in problems if problem.kind != "missing_annotation"]
    pairs = _single_pictures(pairs, problems)
    with atomic_path(output) as aside:
        for sample, pair in progress(pairs.items(), "import"):
            try:
                shapes, size = _converted(pair, source["format"], options, drawing or Drawing())
                picture = _write_picture(pair, aside / sample) or labelme_writer.relative_picture(
                    pair.image, output / f"{sample}.json"
                )
            except (ImageError, AnnotationError) as error:
                problems += _problems(sample, pair, error)
                continue
            labelme_writer.write(aside / f"{sample}.json", shapes, picture, size)
        if problems:
            raise MaskmillError(f"{describe(problems)}\n\nNothing was written.")
        if not pairs:
            raise MaskmillError(f"none of the pictures below {source['images']} has an annotation; nothing was written")
    if unannotated:
        have = "picture has" if len(unannotated) == 1 else "pictures have"
        logger.warning("%d %s no annotation and got no file", len(unannotated), have)
    return len(pairs)


def _recognised(source: Mapping[str, str], options: LabelOptions) -> Mapping[str, str]:
    """The source with its format, if that was "auto"."""
    if source["format"] == "auto":
        name, saw = recognise(source, options.classes)
        logger.info("format auto: %s", saw)
        source = {**source, "format": name}
    if source["format"] in _NAMELESS and not options.classes:
        raise MaskmillError(
            f"{FORMATS[source['format']].title} do not say what their values are called: give --classes building,road "
            "for the values 1 and 2, or --classes building=#ff0000,road=#00ff00 for colours"
        )
    return source


def _voc_names(pairs: Iterable[Pair]) -> list[str]:
    """Names of the classes in the lists beside the masks, or VOC's own, background and ignored ones left out."""
    names = dict.fromkeys(name for pair in pairs for name in voc.class_names(pair.annotation))
    return [name for name in names if name not in ("background", BACKGROUND_LABEL, IGNORE_LABEL)]


def _single_pictures(pairs: Mapping[str, Pair], problems: list[Problem]) -> dict[str, Pair]:
    """The pairs, with one for each slice in place of a stack; what is wrong with a stack is added to the problems."""
    found = {}
    for sample, pair in pairs.items():
        if not is_stack(pair.image):
            found[sample] = pair
            continue
        try:
            depth = stack_header(pair.image).depth
            drawn = stack_header(pair.annotation).depth if is_stack(pair.annotation) else 1
        except ImageError as error:
            problems += _problems(sample, pair, error)
            continue
        if drawn != depth:
            detail = f"has {count_of(drawn, 'slice')}, and the picture has {depth}"
            problems.append(Problem(sample, pair.annotation, "size_mismatch", detail, "annotate every slice"))
            continue
        for page in range(depth):
            name = f"{sample}/{page:0{max(3, len(str(depth - 1)))}}"
            found[name] = Pair(f"{pair.image}#page={page}", f"{pair.annotation}#page={page}")
    return found


def _problems(sample: str, pair: Pair, error: ImageError | AnnotationError) -> list[Problem]:
    if isinstance(error, ImageError):
        return [Problem(sample, pair.image, "broken_image", error.reason, BROKEN_IMAGE_REMEDY)]
    return [Problem(sample, pair.annotation, *dataclasses.astuple(finding)) for finding in error.findings]


def _converted(
    pair: Pair, format_name: str, options: LabelOptions, drawing: Drawing
) -> tuple[list[Shape], tuple[int, int]]:
    """Shapes and size (height, width) of one labelme file. Raises ImageError, AnnotationError."""
    width, height, _, _ = image_header(pair.image)
    sample = {
        **{"annotation": pair.annotation, "entry": pair.entry, "format": format_name, "image": pair.image},
        **{"width": str(width), "height": str(height)},
    }
    annotation = read_annotation(sample, options)
    if findings := check_annotation(annotation, _classes(annotation, options), options.background, (height, width)):
        raise AnnotationError(*findings)
    annotation = dataclasses.replace(annotation, height=height, width=width)
    return labelme_shapes(annotation, options, drawing), (height, width)


def _write_picture(pair: Pair, stem: Path) -> str | None:
    """Write a picture that has no file of its own to `stem` and a suffix; its name, None of any other picture.

    An embedded picture is written byte by byte. Slices become PNGs: exactly those of 8 bits with one or three channels,
    others stretched to 8 bits for the eye. Raises ImageError.
    """
    if pair.image == pair.annotation:
        with opened(pair.image) as file:
            data = file.read()
        with Image.open(io.BytesIO(data), formats=PILLOW_FORMATS) as image:
            name = f"{stem.name}.{image.format.lower()}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.with_name(name).write_bytes(data)
        return name
    if split_page(pair.image)[1] is None:
        return None
    stem.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(display_image(read_image(pair.image))).save(stem.with_name(f"{stem.name}.png"))
    return f"{stem.name}.png"


def _classes(annotation: Annotation, options: LabelOptions) -> Classes:
    """The classes of the options or, where there are none, all labels of the shapes."""
    if options.classes:
        return Classes.from_config(options.classes)
    names = tuple(sorted({shape.label for shape in annotation.shapes}))
    return Classes(names, ((0, 0, 0),) * len(names))


def labelme_shapes(annotation: Annotation, options: LabelOptions, drawing: Drawing) -> list[Shape]:
    """The annotation's shapes, of kinds that labelme has; its size must be known."""
    if annotation.label_values is not None:
        classes, objects = Classes.from_config(options.classes), annotation.object_values
        if drawing.masks:
            return mask_shapes(annotation.label_values, classes, objects)
        return trace_labels(annotation.label_values, classes, objects, drawing.spacing)
    used = {shape.group_id for shape in annotation.shapes}
    fresh = (number for number in count(1) if number not in used)
    shapes = []
    for shape in annotation.shapes:
        if shape.kind not in ("ellipse", "mask"):
            shapes.append(shape)
            continue
        if shape.kind == "ellipse":
            shape = _drawn(shape, annotation.height, annotation.width)
        if drawing.masks:
            shapes.append(shape)
            continue
        parts = trace_mask(shape, drawing.spacing)
        group = next(fresh) if shape.group_id is None and len(parts) > 1 else shape.group_id
        shapes += [dataclasses.replace(part, group_id=group) for part in parts]
    return shapes


def _drawn(shape: Shape, height: int, width: int) -> Shape:
    """The pixels of a shape as a mask of the picture's size."""
    canvas = Image.new("L", (width, height))
    draw_shape(canvas, shape, 1)
    corners = np.array([(0, 0), (width - 1, height - 1)], float)
    return Shape(shape.label, "mask", corners, shape.group_id, np.asarray(canvas) > 0)
