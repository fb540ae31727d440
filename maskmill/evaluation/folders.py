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
from maskmill.classes import IGNORE, MAX_CLASSES, Classes
from maskmill.dag.pictures import VOLUME_SUFFIXES, strip_suffix
from maskmill.data.cases import instances_path
from maskmill.errors import MaskmillError
from maskmill.evaluation.extra import measure_masks
from maskmill.evaluation.measure import case_rows, describe_misfit
from maskmill.imaging.images import read_instance_png
from maskmill.imaging.volumes import is_nifti, stack_header
from maskmill.logs import progress
from maskmill.metrics import PIXELS

ANY_CLASSES = tuple(map(str, range(1, MAX_CLASSES + 1)))
"""Names of the classes where none are given: their values."""

_BESIDE = (".instances", ".overlay")
"""Ends of the names of files that lie beside masks."""


@dataclass(frozen=True)
class Pair:
    """A mask and its reference; id: their path below their folders without suffix."""

    id: str
    mask: Path
    label: Path

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

    def objects(self, labels: Path, size: tuple[int, ...]) -> np.ndarray | None:
        """Numbers (H, W) of the reference objects where an object image lies beside the reference below `labels`.

        Raises MaskmillError where it is not of `size`.
        """
        numbered = instances_path(labels, self.id)
        if not numbered.is_file():
            return None
        objects = read_instance_png(numbered)
        if objects.shape != size:
            raise MaskmillError(f"{numbered} has not the size of {self.label}; take it away, or write it anew")
        return objects

    @property
    def unit(self) -> str:
        """The unit of distances."""
        return stack_header(self.label).unit if is_nifti(self.label) else PIXELS


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
    pairs = [Pair(name, predicted[name], file) for name, file in sorted(referred.items()) if name in predicted]
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


def measure_folders(
    predictions: Path,
    labels: Path,
    classes: Sequence[str] | Mapping[str, str],
    kinds: Sequence[str],
    tolerance: float,
    group_pattern: str | None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of metrics, one a case and class, and the ids of masks without a reference, which are left out.

    classes: names, or a mapping to colours, as the option `dataset.classes`; none: the values that are in the files.
    kinds: of `EXTRA_METRICS`; what masks alone give of them is in the rows. tolerance: in the unit of distances.
    Distances are in the unit that all volumes share, in pixels where they share none or there are pictures.

    Raises MaskmillError with everything that is wrong, naming all files.
    """
    options = LabelOptions(classes or ANY_CLASSES)
    pairs, left_over, wrong = pair_masks(predictions, labels)
    highest = 0
    for pair in progress(pairs, "masks checked"):
        try:
            mask, reference = pair.read(options)
            misfit = describe_misfit(pair.mask, mask, pair.label, reference, MAX_CLASSES)
            wrong += [misfit] if misfit else []
            pair.objects(labels, reference.shape[1:])
            highest = max(highest, *(int(v.max(where=v != IGNORE, initial=0)) for v in (mask, reference)))
        except MaskmillError as error:
            wrong.append(str(error))
    if wrong:
        raise MaskmillError(f"{len(wrong)} masks cannot be measured:\n" + "\n".join(f"  - {line}" for line in wrong))
    groups = groups_of([pair.id for pair in pairs], group_pattern)
    names = Classes.from_config(classes).names if classes else ANY_CLASSES[:highest]
    if not names:
        raise MaskmillError(f"{labels}: no mask has a class, here or in {predictions}; name the classes with --classes")
    units = {pair.unit for pair in pairs}
    unit = units.pop() if len(units) == 1 else PIXELS
    rows = []
    for pair in progress(pairs, "masks measured"):
        rows += _measure(pair, options, names, kinds, tolerance, groups[pair.id], unit, labels)
    return rows, left_over


def _measure(
    pair: Pair,
    options: LabelOptions,
    names: Sequence[str],
    kinds: Sequence[str],
    tolerance: float,
    group: str,
    unit: str,
    labels: Path,
) -> list[dict[str, Any]]:
    mask, reference = pair.read(options)
    spacing = None if unit == PIXELS else stack_header(pair.label).spacing[-3 if len(reference) > 1 else -2 :]
    rows = case_rows(pair.id, group, mask, reference, names, tolerance, spacing, unit)
    objects = pair.objects(labels, reference.shape[1:])
    valid = reference != IGNORE
    for value, row in enumerate(rows, 1):
        row |= measure_masks(kinds, mask == value, reference == value, valid, objects)
    return rows
