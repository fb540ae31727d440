"""Whether confidence tells good cases from bad: risk over coverage, and the rank correlation of the two.

Cases are handed to a person from the least confident on. Coverage is the share that is kept, risk is what is wrong with
those: 1 − their mean score.

References
----------
.. [1] El-Yaniv & Wiener (2010), "On the foundations of noise-free selective classification", JMLR 11.
.. [2] Geifman & El-Yaniv (2017), "Selective classification for deep neural networks", NeurIPS.
.. [3] Geifman, Uziel & El-Yaniv (2019), "Bias-reduced uncertainty estimation for deep neural classifiers", ICLR (AURC).
.. [4] Spearman (1904), "The proof and measurement of association between two things", American Journal of Psychology.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from maskmill.metrics.statistics import LEVEL, MIN_GROUPS, RESAMPLES, TOO_FEW, min_groups_for_verdict

ORDERS = "orders"
REVERSES = "reverses"
UNCLEAR = "cannot tell"


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ [4] and its interval.

    estimate: None where one of the two does not vary. low, high: None too with fewer than three cases.
    resampled: "groups", "cases" (fewer than three groups) or "nothing".
    verdict: "orders" or "reverses" where the interval excludes 0 and there are six groups or more, else "cannot tell"
    or "too few groups to tell".
    """

    estimate: float | None
    low: float | None
    high: float | None
    resampled: str
    n_cases: int
    n_groups: int
    verdict: str


def risk_coverage(confidence: Sequence[float], score: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Coverage 1/n, 2/n, … 1 and the risk there [2]: 1 − mean score of the most confident cases.

    Cases of one confidence come as one: each counts with their mean score, so that their order changes nothing.
    """
    confidence, score = np.asarray(confidence, float), np.asarray(score, float)
    _, place, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    means = np.bincount(place, score) / counts
    kept = np.arange(1, len(score) + 1)
    return kept / len(score), 1 - np.cumsum(np.repeat(means, counts)) / kept


def area_under(risk: np.ndarray) -> float:
    """AURC [3]: mean of the risk over the coverages 1/n … 1. Lower is better."""
    return float(risk.mean())


def rank_correlation(
    a: Sequence[float], b: Sequence[float], groups: Sequence[str], resamples: int = RESAMPLES, seed: int = 0
) -> RankCorrelation:
    """Spearman's ρ of two values of each case, with the percentile interval of draws of whole groups.

    With fewer than three groups cases are drawn. The same input gives the same interval.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    names, members = np.unique(np.asarray(groups, str), return_inverse=True)
    resampled = "nothing" if len(a) < MIN_GROUPS else "groups" if len(names) >= MIN_GROUPS else "cases"
    estimate = _spearman(a, b)
    low = high = None
    if estimate is not None and resampled != "nothing":
        units = members if resampled == "groups" else np.arange(len(a))
        low, high = _interval(a, b, units, resamples, seed)
    verdict = _verdict(low, high, len(names))
    return RankCorrelation(estimate, low, high, resampled, len(a), len(names), verdict)


def _verdict(low: float | None, high: float | None, groups: int) -> str:
    if groups < min_groups_for_verdict():
        return TOO_FEW
    if low is None or low <= 0 <= high:
        return UNCLEAR
    return ORDERS if low > 0 else REVERSES


def _interval(
    a: np.ndarray, b: np.ndarray, units: np.ndarray, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """Both None where no draw has a correlation."""
    places = [np.flatnonzero(units == unit) for unit in range(units.max() + 1)]
    generator, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = np.concatenate([places[unit] for unit in generator.integers(0, len(places), len(places))])
        found.append(_spearman(a[drawn], b[drawn]))
    defined = [one for one in found if one is not None]  # a draw of equal cases has none
    if not defined:
        return None, None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Correlation of ranks, means of them among equals; None where one does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
