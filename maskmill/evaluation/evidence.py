"""What validation pictures say about temperatures, thresholds and steps: scores of every candidate, picture by picture.

Only one picture is in memory at a time; the scores of all are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from maskmill.classes import IGNORE
from maskmill.data.cases import Case, instances_path, read_mask
from maskmill.errors import MaskmillError
from maskmill.evaluation.scores import iou, threshold_curve
from maskmill.imaging.images import read_instance_png
from maskmill.inference.components import find_components
from maskmill.inference.postprocess import (
    OperatingPoint,
    Picture,
    Step,
    decide_mask,
    split_objects,
    step_region,
    threshold_level,
)
from maskmill.inference.temperature import log_losses, scale_probabilities
from maskmill.logs import progress
from maskmill.metrics.instance import object_overlaps
from maskmill.steps import StepOption


@dataclass(frozen=True, eq=False)
class ValidationCase:
    """A picture or volume with its probabilities and labels on disk, read anew whenever they are needed."""

    case: Case
    probabilities: Path
    label: Path

    def read(self, temperature: float = 1) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities at a temperature (K, D, H, W), those of the network memory-mapped, label values (D, H, W)."""
        values, reference = np.load(self.probabilities, mmap_mode="r"), read_mask(self.label)
        if values.shape[1:] != reference.shape:
            raise MaskmillError(
                f"{self.probabilities} is of {values.shape[1:]} pixels, {self.label} of {reference.shape}"
            )
        return scale_probabilities(values, temperature), reference

    def objects(self) -> np.ndarray | None:
        """Annotated object of each pixel (D, H, W), 0 where there is none; None where objects were not annotated."""
        file = instances_path(self.label.parent, self.label.name.removesuffix(".png"))
        return read_instance_png(file)[np.newaxis] if file.is_file() else None


@dataclass(frozen=True, eq=False)
class Evidence:
    """Scores of candidates on validation cases, worked out when they are asked for and kept.

    temperatures, thresholds, steps: what is to be tried, steps in order. values: of the classes that each of the steps
    works on (1 … K).
    """

    cases: Sequence[ValidationCase]
    classes: int
    temperatures: Sequence[float]
    thresholds: Sequence[float]
    steps: Sequence[StepOption]
    values: Sequence[Sequence[int]]
    _curves: dict[float, np.ndarray] = field(default_factory=dict)
    _scores: dict[tuple[OperatingPoint, int], np.ndarray] = field(default_factory=dict)

    @cached_property
    def losses(self) -> np.ndarray:
        """Negative log-likelihood at each temperature: (cases, temperatures), NaN where all labels are ignored."""
        cases = progress(self.cases, "temperatures")
        return np.stack([log_losses(*case.read(), self.temperatures) for case in cases])

    def threshold_scores(self, temperature: float) -> np.ndarray:
        """IoU of each class, binarised by itself, at each threshold: (cases, K, thresholds), NaN where undefined."""
        if temperature not in self._curves:
            levels = [threshold_level(threshold) for threshold in self.thresholds]
            curves = [threshold_curve(*case.read(temperature)) for case in progress(self.cases, "thresholds")]
            self._curves[temperature] = np.stack(curves)[..., levels]
        return self._curves[temperature]

    def final_scores(self, point: OperatingPoint) -> np.ndarray:
        """IoU of each class in the masks at an operating point: (cases, K)."""
        return self.step_scores(point, len(self.steps))[..., 0]

    def step_scores(self, point: OperatingPoint, number: int) -> np.ndarray:
        """Scores without and with a step, by its number, after all that is in `point`.

        (cases, K, 1 + parameters), each class by itself: without it, then with each parameter. NaN where a score is
        undefined, as for classes that the step does not work on, and for volumes where it works on pictures. Of the
        number after the last step, the scores without a step.
        """
        key = point, number
        if key not in self._scores:
            name = self.steps[number].step if number < len(self.steps) else "masks"
            self._scores[key] = np.stack([self._score(case, point, number) for case in progress(self.cases, name)])
        return self._scores[key]

    def _score(self, case: ValidationCase, point: OperatingPoint, number: int) -> np.ndarray:
        probabilities, reference = case.read(point.temperature)
        picture = Picture.of_case(case.case)
        mask = decide_mask(probabilities, point, picture)
        if number == len(self.steps):
            return np.array([[_iou_or_nan(mask == value, reference, value)] for value in range(1, self.classes + 1)])
        option = self.steps[number]
        scores = np.full((self.classes, 1 + len(option.parameters)), np.nan)
        if len(mask) > 1 and not option.kind.volumes:
            return scores
        objects = case.objects() if option.kind.judged_by == "pq" else None
        for value in self.values[number]:
            steps = [Step(option.step, value, parameter) for parameter in option.parameters]
            if option.kind.judged_by == "iou":
                regions = [step_region(mask, step, probabilities, point.thresholds, picture) for step in steps]
                scores[value - 1] = [_iou_or_nan(region, reference, value) for region in (mask == value, *regions)]
            elif objects is not None:
                found = [find_components(mask == value)[0], *(split_objects(mask, [step]) for step in steps)]
                scores[value - 1] = [_pq_or_nan(one, objects, reference, value) for one in found]
        return scores


def _iou_or_nan(predicted: np.ndarray, reference: np.ndarray, value: int) -> float:
    score = iou(predicted, reference, value)
    return np.nan if score is None else score


def _pq_or_nan(found: np.ndarray, objects: np.ndarray, reference: np.ndarray, value: int) -> float:
    """Panoptic quality of a class; ignored pixels are of no object."""
    annotated = np.where(reference == value, objects, 0)
    score = object_overlaps(np.where(reference == IGNORE, 0, found), annotated).pq
    return np.nan if score is None else score
