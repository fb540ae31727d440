"""Recognise the annotation format of a folder, and say what was seen."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from maskmill.annotations import voc
from maskmill.annotations.formats import FORMATS, MASK_SUFFIXES
from maskmill.annotations.vector_files import GEOMETRY_TYPES
from maskmill.errors import MaskmillError
from maskmill.images import ImageError, read_values
from maskmill.sources import list_files

LOOKED_AT = 25
"""Most files of one suffix that are opened."""

_FOREIGN = {
    "voc_boxes": "Pascal VOC boxes in XML, which hold no masks",
    "labelme_xml": "XML of the old LabelMe web page; export it as labelme JSON or COCO",
    "cvat_video": "CVAT XML of a video; export it as CVAT for images 1.1",
}


def recognise(source: Mapping[str, str], classes: int) -> tuple[str, str]:
    """The format of the annotations below `source["annotations"]` and what was seen there, in words.

    classes: number of the data set's classes; a mask with more values than these holds object numbers. RITM's click
    masks look like any others and are never recognised. Raises MaskmillError where nothing known or more than one
    format is found.
    """
    root = Path(source["annotations"])
    files = [root.name] if root.is_file() else list_files(root)
    folder = root.parent if root.is_file() else root
    seen = Counter()
    seen.update(filter(None, (_json_kind(folder / file) for file in _few(files, (".json", ".geojson")))))
    seen.update(filter(None, (_xml_kind(folder / file) for file in _few(files, (".xml",)))))
    seen.update("geojson" for _ in _few(files, (".gpkg",)))
    if not any(name in FORMATS for name in seen):  # boxes in XML may lie beside masks
        seen.update(_mask_kinds(source, folder, files, classes))
    return _decide(seen, files, str(root))


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


def _mask_kinds(source: Mapping[str, str], folder: Path, files: list[str], classes: int) -> Counter:
    """Formats of a folder that holds pictures alone, as a count of the files looked at."""
    if volumes := _few(files, (".nii", ".nii.gz")):
        return Counter(nifti=len(volumes))
    names = {PurePosixPath(file).name for file in files}
    masks = _few(files, MASK_SUFFIXES)
    if masks and voc.class_list(folder / masks[0]):
        return Counter(voc=len(masks))
    if "autosave_label.txt" in names or any(re.search(r"_pseudo\.png$", name) for name in names):
        return Counter(eiseg=len(masks))
    if _objects_in_folders(source, files):
        return Counter(instances=len(masks))
    return Counter(_value_kind(folder / file, classes) for file in masks)


def _objects_in_folders(source: Mapping[str, str], files: list[str]) -> bool:
    """Whether most pictures have a folder of their name with several masks in it."""
    stems = {PurePosixPath(file).stem for file in list_files(source["images"])}
    owners = Counter(
        folder.name
        for file in files
        if file.lower().endswith(MASK_SUFFIXES)
        for folder in PurePosixPath(file).parents[:-1]
        if folder.name in stems and folder.name != PurePosixPath(file).stem
    )
    return len(owners) > len(stems) / 2


def _value_kind(path: Path, classes: int) -> str:
    """ "instances" of a grey mask whose values look like object numbers, else "png"."""
    try:
        pixels = read_values(path)
    except ImageError:
        return "png"
    if pixels.shape[2] > 1 or pixels.dtype.kind not in "iu":
        return "png"
    values = np.unique(pixels)
    numbers = classes == 1 and len(values) > 3 and values[-1] < 2 * len(values)
    return "instances" if numbers else "png"


def _decide(seen: Counter, files: list[str], root: str) -> tuple[str, str]:
    known = {name: count for name, count in seen.items() if name in FORMATS}
    foreign = [_FOREIGN[name] for name in seen if name in _FOREIGN]
    listed = ", ".join(f"{count} × {FORMATS[name].title}" for name, count in sorted(known.items()))
    if len(known) == 1:
        (name,) = known
        return name, f"{FORMATS[name].title} ({known[name]} of {len(files)} files below {root} looked at)"
    if "instances" in known and set(known) == {"instances", "png"}:  # a picture with few objects looks like classes
        return "instances", f"masks below {root} with more values than classes: object numbers ({listed})"
    wanted = f"say which with dataset.source.format ({', '.join(FORMATS)})"
    if known:
        raise MaskmillError(f"{root} holds annotations of several formats: {listed}; {wanted}, or separate the files")
    suffixes = Counter(PurePosixPath(file).suffix.lower() or "none" for file in files)
    found = [f"{count} files with suffix {suffix}" for suffix, count in suffixes.most_common(5)] or ["no file"]
    saw = "; ".join([", ".join(found), *foreign])
    raise MaskmillError(f"no annotation format was recognised in {root}: found {saw}; {wanted}")
