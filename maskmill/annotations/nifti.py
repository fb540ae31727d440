"""Read NIfTI label maps: a class index for every voxel of a volume, or for every pixel of one of its slices."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.masks import class_indices
from maskmill.annotations.shapes import Annotation, AnnotationError, Finding
from maskmill.imaging.images import ImageError, image_header, read_values, split_page
from maskmill.imaging.volumes import StackHeader, is_stack, read_volume, stack_header
from maskmill.wording import count_of

_FARTHEST_CORNER = 1e-3
"""Greatest distance between a corner of the picture and the same corner of its label map, in units of the affine."""

_INDEX_REMEDY = (
    "list all classes in dataset.classes in the order of their numbers, or save the label map with 0 for background, "
    "1, 2 and so on for the classes, and 255 where nothing is to be learnt"
)


def read(path: str | os.PathLike, image: str | os.PathLike, options: LabelOptions) -> Annotation:
    """Read a label map of the volume `image`, whose voxels it has to share; "#page=N" behind both is a slice.

    A value is a class index (0 background, 255 ignored), floats that are whole numbers included; the colours of
    `options.classes`, if it gives any, have no meaning here. The affines, where both files have one, may put no corner
    of the volume more than 1e-3 mm apart.

    Returns an Annotation with `label_values`, (D, H, W) or of a slice (H, W). Raises AnnotationError with everything
    found: another size, another affine, values that are no class index.
    """
    try:
        findings = geometry_findings(path, image)
        values = _read_values(path)
    except ImageError as error:
        remedy = "replace the label map, or take it and its volume away"
        raise AnnotationError(Finding("broken_annotation", error.reason, remedy)) from error
    try:
        labels = _class_indices(_whole_numbers(values), list(options.classes))
    except AnnotationError as error:
        findings += error.findings
    if findings:
        raise AnnotationError(*findings)
    return Annotation(*labels.shape[-2:], label_values=labels)


def _class_indices(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """As `masks.class_indices`, whose advice on colours is no help here."""
    try:
        return class_indices(values, names)
    except AnnotationError as error:
        raise AnnotationError(*(replace(finding, remedy=_INDEX_REMEDY) for finding in error.findings)) from error


def _read_values(path: str | os.PathLike) -> np.ndarray:
    """Stored values (D, H, W, C), or of a slice (H, W, C)."""
    if split_page(path)[1] is None and is_stack(path):
        return read_volume(path, raw=True).pixels
    return read_values(path)


def _whole_numbers(values: np.ndarray) -> np.ndarray:
    """The values as integers. AnnotationError where some are none."""
    if values.dtype.kind in "iu":
        return values
    wrong = ~np.isfinite(values) | (values != np.round(values)) | (np.abs(values) > np.iinfo(np.int32).max)
    if wrong.any():
        found = np.unique(values[wrong])
        listed = ", ".join(f"{value:g}" for value in found[:12])
        more = f" and {len(found) - 12} more" if len(found) > 12 else ""
        raise AnnotationError(
            Finding(
                "unexpected_value",
                f"{count_of(int(wrong.sum()), 'value')}, none a whole number: {listed}{more}",
                "save the label map with integers; if it was resampled, do that anew by nearest neighbour",
            )
        )
    return values.astype(np.uint8 if values.min() >= 0 and values.max() <= 255 else np.int32)


def geometry_findings(path: str | os.PathLike, image: str | os.PathLike) -> list[Finding]:
    """Where the voxels of a label map are not those of its volume, by the headers alone: another size, another affine.

    Raises ImageError where the label map cannot be read, AnnotationError where the volume cannot.
    """
    try:
        picture = _header(image)
    except ImageError as error:
        raise AnnotationError(
            Finding("missing_picture", f"its volume {image} cannot be read: {error.reason}", "replace the volume")
        ) from error
    labels = _header(path)
    findings = []
    if picture.shape[:3] != labels.shape[:3]:
        findings.append(
            Finding(
                "size_mismatch",
                f"is for a volume of {_extent(labels)} voxels, but the volume has {_extent(picture)}",
                "put the volume that was annotated in its place, or annotate this one anew",
            )
        )
    if picture.affine is not None and labels.affine is not None:
        distance = _corner_distance(picture, labels)
        if not distance <= _FARTHEST_CORNER:
            findings.append(
                Finding(
                    "affine_mismatch",
                    f"lies elsewhere than its volume, by up to {distance:.4g} {picture.unit}: spacing and origin (and "
                    f"axes) are {_placement(labels)}, but those of the volume {_placement(picture)}",
                    "resample the label map to the grid of the volume by nearest neighbour, or bring the volume on "
                    "which it was drawn",
                )
            )
    return findings


def _header(path: str | os.PathLike) -> StackHeader:
    """Size and geometry of a stack; of a single picture, those of a stack of one without an affine."""
    stack, page = split_page(path)
    if page is None and not is_stack(stack):
        width, height, channels, dtype = image_header(path)
        return StackHeader(1, height, width, channels, dtype, (1.0, 1.0, 1.0), "px", None)
    return stack_header(stack)


def _corner_distance(picture: StackHeader, labels: StackHeader) -> float:
    """Greatest distance between a corner of the picture's grid of voxels as one and as the other affine places it."""
    sizes = (picture.width, picture.height, picture.depth)
    corners = np.array([(*corner, 1) for corner in product(*((-0.5, size - 0.5) for size in sizes))])
    return float(np.linalg.norm(((picture.affine - labels.affine) @ corners.T)[:3], axis=0).max())


def _extent(header: StackHeader) -> str:
    return f"{header.width} × {header.height} × {header.depth}"


def _placement(header: StackHeader) -> str:
    """Spacing, origin and axes as text, along the columns, rows and slices."""
    from nibabel.orientations import aff2axcodes

    spacing = " × ".join(f"{size:.5g}" for size in header.spacing[::-1])
    origin = ", ".join(f"{value:.5g}" for value in header.affine[:3, 3])
    return f"{spacing} {header.unit}, ({origin}) ({''.join(aff2axcodes(header.affine))})"
