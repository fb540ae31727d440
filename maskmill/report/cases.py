"""The test cases that pages show: the best and the worst of a training, those on which experiments differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np

from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.data.cases import Case as StoredCase
from maskmill.data.cases import label_paths, read_mask
from maskmill.files import read_table
from maskmill.metrics import METRICS
from maskmill.report.pictures import data_uri, draw_case

SHOWN = 3


@dataclass(frozen=True)
class Case:
    """A test picture: `rows` of the metrics table (class → row), and its mean IoU over the classes that have one."""

    id: str
    rows: dict[str, Mapping[str, str]]
    mean_iou: float

    def value(self, class_name: str, metric: str) -> str:
        """A metric for people, "–" where undefined."""
        row = self.rows[class_name]
        if not row[metric]:
            return "–"
        unit = METRICS[metric].unit(row["unit"])
        return f"{float(row[metric]):.1f} {unit}" if unit else f"{float(row[metric]):.2f}"

    @property
    def main_error(self) -> str:
        """The largest error in words."""
        errors = [
            (int(row[key]), f"{words} {name}")
            for name, row in self.rows.items()
            for key, words in (("fn", "missed"), ("fp", "too much"))
        ]
        pixels, words = max(errors, key=lambda error: error[0])
        total = sum(count for count, _ in errors)
        return f"{words}, {100 * pixels / total:.0f} % of all errors" if total else ""


@dataclass(frozen=True)
class ShownCase:
    """A case with its three pictures as `data:` addresses: reference outlined, prediction, errors.

    place: which slice of a volume they show, in words; empty for a picture.
    """

    case: Case
    pictures: tuple[str, ...]
    place: str


def read_cases(metrics: str | PathLike) -> list[Case]:
    """The cases of a metrics table that have an IoU, best first, by name among equals."""
    rows: dict[str, dict[str, Mapping[str, str]]] = {}
    for row in read_table(metrics):
        rows.setdefault(row["id"], {})[row["class"]] = row
    cases = []
    for identifier, by_class in rows.items():
        scores = [float(row["iou"]) for row in by_class.values() if row["iou"]]
        if scores:
            cases.append(Case(identifier, by_class, sum(scores) / len(scores)))
    return sorted(cases, key=lambda case: (-case.mean_iou, case.id))


def best_and_worst(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """The first three of the cases and the last three, worst first; no case is in both."""
    shown = min(SHOWN, (len(cases) + 1) // 2)
    return list(cases[:shown]), list(reversed(cases[shown:][-SHOWN:]))


def choose_showcase(cases: Sequence[Case]) -> Case | None:
    """The best case that has all classes, or the best; None where there is no case."""
    complete = (case for case in cases if all(int(row["reference_pixels"]) for row in case.rows.values()))
    return next(complete, cases[0] if cases else None)


def most_different(experiments: Sequence[Mapping[str, Case]], count: int) -> list[str]:
    """Ids of at most `count` cases: those on which the experiments differ most, then the middle one of the others.

    experiments: of each, id → case. A case must have an IoU in all of them. The difference is that between the largest
    and the smallest mean IoU; the middle is by their mean.
    """
    common = sorted(set.intersection(*map(set, experiments)))
    scores = {one: [cases[one].mean_iou for cases in experiments] for one in common}
    ordered = sorted(common, key=lambda one: min(scores[one]) - max(scores[one]))
    chosen, others = ordered[: count - 1], sorted(ordered[count - 1 :], key=lambda one: sum(scores[one]))
    return chosen + others[len(others) // 2 :][:1]


@dataclass(frozen=True)
class Slice:
    """A picture, or the slice of a volume with most of the classes: pixels (H, W, C) and label values (H, W).

    predictions: one a training. place: which slice it is, in words; empty for a picture.
    """

    image: np.ndarray
    reference: np.ndarray
    predictions: tuple[np.ndarray, ...]
    place: str


class CaseImages:
    """Reads picture, reference and predicted masks of test cases.

    samples: table of the samples. labels: the label folders of the shards. masks: the mask folders of the trainings.
    """

    def __init__(
        self, samples: str | PathLike, labels: Sequence[str | PathLike], masks: Sequence[str | PathLike]
    ) -> None:
        self._cases = {row["id"]: StoredCase.of_row(row) for row in read_table(samples)}
        self._labels, self._masks = labels, masks

    def read(self, identifier: str, number: int | None = None) -> Slice:
        """What pages show of a case: the slice with this number, or the fullest."""
        case = self._cases[identifier]
        files = (*label_paths([case], self._labels), *map(case.mask_path, self._masks))
        reference, *predictions = map(read_mask, files)
        number = fullest_slice(reference, predictions[0]) if number is None else number
        place = f"slice {number + 1} of {len(reference)}" if case.is_volume else ""
        return Slice(case.page(number), reference[number], tuple(mask[number] for mask in predictions), place)

    def show(self, case: Case, classes: Classes) -> ShownCase:
        """The case with the pictures of the report, of the first training."""
        shown = self.read(case.id)
        drawn = draw_case(shown.image, shown.reference, shown.predictions[0], classes)
        return ShownCase(case, tuple(map(data_uri, drawn)), shown.place)


def fullest_slice(reference: np.ndarray, prediction: np.ndarray) -> int:
    """The slice of label values (D, H, W) with the largest area of classes, of the prediction where there are none."""
    areas = ((reference != BACKGROUND) & (reference != IGNORE)).sum(axis=(1, 2))
    return int(np.argmax(areas if areas.any() else (prediction != BACKGROUND).sum(axis=(1, 2))))
