"""Audit the samples of one shard: what each class and object became, in two tables."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.annotations.formats import LabelOptions, read_annotation
from maskmill.annotations.shapes import Annotation
from maskmill.audit.objects import LARGE, OBJECT_COLUMNS, TINY, AuditOptions, audit_objects, count_remarks
from maskmill.classes import Classes
from maskmill.files import atomic_path, read_table, write_table
from maskmill.imaging.images import read_label_png
from maskmill.imaging.volumes import read_label_volume
from maskmill.labels.rasterize import BackgroundOption, label_value, rasterize_annotation
from maskmill.labels.shard import labels_path
from maskmill.logs import progress
from maskmill.wording import count_of

AUDIT_COLUMNS = (
    "id",
    "class",
    "slices",
    "objects",
    "tiny_objects",
    "outside_objects",
    "lost_objects",
    "cut_objects",
    "annotated_area",
    "drawn_pixels",
    "label_pixels",
    "covered_pixels",
    "share",
    "remarks",
)

FULL = 0.98
"""Share of a picture's pixels from which a class is said to fill it."""

LOST = ("covered altogether", "gone at training size", "outside the picture")


def audit_shard(
    shard_list: str,
    samples: str,
    labels_dir: str,
    output: str,
    options: Mapping[str, object],
    training: Mapping[str, object],
) -> None:
    """Write `objects.csv` (a row an object) and `classes.csv` (a row a sample and class) to the folder `output`.

    shard_list, samples: tables of the shard's samples and of all that are accepted; labels_dir: the shard's label
    images. options, training: the fields of `LabelOptions` and of `AuditOptions`.
    """
    options, training = LabelOptions(**options), AuditOptions(**training)
    classes = Classes.from_config(options.classes)
    accepted = {row["id"] for row in read_table(samples)}
    objects, rows = [], []
    for sample in progress([row for row in read_table(shard_list) if row["id"] in accepted], "audit"):
        labels = read_labels(labels_dir, sample)
        height, width = labels.shape[-2:]
        annotation = replace(read_annotation(sample, options), height=height, width=width)  # not all files state it
        found = audit_objects(sample["id"], annotation, labels, classes, options.background, training)
        objects += found
        rows += audit_sample(sample["id"], annotation, labels, found, classes, options.background, training)
    with atomic_path(output) as folder:
        folder.mkdir()
        write_table(folder / "objects.csv", objects, OBJECT_COLUMNS)
        write_table(folder / "classes.csv", rows, AUDIT_COLUMNS)


def read_labels(folder: str, sample: Mapping[str, str]) -> np.ndarray:
    """The label image of a sample, a row of the manifest, from its shard's folder: (H, W), of volumes (D, H, W)."""
    path = labels_path(Path(folder), sample)
    return read_label_volume(path) if int(sample["depth"]) > 1 else read_label_png(path)


def audit_sample(
    sample: str,
    annotation: Annotation,
    labels: np.ndarray,
    objects: Sequence[Mapping[str, Any]],
    classes: Classes,
    background: BackgroundOption,
    training: AuditOptions,
) -> list[dict[str, Any]]:
    """One row (see `AUDIT_COLUMNS`) a class of a sample with the label image `labels` and these rows of objects.

    slices: 1 of a picture. lost_objects have no pixel in the label image, or none at the training resolution;
    cut_objects lie in several patches of the validation's grid, None where its patches are not decided.
    drawn_pixels: of all shapes of the class together; covered_pixels: those of them that a later shape of another class
    took. share: of the picture.
    """
    rows = []
    decided = training.patch_sides is not None
    for value, name in enumerate(classes.names, 1):
        own = [row for row in objects if row["class"] == name]
        drawn = _drawn(annotation, labels, value, classes, background)
        areas = [row["annotated_area"] for row in own if row["annotated_area"] is not None]
        pixels = int(np.count_nonzero(labels == value))
        row = {
            "id": sample,
            "class": name,
            "slices": len(labels) if labels.ndim == 3 else 1,
            "objects": len(own),
            "tiny_objects": sum(0 < row["visible_pixels"] < TINY for row in own),
            "outside_objects": sum(row["outside_share"] > 0 for row in own),
            "lost_objects": sum(any(cause in row["remarks"] for cause in LOST) for row in own),
            "cut_objects": sum((row["patches"] or 0) > 1 for row in own) if decided else None,
            "annotated_area": round(sum(areas)),
            "drawn_pixels": int(np.count_nonzero(drawn)),
            "label_pixels": pixels,
            "covered_pixels": int(np.count_nonzero(drawn & (labels != value))),
            "share": pixels / labels.size,
        }
        rows.append(row | {"remarks": ", ".join(_remarks(row, own))})
    return rows


def _drawn(
    annotation: Annotation, labels: np.ndarray, value: int, classes: Classes, background: BackgroundOption
) -> np.ndarray:
    """Where the shapes of one class would be if no other class were drawn, bool."""
    if annotation.label_values is not None:
        return labels == value
    own = [shape for shape in annotation.shapes if label_value(shape.label, classes, background) == value]
    alone = Annotation(*labels.shape, shapes=tuple(own))
    return rasterize_annotation(alone, classes, background) == value


def _remarks(row: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> list[str]:
    remarks = [f"{count} {remark}" for remark, count in count_remarks(objects).items() if remark != LARGE]
    if row["share"] >= FULL:
        remarks.append("fills the picture")
    if row["covered_pixels"] > 0.05 * max(row["label_pixels"], 1):
        remarks.append(f"{count_of(row['covered_pixels'], 'pixel')} covered by other classes")
    return remarks
