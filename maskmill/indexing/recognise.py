"""Recognise the annotation format of a folder, and say what was seen."""

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import find_objects

from maskmill.annotations import voc
from maskmill.annotations.formats import FORMATS, MASK_SUFFIXES
from maskmill.annotations.vector_files import GEOMETRY_TYPES
from maskmill.dag.sources import list_files
from maskmill.errors import MaskmillError
from maskmill.imaging.images import ImageError, read_values
from maskmill.imaging.signatures import PILLOW_FORMATS
from maskmill.indexing.discovery import pattern_expression
from maskmill.wording import count_of

LOOKED_AT = 25
"""Most files of one suffix that are opened."""

FEW_OBJECTS = 10
"""Greatest value of all masks up to which they are as likely to hold the indices of unlisted classes."""

_NO_MASKS = (".jpg", ".jpeg", ".gif", ".webp")
"""Suffixes of pictures that are no masks."""

_FOREIGN = {
    "voc_boxes": "Pascal VOC boxes in XML, which hold no masks",
    "labelme_xml": "XML of the old LabelMe web page (export it as labelme JSON or COCO)",
    "cvat_video": "CVAT XML of a video (export it as CVAT for images 1.1)",
    "yolo": "YOLO text files, which are not read (convert them to COCO JSON)",
}


def recognise(source: Mapping[str, str], classes: Sequence[str] | Mapping[str, str]) -> tuple[str, str]:
    """The format of the annotations below `source["annotations"]` and what was seen there, in words.

    Where the source has patterns, only files that match the annotations' are looked at; masks are object masks where it
    has a field that the pictures' has not. classes: the option `dataset.classes`; grey masks of a single class without
    a colour hold object numbers where `_hold_object_numbers` says so. RITM's click masks look like any others and are
    never recognised.

    Raises MaskmillError where nothing known or more than one format is found, or where masks of one class may as well
    hold the indices of several.
    """
    root = Path(source["annotations"])
    if not root.exists():
        raise MaskmillError(f"there is no folder or file of annotations {root}; correct dataset.source")
    folder = root.parent if root.is_file() else root
    files = [root.name] if root.is_file() else _matching_files(source)
    seen = Counter()
    seen.update(filter(None, (_json_kind(folder / file) for file in _few(files, (".json", ".geojson")))))
    seen.update(filter(None, (_xml_kind(folder / file) for file in _few(files, (".xml",)))))
    seen.update("geojson" for _ in _few(files, (".gpkg",)))
    seen.update("yolo" for file in _few(files, (".txt",)) if _is_yolo(folder / file))
    if not any(name in FORMATS for name in seen):  # boxes in XML may lie beside masks
        seen.update(_mask_kinds(source, folder, files, classes))
    return _decide(seen, files, str(root))


def _matching_files(source: Mapping[str, str]) -> list[str]:
    """The files below the annotations' folder, with patterns those that match the annotations'."""
    root, pattern = source["annotations"], source.get("annotation_pattern")
    files = list_files(root)
    if not pattern:
        return files
    expression = pattern_expression(pattern)
    matching = [file for file in files if expression.fullmatch(file)]
    if files and not matching:
        raise MaskmillError(
            f"none of {count_of(len(files), 'file')} below {root} matches dataset.source.annotation_pattern "
            f'"{pattern}"; the first of them is {files[0]}'
        )
    return matching


def _few(files: list[str], suffixes: tuple[str, ...]) -> list[str]:
    """At most `LOOKED_AT` of the files with these suffixes, evenly spread."""
    chosen = [file for file in files if file.lower().endswith(suffixes)]
    return (
        [chosen[i] for i in np.unique(np.linspace(0, len(chosen) - 1, LOOKED_AT).round().astype(int))] if chosen else []
    )


def _json_kind(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(content, list):
        if any(isinstance(item, dict) and item.get("type") == "Feature" for item in content):
            return "geojson"
        return "eiseg" if any(isinstance(item, dict) and "labelIdx" in item for item in content) else None
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("shapes"), list):
        return "labelme"
    if "images" in content and "categories" in content:
        return "coco"
    return "geojson" if content.get("type") in ("FeatureCollection", "Feature", *GEOMETRY_TYPES) else None


def _xml_kind(path: Path) -> str | None:
    try:
        for _, element in ElementTree.iterparse(path, events=("start",)):
            if element.tag in ("image", "track", "folder", "filename"):
                return {"image": "cvat", "track": "cvat_video"}.get(element.tag) or _foreign_xml(path)
    except (OSError, ElementTree.ParseError):
        return None
    return None


def _foreign_xml(path: Path) -> str:
    return "labelme_xml" if ElementTree.parse(path).find("object/polygon") is not None else "voc_boxes"


def _is_yolo(path: Path) -> bool:
    """Whether the first line of a text is a class number and at least four coordinates."""
    try:
        with open(path, encoding="utf-8") as file:
            return bool(re.fullmatch(r"\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*", file.readline(10_000)))
    except (OSError, UnicodeDecodeError):
        return False


def _mask_kinds(
    source: Mapping[str, str], folder: Path, files: list[str], classes: Sequence[str] | Mapping[str, str]
) -> Counter:
    """Formats of a folder that holds pictures alone, as a count of the files looked at."""
    if volumes := _few(files, (".nii", ".nii.gz")):
        return Counter(nifti=len(volumes))
    names = {PurePosixPath(file).name for file in files}
    masks = _few(files, MASK_SUFFIXES)
    if masks and voc.class_list(folder / masks[0]):
        return Counter(voc=len(masks))
    if "autosave_label.txt" in names or any(re.search(r"_pseudo\.png$", name) for name in names):
        return Counter(eiseg=len(masks))
    if Path(source["images"]) == folder and not source.get("annotation_pattern"):
        return Counter({"png": len(masks)} if masks else {})  # nothing tells pictures and masks apart: pairing says so
    if masks and _one_mask_an_object(source, files):
        return Counter(instances=len(masks))
    one_class = len(classes) == 1 and not isinstance(classes, Mapping)
    numbered = one_class and _hold_object_numbers([folder / file for file in masks], folder)
    return Counter({"instances" if numbered else "png": len(masks)} if masks else {})


def _one_mask_an_object(source: Mapping[str, str], files: list[str]) -> bool:
    """Whether every object has a mask file: the patterns say so, or most pictures have a folder of their name."""
    patterns = source.get("image_pattern"), source.get("annotation_pattern")
    if all(patterns):
        fields = [set(pattern_expression(pattern).groupindex) for pattern in patterns]
        return fields[0] < fields[1]
    stems = {PurePosixPath(file).stem for file in list_files(source["images"])}
    owners = Counter(
        folder.name
        for file in files
        if file.lower().endswith(MASK_SUFFIXES)
        for folder in PurePosixPath(file).parents[:-1]
        if folder.name in stems and folder.name != PurePosixPath(file).stem
    )
    return len(owners) > len(stems) / 2


def _hold_object_numbers(masks: Sequence[Path], root: Path) -> bool:
    """Whether the masks of a single class hold object numbers: more values than one, and nearly all up to the greatest.

    Colours (RGB, palettes) are never numbers. Raises MaskmillError where the values may be the indices of several
    classes: there are few of them, or the greatest is the same in many masks, or most are scattered over the picture.
    """
    greatest, pieces = [], []
    for path in masks:
        pixels = _grey_values(path)
        if pixels is None:
            return False
        values = np.unique(pixels)
        if len(values) > 3 and values[-1] < 2 * len(values):
            greatest.append(int(values[-1]))
            pieces += _pieces(pixels)
    if not greatest:
        return False
    if max(greatest) > FEW_OBJECTS and len(set(greatest)) >= len(greatest) / 2 and np.median(pieces) == 1:
        return True
    raise MaskmillError(
        f"the masks below {root} have values from 0 to {max(greatest)} in {len(greatest)} of {len(masks)} files looked "
        "at, but dataset.classes has one class; list all classes there if the values are class indices, or set "
        "dataset.source.format to instances if they are object numbers"
    )


def _grey_values(path: Path) -> np.ndarray | None:
    """(H, W) whole numbers of a grey mask; None where it has colours, or where there is nothing to number."""
    try:
        pixels = read_values(path)
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            palette = image.mode in ("P", "PA")
    except ImageError:
        return np.zeros((1, 1), np.uint8)
    except OSError:  # kinds of TIFF that Pillow does not know
        palette = False
    if palette or pixels.shape[2] > 1:
        return None
    return pixels[:, :, 0] if pixels.dtype.kind in "iu" else np.zeros((1, 1), np.uint8)


def _pieces(numbers: np.ndarray) -> list[int]:
    """In how many pieces each value above 0 lies in a mask (H, W)."""
    boxes = enumerate(find_objects(numbers.astype(np.int32)), 1)
    return [
        cv2.connectedComponents((numbers[box] == number).astype(np.uint8))[0] - 1
        for number, box in boxes
        if box is not None
    ]


def _decide(seen: Counter, files: Collection[str], root: str) -> tuple[str, str]:
    known = {name: count for name, count in seen.items() if name in FORMATS}
    foreign = [f"{count} × {_FOREIGN[name]}" for name, count in seen.items() if name in _FOREIGN]
    if len(known) == 1:
        (name,) = known
        looked_at = f"{FORMATS[name].title} ({known[name]} of {len(files)} files below {root} looked at)"
        return name, "; left aside: ".join([looked_at, *([", ".join(foreign)] if foreign else [])])
    wanted = f"say which with dataset.source.format ({', '.join(FORMATS)})"
    if known:
        listed = ", ".join(f"{count} × {FORMATS[name].title}" for name, count in sorted(known.items()))
        raise MaskmillError(f"{root} holds annotations of several formats: {listed}; {wanted}, or separate the files")
    suffixes = Counter(PurePosixPath(file).suffix.lower() or "none" for file in files)
    found = [f"{count_of(count, 'file')} with suffix {suffix}" for suffix, count in suffixes.most_common(5)]
    saw = "; ".join([", ".join(found) or "no file", *foreign])
    if files and not suffixes.keys() - set(_NO_MASKS):
        wanted = "if these are masks, save them as PNG from where they were made, since JPEG and its like change values"
    raise MaskmillError(f"no annotation format was recognised in {root}: found {saw}; {wanted}")
