"""Risk over coverage, and the rank correlation of confidence and score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from maskmill.metrics.selective import (
    ORDERS,
    REVERSES,
    UNCLEAR,
    area_under,
    rank_correlation,
    risk_coverage,
)
from maskmill.metrics.statistics import TOO_FEW

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_the_most_confident_are_kept_first():
    coverage, risk = risk_coverage([0.2, 0.9, 0.5], [0.1, 1.0, 0.4])
    np.testing.assert_allclose(coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(risk, [0, 0.3, 0.5])
    assert area_under(risk) == pytest.approx(0.8 / 3)


def test_equals_count_with_their_mean():
    _, risk = risk_coverage([0.5, 0.5, 0.1], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(risk, [0.5, 0.5, 2 / 3])


@given(SCORES, st.randoms())
def test_no_order_is_better_than_that_by_the_score_itself(scores, random):
    confidence = [random.random() for _ in scores]
    risk, ideal = (risk_coverage(by, scores)[1] for by in (confidence, scores))
    assert (risk >= ideal - 1e-12).all()
    assert risk[-1] == pytest.approx(1 - np.mean(scores))


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=1, max_size=12), st.randoms())
def test_the_order_of_cases_changes_nothing(cases, random):
    shuffled = random.sample(cases, len(cases))
    first, second = (risk_coverage(*zip(*one, strict=True))[1] for one in (cases, shuffled))
    np.testing.assert_allclose(first, second, atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=15))
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_the_correlation_is_that_of_scipy(pairs):
    a, b = zip(*pairs, strict=True)
    found = rank_correlation(a, b, ["g"] * len(a), resamples=1).estimate
    expected = spearmanr(a, b).statistic
    assert (found is None) if np.isnan(expected) else found == pytest.approx(expected)


def of_groups(groups, noise, sign=1, cases=4):
    random = np.random.default_rng(4)
    a = np.linspace(0, 1, groups * cases)
    b = sign * a + noise * random.standard_normal(len(a))
    return rank_correlation(a, b, [f"g{i % groups}" for i in range(len(a))], resamples=200)


def test_confidence_that_orders_the_errors_is_told():
    found = of_groups(8, 0.05)
    assert (found.verdict, found.resampled, found.n_groups, found.n_cases) == (ORDERS, "groups", 8, 32)
    assert 0.9 < found.low <= found.estimate <= found.high <= 1


def test_confidence_that_reverses_them_is_told():
    assert of_groups(8, 0.05, sign=-1).verdict == REVERSES


def test_confidence_without_relation_cannot_be_told():
    found = of_groups(8, 50)
    assert found.verdict == UNCLEAR
    assert found.low < 0 < found.high


def test_few_groups_are_said_to_be_few():
    assert of_groups(5, 0.05).verdict == TOO_FEW
    assert of_groups(2, 0.05).resampled == "cases"


def test_an_interval_needs_three_cases_and_a_correlation_two_values():
    two = rank_correlation([1, 2], [1, 2], ["a", "b"])
    assert (two.estimate, two.low, two.resampled) == (pytest.approx(1), None, "nothing")
    constant = rank_correlation([1, 1, 1], [1, 2, 3], "abc")
    assert (constant.estimate, constant.low) == (None, None)
    assert rank_correlation([], [], []).estimate is None
