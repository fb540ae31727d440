"""The test cases that the report shows: the best and the worst of a training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from maskmill.classes import Classes
from maskmill.files import read_table
from maskmill.images import read_image, read_label_png
from maskmill.metrics import METRICS
from maskmill.report.data import DataFiles
from maskmill.report.pictures import data_uri, draw_case
from maskmill.report.results import Training

SHOWN = 3


@dataclass(frozen=True)
class Case:
    """A test picture: `rows` of the metrics table (class → row), and its mean IoU over the classes that have one."""

    id: str
    rows: dict[str, Mapping[str, str]]
    mean_iou: float

    def value(self, class_name: str, metric: str) -> str:
        """A metric for people, "–" where undefined."""
        cell = self.rows[class_name][metric]
        return "–" if not cell else f"{float(cell):.1f} px" if METRICS[metric].unit else f"{float(cell):.2f}"

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
    """A case with its three pictures as `data:` addresses: reference outlined, prediction, errors."""

    case: Case
    pictures: tuple[str, ...]


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


class CaseImages:
    """Reads picture, reference and predicted mask of test cases of a training."""

    def __init__(self, data: DataFiles, training: Training) -> None:
        self._samples = {row["id"]: row for row in read_table(data.samples)}
        self._labels = {Path(folder).name: Path(folder) for folder in data.labels}
        self._masks = Path(training.files.masks)

    def read(self, identifier: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The picture (H, W, C) as stored, the reference and the prediction (H, W) of a case."""
        sample = self._samples[identifier]
        label = self._labels[sample["shard"]] / f"{identifier}.png"
        return (
            read_image(sample["image"]),
            read_label_png(label),
            read_label_png(self._masks / f"{identifier}.png"),
        )

    def show(self, case: Case, classes: Classes) -> ShownCase:
        """The case with its pictures."""
        return ShownCase(case, tuple(map(data_uri, draw_case(*self.read(case.id), classes))))
