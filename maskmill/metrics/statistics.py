"""How sure a mean of metrics is, and whether two sets of results differ: cluster bootstrap and signed-rank test.

Cases of one group (scene, patient, site) resemble each other, so groups are what is resampled; a bootstrap over cases
would give intervals that are too narrow.

References
----------
.. [1] Efron & Tibshirani (1993), "An introduction to the bootstrap", chapter 13 (percentile interval).
.. [2] Field & Welsh (2007), "Bootstrapping clustered data", JRSS B 69(3) (resampling whole clusters).
.. [3] Wilcoxon (1945), "Individual comparisons by ranking methods", Biometrics Bulletin 1(6).
.. [4] Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6(2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import wilcoxon

MIN_GROUPS = 3
"""Fewest groups (or cases) that are resampled."""

RESAMPLES = 2000
LEVEL = 0.95

BETTER = "better"
WORSE = "worse"
ALIKE = "cannot tell them apart"
TOO_FEW = "too few groups to tell"

_DECIMALS = 9  # of differences: what is beyond is the rounding of sums, which says nothing of any mask
_CHUNK = 2_000_000  # numbers drawn at once: bounds the memory


@dataclass(frozen=True)
class Interval:
    """A mean and its interval.

    estimate: None where no case is defined. low, high: None where there are fewer than three cases.
    resampled: "groups", "cases" (fewer than three groups: says nothing about other groups), or "nothing".
    n_cases, n_groups: of the cases with a value. undefined: cases without one.
    """

    estimate: float | None
    low: float | None
    high: float | None
    resampled: str
    n_cases: int
    n_groups: int
    undefined: int


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, its interval (as in `Interval`), signed-rank `p`, and the verdict in words.

    p_holm: `p` adjusted for all differences that are judged together; None where `p` is.
    """

    interval: Interval
    p: float | None
    p_holm: float | None
    verdict: str


def bootstrap_interval(
    values: Sequence, groups: Sequence[str], resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Mean over cases and its percentile interval [1] by resampling whole groups with replacement [2].

    values: (cases) or (cases, classes) numbers, None or NaN where undefined. With several classes the estimate is the
        mean over classes of each class's mean over its defined cases.
    groups: the group of each case. With fewer than three groups, cases are resampled instead, and labelled so.
    The same input gives the same interval.
    """
    columns = _columns(values)
    defined = ~np.isnan(columns).all(axis=1)
    columns = columns[defined]
    names, members = np.unique(np.asarray(groups, dtype=str)[defined], return_inverse=True)
    by_groups = len(names) >= MIN_GROUPS
    units = members if by_groups else np.arange(len(columns))
    enough = len(columns) >= MIN_GROUPS
    low, high = _percentile_interval(columns, units, resamples, seed, level) if enough else (None, None)
    return Interval(
        estimate=float(_mean_of_means(*_sums(columns, np.zeros(len(columns), int)))[0]) if len(columns) else None,
        low=low,
        high=high,
        resampled=("groups" if by_groups else "cases") if enough else "nothing",
        n_cases=len(columns),
        n_groups=len(names),
        undefined=len(groups) - len(columns),
    )


def paired_difference(
    a: Mapping[str, float | Sequence | None],
    b: Mapping[str, float | Sequence | None],
    groups: Mapping[str, str],
    lower_is_better: bool = False,
    absent: Mapping[str, bool | Sequence] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """Mean of a − b over the cases both have a value for, and whether `a` is better than `b`.

    a, b: case id → value, or one value a class (see `bootstrap_interval`). groups: case id → group.
    absent: case id → whether its reference is empty, or that of each class. There the one of a and b that is undefined,
        having found nothing, counts as perfect (1, or 0 where lower is better) if the other is defined.
    Differences are rounded to nine decimals.
    p: two-sided Wilcoxon signed-rank test [3] over the groups' mean differences (over cases with fewer than three
        groups); None where no difference is other than zero.
    The verdict is "better" or "worse" only if the interval excludes zero and p < 1 − level. With fewer groups than
    could reach such a p even if all agreed (six at level 0.95), it is "too few groups to tell".
    """
    paired = sorted(a.keys() & b.keys())
    first, second = (_columns([values[case] for case in paired]) for values in (a, b))
    if absent is not None:
        found = _columns([absent[case] for case in paired]).astype(bool) & (np.isnan(first) ^ np.isnan(second))
        first, second = (np.where(found & np.isnan(v), 0.0 if lower_is_better else 1.0, v) for v in (first, second))
    columns = np.round(first - second, _DECIMALS)
    case_groups = [groups[case] for case in paired]
    interval = bootstrap_interval(columns, case_groups, resamples, seed, level)
    interval = replace(interval, undefined=len(a.keys() | b.keys()) - interval.n_cases)
    p = _signed_rank_p(columns, case_groups, over_groups=interval.n_groups >= MIN_GROUPS)
    return Difference(interval, p, p, _verdict(interval, p, lower_is_better, level))


def judge_together(
    differences: Sequence[Difference], lower_is_better: bool = False, level: float = LEVEL
) -> list[Difference]:
    """The same differences with p adjusted by Holm's method [4] and verdicts by the adjusted p.

    That none of several experiments is called better by chance alone has a probability of at least `level`.
    """
    together = sum(difference.p is not None for difference in differences)
    return [
        replace(
            difference,
            p_holm=p,
            verdict=_verdict(difference.interval, p, lower_is_better, level, max(1, together)),
        )
        for difference, p in zip(differences, holm([d.p for d in differences]), strict=True)
    ]


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted by Holm's method [4], in their order: the i-th smallest of m times m − i + 1, never falling.

    None, where there was nothing to test, stays None and counts nowhere.
    """
    order = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[place] = highest
    return adjusted


def min_groups_for_verdict(level: float = LEVEL, together: int = 1) -> int:
    """Fewest groups with which a two-sided signed-rank test can reach p < 1 − level: 2^(1−n) must be below that.

    together: differences that are judged together; the smallest of their p must be as many times smaller.
    """
    return int(np.floor(1 - np.log2((1 - level) / together))) + 1


def _verdict(interval: Interval, p: float | None, lower_is_better: bool, level: float, together: int = 1) -> str:
    if interval.n_groups < min_groups_for_verdict(level, together):
        return TOO_FEW
    if p is None or p >= 1 - level or interval.low <= 0 <= interval.high:
        return ALIKE
    return WORSE if (interval.estimate > 0) == lower_is_better else BETTER


def _signed_rank_p(columns: np.ndarray, groups: Sequence[str], over_groups: bool) -> float | None:
    defined = ~np.isnan(columns).all(axis=1)
    columns = columns[defined]
    names = np.asarray(groups, dtype=str)[defined] if over_groups else np.arange(len(columns))
    differences = np.round(_mean_of_means(*_sums(columns, np.unique(names, return_inverse=True)[1])), _DECIMALS)
    if not differences.any():
        return None
    return float(wilcoxon(differences).pvalue)


def _percentile_interval(
    columns: np.ndarray, units: np.ndarray, resamples: int, seed: int, level: float
) -> tuple[float, float]:
    sums, counts = _sums(columns, units)
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // sums.size)
    means = []
    for start in range(0, resamples, step):
        drawn = generator.integers(0, len(sums), size=(min(step, resamples - start), len(sums)))
        means.append(_mean_of_means(sums[drawn].sum(axis=1), counts[drawn].sum(axis=1)))
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _sums(columns: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the defined values of each unit and column: two arrays (units, columns)."""
    shape = (int(units.max(initial=-1)) + 1, columns.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, units, np.nan_to_num(columns))
    np.add.at(counts, units, ~np.isnan(columns))
    return sums, counts


def _mean_of_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean over the columns that have a defined value of their means: (n, columns) → (n)."""
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    return means.sum(axis=1) / (counts > 0).sum(axis=1)


def _columns(values: Sequence) -> np.ndarray:
    """Values a case, or lists of values a case, as an array (cases, columns) with NaN for None."""
    array = np.asarray(values, dtype=float)
    return array[:, None] if array.ndim == 1 else array
