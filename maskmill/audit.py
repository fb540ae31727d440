"""What became of the annotations: objects, pixels and losses of every sample, and pictures that show it."""

import logging
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import Classes
from maskmill.files import atomic_path, read_table, write_table
from maskmill.images import read_image, read_label_png
from maskmill.logs import progress
from maskmill.overlay import blend_mask
from maskmill.preprocess import resize_image, resize_labels
from maskmill.rasterize import BackgroundOption, ClassesOption, draw_shape, label_value, read_annotation

COLUMNS = (
    "id",
    "class",
    "objects",
    "tiny_objects",
    "outside_objects",
    "annotated_area",
    "label_pixels",
    "covered_pixels",
    "remarks",
)
OVERLAY_COLUMNS = ("file", "id", "remarks")

OVERLAYS = 24
LONG_SIDE = 768
TINY = 25
"""Area in pixels below which an object is called tiny."""

_UNSAFE = re.compile(r"[^\w.-]")

logger = logging.getLogger(__name__)


def audit_labels(
    samples: str,
    label_dirs: Sequence[str],
    source_format: str,
    classes: ClassesOption,
    background: BackgroundOption,
    output: str,
    overlays_dir: str,
) -> None:
    """Compare the label images with the annotations they were drawn from.

    samples: path of samples.csv; label_dirs: folders of the shards' label images, named by their shard.

    Writes `output`, one row a sample and class: objects (shapes of one group id count once; connected regions of a mask
    picture), how many are tiny (below 25 pixels) and how many reach outside the picture, the annotated area in square
    pixels (of polygons, circles, rectangles and mask shapes, by geometry), the pixels in the label image, the pixels
    drawn but covered by a later shape of another class, and remarks in words. And `overlays_dir`: PNGs of at most 24
    samples, half of them the most severe cases, the rest evenly spread, and overlays.csv with file, id and remarks.
    """
    palette = Classes.from_config(classes)
    folders = {Path(folder).name: Path(folder) for folder in label_dirs}
    accepted = read_table(samples)
    rows = []
    for sample in progress(accepted, "audit"):
        labels = read_label_png(folders[sample["shard"]] / f"{sample['id']}.png")
        annotation = read_annotation(sample["annotation"], source_format, classes, background)
        rows.append(audit_sample(sample["id"], annotation, labels, palette, background))
    write_table(output, chain.from_iterable(rows), COLUMNS)
    remarks = {sample_rows[0]["id"]: _sample_remarks(sample_rows) for sample_rows in rows}
    chosen = choose_overlays(accepted, [severity(sample_rows) for sample_rows in rows])
    _write_overlays(chosen, remarks, folders, palette, overlays_dir)
    remarked = sum(bool(text) for text in remarks.values())
    logger.info("%d of %d samples have remarks; see %s and %s", remarked, len(remarks), output, overlays_dir)


def audit_sample(
    sample: str, annotation: Annotation, labels: np.ndarray, classes: Classes, background: BackgroundOption
) -> list[dict[str, Any]]:
    """One row (see `COLUMNS`) a class of a sample with the label image `labels` (H, W)."""
    rows = []
    for value, name in enumerate(classes.names, 1):
        if annotation.label_values is not None:
            figures = _audit_mask(labels == value)
        else:
            shapes = [s for s in annotation.shapes if label_value(s.label, classes, background) == value]
            figures = _audit_shapes(shapes, labels, value)
        row = {"id": sample, "class": name, "label_pixels": int((labels == value).sum())} | figures
        rows.append(row | {"remarks": _remarks(row)})
    return rows


def shape_area(shape: Shape) -> float | None:
    """Geometric area of a shape in square pixels; None for kinds without one (points and lines)."""
    if shape.kind in ("polygon", "oriented_rectangle"):
        return float(cv2.contourArea(shape.points.astype(np.float32)))
    if shape.kind == "rectangle":
        return float(np.prod(np.ptp(shape.points, axis=0)))
    if shape.kind == "circle":
        return float(np.pi * ((shape.points[1] - shape.points[0]) ** 2).sum())
    if shape.kind == "mask":
        return float(shape.mask.sum())
    return None


def _audit_shapes(shapes: Sequence[Shape], labels: np.ndarray, value: int) -> dict[str, Any]:
    """Figures of one class's shapes. What covers them in the label image has another value."""
    canvas = Image.new("L", labels.shape[::-1])
    areas: dict[Any, float] = {}
    outside = set()
    for number, shape in enumerate(shapes):
        draw_shape(canvas, shape, 1)
        thing = (number,) if shape.group_id is None else (shape.label, shape.group_id)
        area = shape_area(shape)
        areas[thing] = areas.get(thing, 0.0) + (np.inf if area is None else area)
        if _reaches_outside(shape, *labels.shape):
            outside.add(thing)
    measured = [area for area in areas.values() if np.isfinite(area)]
    return {
        "objects": len(areas),
        "tiny_objects": sum(area < TINY for area in areas.values()),
        "outside_objects": len(outside),
        "annotated_area": round(sum(measured)),
        "covered_pixels": int(((np.asarray(canvas) == 1) & (labels != value)).sum()),
    }


def _reaches_outside(shape: Shape, height: int, width: int) -> bool:
    """Whether a point lies more than one pixel outside the picture, the breadth of a careless click at its edge."""
    return bool((shape.points < -1).any() or (shape.points > (width + 1, height + 1)).any())


def _audit_mask(region: np.ndarray) -> dict[str, Any]:
    """Figures of one class of a mask picture, whose pixels are taken over as they are."""
    count, _, statistics, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    return {
        "objects": count - 1,
        "tiny_objects": int((statistics[1:, cv2.CC_STAT_AREA] < TINY).sum()),
        "outside_objects": 0,
        "annotated_area": int(region.sum()),
        "covered_pixels": 0,
    }


def _remarks(row: Mapping[str, Any]) -> str:
    remarks = []
    if row["tiny_objects"]:
        remarks.append(f"{row['tiny_objects']} tiny")
    if row["outside_objects"]:
        remarks.append(f"{row['outside_objects']} reaching outside")
    if row["objects"] and not row["label_pixels"]:
        remarks.append("nothing left in the label image")
    elif row["covered_pixels"] > 0.05 * row["label_pixels"]:
        remarks.append(f"{row['covered_pixels']} pixels covered by other classes")
    return ", ".join(remarks)


def _sample_remarks(rows: Sequence[Mapping[str, Any]]) -> str:
    """Remarks on all classes of a sample in one text."""
    if not any(row["label_pixels"] for row in rows):
        return "; ".join(["no class in the picture", *(f"{r['class']}: {r['remarks']}" for r in rows if r["remarks"])])
    return "; ".join(f"{row['class']}: {row['remarks']}" for row in rows if row["remarks"])


def _write_overlays(
    chosen: Sequence[Mapping[str, str]],
    remarks: Mapping[str, str],
    folders: Mapping[str, Path],
    classes: Classes,
    overlays_dir: str,
) -> None:
    table = []
    with atomic_path(overlays_dir) as folder:
        folder.mkdir()
        for number, sample in enumerate(chosen, 1):
            labels = read_label_png(folders[sample["shard"]] / f"{sample['id']}.png")
            name = f"{number:02d}-{_UNSAFE.sub('_', sample['id'])[-80:]}.png"
            Image.fromarray(draw_overlay(read_image(sample["image"]), labels, classes)).save(
                folder / name, compress_level=3
            )
            table.append({"file": name, "id": sample["id"], "remarks": remarks[sample["id"]]})
        write_table(folder / "overlays.csv", table, OVERLAY_COLUMNS)


def severity(rows: Sequence[Mapping[str, Any]]) -> float:
    """How much a sample is worth a look: shares of tiny, outside and covered objects, plus 1 where no class is left."""
    total = 0.0 if any(row["label_pixels"] for row in rows) else 1.0
    for row in rows:
        total += (row["tiny_objects"] + row["outside_objects"]) / max(row["objects"], 1)
        total += row["covered_pixels"] / max(row["covered_pixels"] + row["label_pixels"], 1)
    return total


def choose_overlays(samples: Sequence[Mapping[str, str]], severities: Sequence[float]) -> list[Mapping[str, str]]:
    """At most 24 samples: up to half of them the most severe, the others evenly spread over the rest."""
    worst_first = sorted(range(len(samples)), key=lambda i: -severities[i])
    telling = [i for i in worst_first if severities[i] > 0][: OVERLAYS // 2]
    others = [i for i in range(len(samples)) if i not in set(telling)]
    count = min(OVERLAYS - len(telling), len(others))
    spread = np.linspace(0, len(others) - 1, count).round().astype(int) if count else []
    return [samples[i] for i in telling + [others[k] for k in spread]]


def draw_overlay(image: np.ndarray, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """RGB uint8 picture, its long side 768 pixels at most, with every class tinted and outlined in its colour."""
    height, width = labels.shape
    factor = min(1.0, LONG_SIDE / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return blend_mask(resize_image(image, *size), resize_labels(labels, *size), classes)
