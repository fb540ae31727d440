"""Measure a folder of masks against a folder of references, whatever made them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maskmill.annotations import masks, nifti
from maskmill.annotations.formats import MASK_SUFFIXES, LabelOptions
from maskmill.annotations.shapes import AnnotationError
from maskmill.classes import BACKGROUND, IGNORE, MAX_CLASSES, Classes, parse_colour
from maskmill.dag.pictures import VOLUME_SUFFIXES, strip_suffix
from maskmill.data.cases import instances_path
from maskmill.errors import MaskmillError
from maskmill.evaluation.extra import measure_masks, needs_objects
from maskmill.evaluation.measure import case_rows, describe_misfit
from maskmill.imaging.images import read_instance_png
from maskmill.imaging.volumes import is_nifti, stack_header
from maskmill.logs import progress
from maskmill.metrics import PIXELS
from maskmill.wording import count_of

ANY_CLASSES = tuple(map(str, range(1, MAX_CLASSES + 1)))
"""Names of the classes where none are given: their values."""

MOST_VALUES = 64
"""Most values that are taken for classes where none are named."""

_BESIDE = (".instances", ".overlay")
"""Ends of the names of files that lie beside masks."""


@dataclass(frozen=True)
class Pair:
    """A mask and its reference; id: their path below their folders without suffix.

    mask_objects, label_objects: where object images lie beside them, if there are any.
    """

    id: str
    mask: Path
    label: Path
    mask_objects: Path
    label_objects: Path

    def read(self, options: LabelOptions) -> tuple[np.ndarray, np.ndarray]:
        """Class indices of both, uint8 (D, H, W). Raises MaskmillError with all that is wrong, naming the file."""
        found, wrong = [], []
        for path in (self.mask, self.label):
            try:
                found.append(self._read(path, options))
            except AnnotationError as error:
                wrong += [f"{path}: {finding.detail}; {finding.remedy}" for finding in error.findings]
        if wrong:
            raise MaskmillError("\n".join(wrong))
        return found[0], found[1]

    def _read(self, path: Path, options: LabelOptions) -> np.ndarray:
        if is_nifti(path):
            values = nifti.read(path, self.label, options).label_values
        else:
            values = masks.read(path, options.classes, options.background).label_values
        return values if values.ndim == 3 else values[np.newaxis]

    def objects(self, size: tuple[int, ...]) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Object numbers (H, W) of the mask and of its reference, None where no object image lies beside it.

        Raises MaskmillError where one is not of `size`.
        """
        return _objects(self.mask_objects, self.mask, size), _objects(self.label_objects, self.label, size)

    @property
    def unit(self) -> str:
        """The unit of distances."""
        return stack_header(self.label).unit if is_nifti(self.label) else PIXELS


def _objects(path: Path, beside: Path, size: tuple[int, ...]) -> np.ndarray | None:
    if not path.is_file():
        return None
    objects = read_instance_png(path)
    if objects.shape != size:
        raise MaskmillError(f"{path} has not the size of {beside}; take it away, or write it anew")
    return objects


def pair_masks(predictions: Path, labels: Path) -> tuple[list[Pair], list[str], list[str]]:
    """The masks below two folders that have the same path without suffix, by id.

    Also the ids of predictions without a reference, and what is wrong: a line on every reference without a prediction
    and on every file that has the name of another but for the suffix. Raises MaskmillError where there is no reference.
    """
    found, wrong = [], []
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise MaskmillError(f"{folder}: there is no such folder")
        files = [(strip_suffix(file.relative_to(folder).as_posix()), file) for file in sorted(folder.rglob("*"))]
        files = [(name, file) for name, file in files if _is_mask(file) and not name.endswith(_BESIDE)]
        counts = Counter(name for name, _ in files)
        wrong += [f"{file}: another file has the same name but for the suffix" for n, file in files if counts[n] > 1]
        found.append(dict(files))
    predicted, referred = found
    if not referred:
        known = ", ".join((*MASK_SUFFIXES, *VOLUME_SUFFIXES))
        raise MaskmillError(f"{labels}: a folder without masks ({known})")
    wrong += [f"{file}: {predictions} has no mask of it" for name, file in referred.items() if name not in predicted]
    pairs = [
        Pair(name, predicted[name], file, instances_path(predictions, name), instances_path(labels, name))
        for name, file in sorted(referred.items())
        if name in predicted
    ]
    return pairs, sorted(predicted.keys() - referred.keys()), wrong


def _is_mask(file: Path) -> bool:
    return (
        file.is_file() and not file.name.startswith(".") and file.name.lower().endswith(MASK_SUFFIXES + VOLUME_SUFFIXES)
    )


def groups_of(ids: Sequence[str], pattern: str | None) -> dict[str, str]:
    """The group of each id: its folder ("." at the root), or the first group of a regular expression found in it."""
    if pattern is None:
        return {name: PurePosixPath(name).parent.as_posix() for name in ids}
    try:
        searched = re.compile(pattern)
    except re.error as error:
        raise MaskmillError(f'"{pattern}" is no regular expression: {error}') from error
    matches = {name: searched.search(name) for name in ids}
    missed = [name for name, match in matches.items() if not match]
    if missed:
        raise MaskmillError(f'"{pattern}" is not found in {len(missed)} names:\n' + "\n".join(missed))
    return {name: match[1] if searched.groups else match[0] for name, match in matches.items()}


@dataclass(frozen=True)
class Measurement:
    """What masks are found to be.

    rows: of metrics, one a case and class. left_over: ids of masks without a reference, which are left out.
    blank: for each mask that is 255 where its reference is not, how many pixels those are, and how many of them are of
    a class in the reference. They count as nothing found.
    """

    rows: list[dict[str, Any]]
    left_over: list[str]
    blank: dict[str, tuple[int, int]]


def measure_folders(
    predictions: Path,
    labels: Path,
    classes: Sequence[str] | Mapping[str, str],
    kinds: Sequence[str],
    tolerance: float,
    group_pattern: str | None,
    background: str | Sequence[str] | None = None,
) -> Measurement:
    """Measure all masks below a folder that have a reference of the same path.

    classes: names, or a mapping to colours, as the option `dataset.classes`; none: the values that are in the files.
    background: as `dataset.background`, of colours; None: black, or white where black is a class.
    kinds: of `EXTRA_METRICS`; what masks alone give of them is in the rows. tolerance: in the unit of distances.
    Distances are in the unit that all volumes share, in pixels where they share none or there are pictures.

    Raises MaskmillError with everything that is wrong, naming all files.
    """
    options = LabelOptions(classes or ANY_CLASSES, _ground(classes) if background is None else background)
    pairs, left_over, wrong = pair_masks(predictions, labels)
    occurring: set[int] = set()
    for pair in progress(pairs, "masks checked"):
        try:
            mask, reference = pair.read(options)
            misfit = describe_misfit(pair.mask, mask, pair.label, reference, MAX_CLASSES)
            wrong += [misfit] if misfit else []
            if needs_objects(kinds):
                pair.objects(reference.shape[1:])
            if not classes:
                occurring |= {*masks.counted(mask)[0].tolist(), *masks.counted(reference)[0].tolist()}
        except MaskmillError as error:
            wrong += str(error).splitlines()
    if wrong:
        listed = "\n".join(f"  - {line}" for line in wrong)
        raise MaskmillError(f"{count_of(len(wrong), 'mask')} cannot be measured:\n{listed}")
    groups = groups_of([pair.id for pair in pairs], group_pattern)
    if classes:
        names = dict(enumerate(Classes.from_config(classes).names, 1))
    else:
        names = _names_of_values(occurring - {BACKGROUND, IGNORE}, predictions, labels)
    units = {pair.unit for pair in pairs}
    measuring = _Measuring(options, names, kinds, tolerance, units.pop() if len(units) == 1 else PIXELS)
    found = Measurement([], left_over, {})
    for pair in progress(pairs, "masks measured"):
        measuring.add(pair, groups[pair.id], found)
    return found


def _ground(classes: Sequence[str] | Mapping[str, str]) -> list[str]:
    colours = classes.values() if isinstance(classes, Mapping) else ()
    return ["#ffffff" if (0, 0, 0) in map(parse_colour, colours) else "#000000"]


def _names_of_values(values: set[int], predictions: Path, labels: Path) -> dict[int, str]:
    """Values of classes → their names, which are the values. Raises MaskmillError where there are none, or too many."""
    if not values:
        raise MaskmillError(f"{labels}: no mask has a class, here or in {predictions}; name the classes with --classes")
    if len(values) > MOST_VALUES:
        few = ", ".join(map(str, sorted(values)[:5]))
        raise MaskmillError(
            f"{predictions} and {labels} hold {len(values)} values ({few}, ...), which are hardly class indices but "
            "grey levels or numbers of objects; give masks of class indices, or name the classes with --classes"
        )
    return {value: str(value) for value in sorted(values)}


@dataclass(frozen=True)
class _Measuring:
    """How masks are measured; names: of the classes by their values. kinds, tolerance: as of `measure_folders`."""

    options: LabelOptions
    names: Mapping[int, str]
    kinds: Sequence[str]
    tolerance: float
    unit: str

    def add(self, pair: Pair, group: str, found: Measurement) -> None:
        """Measure a mask and add what it is found to be."""
        indices = np.zeros(IGNORE + 1, np.uint8)  # classes are numbered as they are measured
        indices[[*self.names, IGNORE]] = [*range(1, len(self.names) + 1), IGNORE]
        mask, reference = (indices[values] for values in pair.read(self.options))
        valid = reference != IGNORE
        blank = (mask == IGNORE) & valid
        if blank.any():
            found.blank[pair.id] = int(blank.sum()), int((blank & (reference != BACKGROUND)).sum())
        in_pixels = self.unit == PIXELS
        spacing = None if in_pixels else stack_header(pair.label).spacing[-3 if len(reference) > 1 else -2 :]
        names = tuple(self.names.values())
        rows = case_rows(pair.id, group, mask, reference, names, self.tolerance, spacing, self.unit)
        own, objects = pair.objects(reference.shape[1:]) if needs_objects(self.kinds) else (None, None)
        for value, row in enumerate(rows, 1):
            row |= measure_masks(self.kinds, mask == value, reference == value, valid, objects, own)
        found.rows.extend(rows)
