"""Contact sheets: picture, overlay and outline of a sample side by side, those worth a look first."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskmill.audit.crops import draw_crop, telling_remark, worst_objects
from maskmill.audit.shard import read_labels
from maskmill.classes import Classes
from maskmill.files import atomic_path, read_table, write_table
from maskmill.imaging.images import read_image, write_jpeg
from maskmill.imaging.overlay import blend_mask, display_image, outline_mask
from maskmill.imaging.resampling import resize_image, resize_labels
from maskmill.imaging.volumes import read_volume
from maskmill.logs import progress

SHEET_COLUMNS = ("file", "id", "slice", "severity", "remarks")

CROP_COLUMNS = ("file", "sheet", "class", "object", "left", "top", "remarks")

SHEETS = 240
"""Most samples that are shown: 10,000 pictures would take gigabytes, and nobody pages that far."""

LONG_SIDE = 420

CROPPED = 2
"""Pictures more than so many times as large as they are on their sheet have crops of objects beside it."""

GAP = 6

_UNSAFE = re.compile(r"[^\w.-]")
_WEIGHTS = {
    "looks inverted": 5.0,
    "fills the picture": 4.0,
    "outside the picture": 3.0,
    "crosses itself": 2.0,
    "covered altogether": 2.0,
    "gone at training size": 2.0,
}


def draw_sheets(
    samples: str,
    label_dirs: Sequence[str],
    audit: str,
    objects: str,
    classes: Sequence[str] | Mapping[str, str],
    output: str,
) -> None:
    """Write to the folder `output` a JPEG for each of at most 240 samples, and `sheets.csv`, most severe first.

    Of pictures much larger than their sheet, the objects that cannot be found there have a JPEG each, in `crops.csv`.
    samples: path of samples.csv; label_dirs: folders of the shards' label images, named by their shard; audit, objects:
    paths of audit.csv and objects.csv. Where there are more samples, half of the room is for the most severe, the rest
    evenly spread.
    """
    palette = Classes.from_config(classes)
    folders = {Path(folder).name: folder for folder in label_dirs}
    by_sample, telling = defaultdict(list), defaultdict(list)
    for row in read_table(audit):
        by_sample[row["id"]].append(row)
    for row in filter(telling_remark, read_table(objects)):
        telling[row["id"]].append(row)
    accepted = read_table(samples)
    severities = [severity(by_sample[sample["id"]]) for sample in accepted]
    table, crops = [], []
    with atomic_path(output) as folder:
        folder.mkdir()
        for number in progress(choose_sheets(severities), "sheets"):
            sample = accepted[number]
            name = f"{len(table) + 1:03d}-{_UNSAFE.sub('_', sample['id'])[-80:]}.jpg"
            picture, labels, place = shown_slice(sample, read_labels(folders[sample["shard"]], sample))
            write_jpeg(folder / name, draw_sheet(picture, labels, palette), quality=85)
            remarks = sample_remarks(by_sample[sample["id"]])
            row = {"file": name, "id": sample["id"], "slice": place}
            table.append(row | {"severity": round(severities[number], 3), "remarks": remarks})
            if not place and max(labels.shape) > CROPPED * LONG_SIDE:
                crops += _save_crops(folder, name, picture, labels, worst_objects(telling[sample["id"]]), palette)
        write_table(folder / "sheets.csv", table, SHEET_COLUMNS)
        write_table(folder / "crops.csv", crops, CROP_COLUMNS)


def _save_crops(
    folder: Path,
    sheet: str,
    picture: np.ndarray,
    labels: np.ndarray,
    objects: Sequence[Mapping[str, str]],
    palette: Classes,
) -> list[dict[str, str]]:
    """Write a JPEG for each of these objects; their rows of crops.csv."""
    rows, shown = [], display_image(picture) if objects else picture
    for number, row in enumerate(objects, 1):
        name = f"{Path(sheet).stem}-object{number}.jpg"
        box = [int(row[side]) for side in ("left", "top", "right", "bottom")]
        write_jpeg(folder / name, draw_crop(shown, labels, box, palette), quality=90)
        rows.append({"file": name, "sheet": sheet} | {key: row[key] for key in CROP_COLUMNS[2:]})
    return rows


def severity(rows: Sequence[Mapping[str, Any]]) -> float:
    """How much a sample is worth a look, of its rows of the audit; 0 is not at all.

    Remarks on the whole picture weigh most, then faults of objects, then the shares of tiny, outside, lost and covered
    ones; a picture without any class weighs 1.
    """
    total = 0.0 if any(int(row["label_pixels"]) for row in rows) else 1.0
    for row in rows:
        objects = max(int(row["objects"]), 1)
        total += (int(row["tiny_objects"]) + int(row["outside_objects"]) + int(row["lost_objects"])) / objects
        total += int(row["covered_pixels"]) / max(int(row["covered_pixels"]) + int(row["label_pixels"]), 1)
        total += sum(weight for remark, weight in _WEIGHTS.items() if remark in row["remarks"])
        total += 0.1 * bool(row["remarks"])
    return total


def choose_sheets(severities: Sequence[float]) -> list[int]:
    """Numbers of the samples shown, most severe first, then the others in order."""
    worst_first = sorted(range(len(severities)), key=lambda i: -severities[i])
    telling = [i for i in worst_first if severities[i] > 0]
    if len(severities) > SHEETS:
        telling = telling[: max(SHEETS // 2, SHEETS - (len(severities) - len(telling)))]
    others = sorted(set(range(len(severities))) - set(telling))
    count = min(SHEETS - len(telling), len(others))
    spread = np.linspace(0, len(others) - 1, count).round().astype(int) if count else []
    return telling + [others[k] for k in spread]


def sample_remarks(rows: Sequence[Mapping[str, str]]) -> str:
    """Remarks on all classes of a sample in one text."""
    texts = [] if any(int(row["label_pixels"]) for row in rows) else ["no class in the picture"]
    return "; ".join(texts + [f"{row['class']}: {row['remarks']}" for row in rows if row["remarks"]])


def shown_slice(sample: Mapping[str, str], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """The picture and labels of a sample; of a volume the slice with the most labelled pixels, and which it is.

    That is "17 of 35", counted from 1; "" of a picture.
    """
    if labels.ndim == 2:
        return read_image(sample["image"]), labels, ""
    best = int(np.count_nonzero(labels, axis=(1, 2)).argmax())
    return read_volume(sample["image"]).pixels[best], labels[best], f"{best + 1} of {len(labels)}"


def draw_sheet(image: np.ndarray, labels: np.ndarray, classes: Classes) -> np.ndarray:
    """RGB uint8: the picture, the picture with tinted classes, and with their outlines alone, side by side."""
    height, width = labels.shape
    factor = LONG_SIDE / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    if factor < 1:
        image, labels = resize_image(image, *size), resize_labels(labels, *size)
    panels = [display_image(image), blend_mask(image, labels, classes), outline_mask(image, labels, classes)]
    if factor > 1:
        panels = [cv2.resize(panel, size[::-1], interpolation=cv2.INTER_NEAREST) for panel in panels]
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
