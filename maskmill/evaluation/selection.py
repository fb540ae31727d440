"""Choosing among candidates by their scores, and how much of the score is owed to the choice.

The choice is greedy: the temperature, thresholds, then the steps in order, each with what was chosen before it. To tell
its optimism [1], the choice is made again without some of the groups and scored on those, for every group once.

References
----------
.. [1] Efron & Gong (1983), "A leisurely look at the bootstrap, the jackknife, and cross-validation", The American
   Statistician 37(1).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from maskmill.inference.postprocess import OperatingPoint, Step
from maskmill.metrics.statistics import LEVEL, MIN_GROUPS, RESAMPLES
from maskmill.steps import TEMPERATURE, THRESHOLD, StepOption

LEAST_GAIN = 1e-4
"""A step is used where it raises the mean score by more than this."""

MOST_FOLDS = 10
"""Parts into which groups are dealt, at most: each is left out once."""


Part = tuple[str | int, int]
"""A part of an operating point: (TEMPERATURE, 0), (THRESHOLD, class), (number of the step, class), classes 1 … K."""


class Scores(Protocol):
    """See `maskmill.evaluation.evidence.Evidence`."""

    classes: int
    temperatures: Sequence[float]
    thresholds: Sequence[float]
    steps: Sequence[StepOption]
    values: Sequence[Sequence[int]]
    losses: np.ndarray

    def threshold_scores(self, temperature: float) -> np.ndarray:
        """(cases, K, thresholds)."""

    def final_scores(self, point: OperatingPoint) -> np.ndarray:
        """(cases, K)."""

    def step_scores(self, point: OperatingPoint, number: int) -> np.ndarray:
        """(cases, K, 1 + parameters)."""


@dataclass(frozen=True)
class Choice:
    """An operating point and how it came about.

    before: of each step, the point before it. used: of each step, what was added to the point. best: of each step, for
    each class (K) the column of `step_scores` that is best of those with the step, 0 for a class that it does not work
    on or on which it cannot be judged.
    """

    point: OperatingPoint
    before: tuple[OperatingPoint, ...]
    used: tuple[tuple[Step, ...], ...]
    best: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Resampling:
    """Parts of the cases to leave out, each a boolean array (cases), and what they are made of.

    units: "groups"; "cases" where there is one group; "nothing" where there is one case, and no part.
    """

    units: str
    parts: tuple[np.ndarray, ...]


def choose(scores: Scores, cases: np.ndarray, barred: Collection[Part] = ()) -> Choice:
    """The operating point with the best mean scores over `cases`, a boolean or index array.

    The temperature is the one with the least negative log-likelihood. Ties go to the temperature nearest 1, to the
    threshold nearest 0.5, to the parameter named first, and to leaving a step out. A step that may not be left out and
    cannot be judged has the first of its parameters. barred: what may not be used: the temperature stays the one
    nearest 1, a threshold the one nearest 0.5, a step is left out.
    """
    temperature = plain_temperature(scores.temperatures)
    if (TEMPERATURE, 0) not in barred:
        temperature = _best_temperature(mean_scores(scores.losses[cases]), scores.temperatures)
    means = mean_scores(scores.threshold_scores(temperature)[cases])
    free = [(THRESHOLD, value) not in barred for value in range(1, len(means) + 1)]
    rows = np.where(np.array(free)[:, np.newaxis], means, np.nan)
    thresholds = tuple(_best_threshold(row, scores.thresholds) for row in rows)
    point = OperatingPoint(thresholds, temperature=temperature)
    before, used, best = [], [], []
    for number, option in enumerate(scores.steps):
        means = mean_scores(scores.step_scores(point, number)[cases])
        columns = tuple(_best_column(row) for row in means)
        chosen = tuple(
            Step(option.step, value, option.parameters[max(columns[value - 1], 1) - 1])
            for value in scores.values[number]
            if option.always
            or ((number, value) not in barred and _gain(means[value - 1], columns[value - 1]) > LEAST_GAIN)
        )
        before.append(point)
        used.append(chosen)
        best.append(columns)
        point = replace(point, steps=(*point.steps, *chosen))
    return Choice(point, tuple(before), tuple(used), tuple(best))


def plain_point(scores: Scores) -> OperatingPoint:
    """What is chosen where there is nothing to go by: the temperature nearest 1, thresholds nearest 0.5, no steps."""
    threshold = _best_threshold(np.zeros(len(scores.thresholds)), scores.thresholds)
    return OperatingPoint((threshold,) * scores.classes, temperature=plain_temperature(scores.temperatures))


def plain_temperature(temperatures: Sequence[float]) -> float:
    """The one nearest 1 by factor."""
    return min(temperatures, key=lambda temperature: abs(math.log(temperature)))


def deal_parts(groups: Sequence[str]) -> Resampling:
    """Leave out each group once, several together where there are more than `MOST_FOLDS`; cases where there is one."""
    units = "groups" if len(set(groups)) > 1 else "cases" if len(groups) > 1 else "nothing"
    if units == "nothing":
        return Resampling(units, ())
    _, numbers = np.unique(groups if units == "groups" else np.arange(len(groups)), return_inverse=True)
    count = numbers.max() + 1
    parts = (np.random.default_rng(0).permutation(count) % min(count, MOST_FOLDS))[numbers]
    return Resampling(units, tuple(parts == part for part in range(parts.max() + 1)))


def nested_choices(scores: Scores, resampling: Resampling, barred: Collection[Part] = ()) -> list[Choice]:
    """What is chosen without each of the parts."""
    return [choose(scores, ~part, barred) for part in resampling.parts]


def mean_scores(scores: np.ndarray) -> np.ndarray:
    """Mean over cases (the first axis) of the scores that are defined; NaN where none is."""
    counts = np.count_nonzero(~np.isnan(scores), axis=0)
    return np.divide(np.nansum(scores, axis=0), counts, out=np.full(counts.shape, np.nan), where=counts > 0)


def mean_difference(
    first: np.ndarray, second: np.ndarray, groups: Sequence[str]
) -> tuple[float | None, float | None, float | None]:
    """Mean score of `first` less that of `second`, both (cases, classes), with the ends of its interval.

    A mean is that over classes of each class's mean over its defined cases. The interval resamples whole groups; None
    with fewer than three. All None where a mean is undefined.
    """
    names, members = np.unique(groups, return_inverse=True)
    totals = [_totals(scores, members, len(names)) for scores in (first, second)]
    with np.errstate(invalid="ignore"):
        once = np.ones((1, len(names)))
        estimate = float(np.subtract(*(_mean_of_means(once, *total) for total in totals))[0])
        if np.isnan(estimate) or len(names) < MIN_GROUPS:
            return (None if np.isnan(estimate) else estimate), None, None
        drawn = np.random.default_rng(0).integers(0, len(names), (RESAMPLES, len(names)))
        weights = np.stack([np.bincount(row, minlength=len(names)) for row in drawn]).astype(float)
        differences = np.subtract(*(_mean_of_means(weights, *total) for total in totals))
    low, high = np.nanquantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return estimate, float(low), float(high)


def _totals(scores: np.ndarray, members: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the defined scores of each group and class."""
    sums, counts = np.zeros((2, groups, scores.shape[1]))
    np.add.at(sums, members, np.nan_to_num(scores))
    np.add.at(counts, members, ~np.isnan(scores))
    return sums, counts


def _mean_of_means(weights: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """weights: how often each group counts (n, groups). NaN where no class has a defined score."""
    totals, defined = weights @ sums, weights @ counts
    means = np.divide(totals, defined, out=np.zeros_like(totals), where=defined > 0)
    return means.sum(axis=1) / (defined > 0).sum(axis=1)


def _best_temperature(losses: np.ndarray, temperatures: Sequence[float]) -> float:
    """The one of least loss, where it is better than the plain one by more than `LEAST_GAIN`."""
    plain = plain_temperature(temperatures)
    if np.isnan(losses).any() or losses.min() > losses[temperatures.index(plain)] - LEAST_GAIN:
        return plain
    return min(zip(losses.round(6), temperatures, strict=True), key=lambda pair: (pair[0], abs(math.log(pair[1]))))[1]


def _best_threshold(scores: np.ndarray, thresholds: Sequence[float]) -> float:
    rounded = np.nan_to_num(scores, nan=-1.0).round(6)
    return max(zip(rounded, thresholds, strict=True), key=lambda pair: (pair[0], -abs(pair[1] - 0.5)))[1]


def _best_column(scores: np.ndarray) -> int:
    """The best of the columns from 1 on, the first among equals; 0 where none is defined."""
    if np.isnan(scores[1:]).all():
        return 0
    return 1 + int(np.nan_to_num(scores[1:], nan=-1.0).round(6).argmax())


def _gain(scores: np.ndarray, column: int) -> float:
    return np.nan_to_num(scores[column] - scores[0], nan=-1.0)
