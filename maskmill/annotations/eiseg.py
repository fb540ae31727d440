"""Read what EISeg saves for a picture: polygons in JSON, class indices in grey, or the classes' colours.

EISeg 0.x writes NAME.json, a bare list of polygons, NAME.png with the labels' indices (NAME_mask.tif of a GeoTIFF) and
NAME_pseudo.png with their colours; autosave_label.txt is its list of labels, a line "index name r g b" each. Newer
ones write labelme's JSON.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from maskmill.annotations import labelme, masks
from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.shapes import Annotation, AnnotationError, Finding, Shape
from maskmill.classes import BACKGROUND, Classes
from maskmill.labels.rasterize import label_value

LABEL_LIST = "autosave_label.txt"

_FOLDERS = ("label", "labelme")
_SKIPPED = re.compile(r"(^|/)annotations\.json$|_grid_saved\.json$|_(cutout|foreground)\.png$", re.IGNORECASE)
_KINDS = (
    re.compile(r"(?P<sample>.+?)(\.(bmp|jpe?g|png|tiff?|webp))?\.json", re.IGNORECASE),
    re.compile(r"(?P<sample>.+)(?<!_pseudo)\.png", re.IGNORECASE),
    re.compile(r"(?P<sample>.+)_mask\.tiff?", re.IGNORECASE),
    re.compile(r"(?P<sample>.+)_pseudo\.png", re.IGNORECASE),
)
"""Names of the files of a sample, the most telling first. JSON may keep the picture's suffix, as in a.jpg.json."""

_REMEDY = "open the picture in EISeg and save it again, or restore the file from a copy"
_LIST_REMEDY = f"put EISeg's list of labels ({LABEL_LIST}, a line: index name r g b) beside the file"
_LIST_LINE = re.compile(r"(?P<index>\d+) +(?P<name>.+?)(?: +(?P<r>\d+) +(?P<g>\d+) +(?P<b>\d+))?")


@dataclass(frozen=True)
class _Label:
    """A line of EISeg's list of labels; colour 0xRRGGBB."""

    index: int
    name: str
    colour: int | None


def read(path: str | os.PathLike, options: LabelOptions) -> Annotation:
    """Read one of EISeg's files of a picture: JSON of either kind, grey mask, GeoTIFF mask or colour mask.

    Polygons are drawn in the order of EISeg's list of labels, so that labels further down cover those above as in the
    masks it writes. The values and colours of masks mean what autosave_label.txt says, in the file's folder or the one
    above it; without it grey values are class indices and colours those of `options.classes`. Names that are neither a
    class nor listed as background are findings. Raises AnnotationError.
    """
    if Path(path).suffix.lower() == ".json":
        return _read_json(path)
    labels = _label_list(path)
    if not Path(path).stem.lower().endswith("_pseudo"):
        pixels = masks.read_pixels(path, raw=True)
        if labels is None:
            values = masks.class_indices(pixels, list(options.classes))
        else:
            grey = masks.single_channel(pixels, "indices of labels", _REMEDY)
            values = _named_values(grey, _names(labels, "index"), options, str)
    elif labels is not None:
        codes = masks.colour_codes(masks.read_pixels(path, raw=False))
        values = _named_values(codes, _names(labels, "colour"), options, masks.hexadecimal)
    elif isinstance(options.classes, Mapping):
        return masks.read(path, options.classes, options.background)
    else:
        raise masks.unexpected("colours whose meaning is written nowhere", _LIST_REMEDY)
    return Annotation(*values.shape, label_values=values)


def sample_files(files: Iterable[str]) -> dict[str, str]:
    """The file to read for each sample id, of paths relative to the folder of the annotations.

    An id is the path without suffix, without "_mask" or "_pseudo" and without EISeg's folder "label" (or "labelme")
    that the file lies in. Where a picture has several files, JSON comes first, then the grey mask, the GeoTIFF mask and
    the colour mask. What lies beside a folder "label" is taken for pictures.
    """
    candidates = [(rank, file, sample) for file in sorted(files) for rank, sample in _kind(file)]
    parents = {PurePosixPath(file).parent for _, file, _ in candidates}
    pictures = {folder.parent for folder in parents if folder.name in _FOLDERS and folder.parent.name not in _FOLDERS}
    chosen: dict[str, str] = {}
    for _, file, sample in sorted(candidates):
        folder = PurePosixPath(file).parent
        if folder in pictures:
            continue
        while folder.name in _FOLDERS:
            folder = folder.parent
        chosen.setdefault((folder / sample).as_posix(), file)
    return chosen


def is_output(file: str) -> bool:
    """Whether a file, of a path relative to the folder of the pictures, lies in one of the folders EISeg makes."""
    return not set(PurePosixPath(file).parts[:-1]).isdisjoint(_FOLDERS)


def companions(path: str | os.PathLike) -> list[str]:
    """The other files that `read` looks at for this one: a change of them changes the label."""
    found = _find_list(path)
    return [str(found)] if found else []


def _kind(file: str) -> list[tuple[int, str]]:
    """Rank and name of the sample of a file, [] where it holds no annotation of one picture."""
    if _SKIPPED.search(file):
        return []
    matches = ((rank, expression.fullmatch(PurePosixPath(file).name)) for rank, expression in enumerate(_KINDS))
    return [(rank, match["sample"]) for rank, match in matches if match][:1]


def _read_json(path: str | os.PathLike) -> Annotation:
    content = _load(path)
    if isinstance(content, dict) and isinstance(content.get("shapes"), list):
        annotation = labelme.read(path)
        name = annotation.picture and PureWindowsPath(annotation.picture).name  # EISeg stores the path on its machine
        return dataclasses.replace(annotation, picture=name)
    if isinstance(content, dict) and "images" in content and "annotations" in content:
        raise _broken("this is a COCO file of many pictures", 'take "format: coco" for it')
    if not isinstance(content, list):
        raise _broken("not a file of EISeg: it is no list of polygons", "correct dataset.source, or take the file away")
    shapes, findings = [], []
    rows = {label.index: row for row, label in enumerate(_label_list(path) or ())}
    for number, stored in enumerate(content, 1):
        try:
            shape, index = _polygon(stored), stored.get("labelIdx")
            shapes.append((rows.get(index, len(rows) + index if isinstance(index, int) else 0), shape))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            findings.append(Finding("broken_annotation", f"polygon {number}: {reason}", _REMEDY))
    if findings:
        raise AnnotationError(*findings)
    return Annotation(None, None, tuple(shape for _, shape in sorted(shapes, key=lambda item: item[0])))


def _load(path: str | os.PathLike) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _broken(f"cannot be read: {error.strerror}", _REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise _broken(f"not valid JSON: {error}", _REMEDY) from error


def _polygon(stored: Any) -> Shape:
    if not isinstance(stored, dict):
        raise TypeError("it is not an object")
    if not isinstance(stored["name"], str):
        raise TypeError(f"its name {stored['name']!r} is not text")
    try:
        points = np.asarray(stored["points"], dtype=np.float64).reshape(len(stored["points"]), 2)
    except (TypeError, ValueError) as error:
        raise ValueError("its points are not a list of [x, y] pairs of numbers") from error
    return Shape(stored["name"], "polygon", points)


def _find_list(path: str | os.PathLike) -> Path | None:
    folder = Path(path).parent
    places = (folder, folder / "label", folder.parent)
    return next((place / LABEL_LIST for place in places if (place / LABEL_LIST).is_file()), None)


def _label_list(path: str | os.PathLike) -> list[_Label] | None:
    """EISeg's list of labels, in its order; None where there is none."""
    file = _find_list(path)
    if file is None:
        return None
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(f"{file} cannot be read: {error}", _LIST_REMEDY) from error
    labels = []
    for number, line in enumerate(lines, 1):
        match = _LIST_LINE.fullmatch(line)
        if line and match is None:
            raise _broken(f'{file}: line {number} is not "index name r g b", but "{line}"', "correct the line")
        if match:
            channels = [int(match[channel] or 0) for channel in "rgb"]
            colour = channels[0] << 16 | channels[1] << 8 | channels[2] if match["r"] else None
            labels.append(_Label(int(match["index"]), match["name"], colour))
    return labels


def _names(labels: Iterable[_Label], key: str) -> dict[int, str]:
    """Names of the labels by "index" or "colour"; AnnotationError where two have the same."""
    names: dict[int, str] = {}
    for label in labels:
        code = getattr(label, key)
        if code is not None and names.setdefault(code, label.name) != label.name:
            detail = f"{names[code]} and {label.name} have the same {key} in {LABEL_LIST}"
            raise _broken(detail, "correct the list, or read EISeg's JSON files instead")
    return names


def _named_values(
    codes: np.ndarray, names: Mapping[int, str], options: LabelOptions, text: Callable[[int], str]
) -> np.ndarray:
    """(H, W) uint8 label values of indices or colours by their names; 0 is background.

    text: writes a code for a person.
    """
    classes = Classes.from_config(options.classes)
    meaning = {code: label_value(name, classes, options.background) for code, name in names.items()}
    meaning = {code: value for code, value in meaning.items() if value is not None}
    values, matched = masks.lookup(codes, meaning | {0: BACKGROUND})
    if matched.all():
        return values
    findings = []
    found, counts = masks.counted(codes[~matched])
    listed = np.isin(found, list(names))
    for code, count in zip(found[listed].tolist(), counts[listed].tolist(), strict=True):
        detail = f'label "{names[code]}" ({text(code)}, {count} px); known are {", ".join(classes.names)}'
        remedy = "add the label to dataset.classes, or to a list in dataset.background"
        findings.append(Finding("unknown_label", detail, remedy))
    if not listed.all():
        shown = masks.listing([text(code) for code in found[~listed].tolist()], counts[~listed])
        findings.append(Finding("unexpected_value", f"values that {LABEL_LIST} does not list: {shown}", _REMEDY))
    raise AnnotationError(*findings)


def _broken(detail: str, remedy: str) -> AnnotationError:
    return AnnotationError(Finding("broken_annotation", detail, remedy))
