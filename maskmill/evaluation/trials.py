"""What each part of an operating point gains on pictures that had no part in choosing it; what loses is given up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from maskmill.evaluation.evidence import Evidence
from maskmill.evaluation.selection import (
    Choice,
    Part,
    Resampling,
    choose,
    deal_parts,
    mean_difference,
    nested_choices,
    plain_point,
)
from maskmill.inference.postprocess import OperatingPoint
from maskmill.steps import TEMPERATURE, THRESHOLD, Parameter


@dataclass(frozen=True)
class Gain:
    """What a part of the operating point gains in its measure, measured where it had no part in the choice.

    used: the parameter, True of a step without one, None where a step is left out; gain is then what its best parameter
    would have brought. droppable: whether it may be given up; what was given up is a step left out, or gains 0.
    gain, low, high: None where it cannot be judged.
    """

    part: Part
    step: str
    used: Parameter | bool | None
    droppable: bool
    measure: str
    gain: float | None
    low: float | None
    high: float | None

    def as_row(self, names: Sequence[str]) -> dict[str, Any]:
        """As operating_point.json has it. names: of the classes; the temperature is of none, None."""
        value = self.part[1]
        figures = {"measure": self.measure, "gain": self.gain, "low": self.low, "high": self.high}
        return {"step": self.step, "class": names[value - 1] if value else None, "used": self.used} | figures


@dataclass(frozen=True, eq=False)
class Trials:
    """A choice on all cases, and what is chosen without each of the parts of them; tables have a row for each case.

    groups: of each case. resampling: the parts left out; where there are none, the choice is scored where it was made.
    """

    evidence: Evidence
    groups: Sequence[str]
    resampling: Resampling
    chosen: Choice
    without: Sequence[Choice]

    @cached_property
    def at_half(self) -> np.ndarray:
        """IoU at thresholds of 0.5, without temperature and steps: (cases, K)."""
        return self.evidence.final_scores(OperatingPoint((0.5,) * self.evidence.classes))

    @cached_property
    def apparent(self) -> np.ndarray:
        """IoU at the operating point: (cases, K)."""
        return self.evidence.final_scores(self.chosen.point)

    @cached_property
    def nested(self) -> np.ndarray | None:
        """IoU of each case at what was chosen without it: (cases, K); None where nothing was left out."""
        if not self.without:
            return None
        return self._joined([self.evidence.final_scores(choice.point) for choice in self.without])

    @cached_property
    def gains(self) -> list[Gain]:
        """What the temperature, each class's threshold and each step and class gain, given what comes before them."""
        return [self._of_temperature(), *self._of_thresholds(), *self._of_steps()]

    def _of_temperature(self) -> Gain:
        evidence, used = self.evidence, self.chosen.point.temperature
        plain = plain_point(evidence).temperature
        losses = {of: evidence.losses[:, [column]] for column, of in enumerate(evidence.temperatures)}
        figures = self._gain(
            losses[plain], self._joined([losses[choice.point.temperature] for choice in self._choices])
        )
        return Gain((TEMPERATURE, 0), TEMPERATURE, used, True, "log-likelihood", *figures)

    def _of_thresholds(self) -> Iterator[Gain]:
        (plain, *_), score = plain_point(self.evidence).thresholds, self.evidence.final_scores
        points = [replace(choice.point, steps=()) for choice in self._choices]
        with_it = self._joined([score(point) for point in points])
        for index, used in enumerate(self.chosen.point.thresholds):
            apart = self._joined([score(_with_threshold(point, index, plain)) for point in points])
            figures = self._gain(with_it[:, [index]], apart[:, [index]])
            yield Gain((THRESHOLD, index + 1), THRESHOLD, used, True, "iou", *figures)

    def _of_steps(self) -> Iterator[Gain]:
        for number, option in enumerate(self.evidence.steps):
            used = {step.value: step.parameter for step in self.chosen.used[number]}
            for value in self.evidence.values[number]:
                pair = self._joined([self._step_pair(choice, number, value - 1) for choice in self._choices])
                parameter = used.get(value) if option.kind.parameter else (value in used or None)
                droppable = value in used and not option.always
                measure, figures = option.kind.judged_by, self._gain(pair[:, [1]], pair[:, [0]])
                yield Gain((number, value), option.step, parameter, droppable, measure, *figures)

    def _step_pair(self, choice: Choice, number: int, index: int) -> np.ndarray:
        """Scores of a class without a step and with its best parameter: (cases, 2)."""
        table = self.evidence.step_scores(choice.before[number], number)[:, index]
        column = choice.best[number][index]
        return table[:, [0, column]] if column else np.full((len(table), 2), np.nan)

    @property
    def _choices(self) -> Sequence[Choice]:
        return self.without or [self.chosen]

    def _joined(self, tables: Sequence[np.ndarray]) -> np.ndarray:
        """Of each case the row of the table that was made without it; of the one table where nothing was left out."""
        rows = tables[0].copy()
        for part, table in zip(self.resampling.parts, tables, strict=bool(self.without)):
            rows[part] = table[part]
        return rows

    def _gain(self, with_it: np.ndarray, without: np.ndarray) -> tuple[float | None, float | None, float | None]:
        return tuple(rounded(figure) for figure in mean_difference(with_it, without, self.groups))


def make_trials(evidence: Evidence, groups: Sequence[str]) -> Trials:
    """Choose, and choose without each part; then again without what loses on the parts left out, until nothing does."""
    resampling, barred = deal_parts(groups), set()
    while True:
        chosen, without = choose(evidence, np.arange(len(groups)), barred), nested_choices(evidence, resampling, barred)
        trials = Trials(evidence, groups, resampling, chosen, without)
        losing = [gain.part for gain in trials.gains if gain.droppable and (gain.gain or 0) < 0]
        if not losing:
            return trials
        barred.add(losing[0])


def _with_threshold(point: OperatingPoint, index: int, threshold: float) -> OperatingPoint:
    """The point with another threshold of one class."""
    return replace(point, thresholds=(*point.thresholds[:index], threshold, *point.thresholds[index + 1 :]))


def rounded(value: float | None) -> float | None:
    """Six decimals, as files have scores."""
    return None if value is None else round(value, 6)
