"""Choices by scores made up, and the optimism of a choice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskmill.evaluation.selection import (
    MOST_FOLDS,
    choose,
    deal_parts,
    mean_difference,
    mean_scores,
    nested_choices,
)
from maskmill.inference.postprocess import Step
from maskmill.metrics.statistics import bootstrap_interval
from maskmill.steps import read_steps

THRESHOLDS = [0.2, 0.4, 0.6]


class MadeUp:
    """Scores of steps that do not depend on what comes before, tables of (cases, K, 1 + parameters) each.

    curves: scores of the thresholds (cases, K, 3), by which all are equal where they are not given. losses: of
    temperatures (cases, 3), likewise.
    """

    temperatures, thresholds = (0.5, 1, 2), THRESHOLDS

    def __init__(self, options, *tables, curves=None, losses=None):
        self.steps = read_steps(options)
        self.tables = [np.asarray(table, float) for table in tables]
        self.values = [range(1, table.shape[1] + 1) for table in self.tables]
        cases, classes = self.tables[0].shape[:2] if tables else (2, 1)
        self.curves = np.full((cases, classes, 3), 0.5) if curves is None else np.asarray(curves)
        self.losses = np.full((len(self.curves), 3), 0.5) if losses is None else np.asarray(losses)

    def threshold_scores(self, temperature):
        return self.curves

    def step_scores(self, point, number):
        return self.tables[number]


def chosen(scores, barred=()):
    return choose(scores, np.arange(len(scores.curves)), barred)


def test_the_best_threshold_is_nearest_to_a_half_among_equals():
    scores = MadeUp([], curves=[[[0.5, 0.5, 0.4], [0.9, 0.5, 0.5]]] * 3)

    assert chosen(scores).point.thresholds == (0.4, 0.2)
    assert chosen(scores, {("threshold", 2)}).point.thresholds == (0.4, 0.4)


@pytest.mark.parametrize(
    ("losses", "best"),
    [([0.5, 0.4, 0.3], 2), ([0.3, 0.4, 0.5], 0.5), ([0.4, 0.4, 0.39995], 1), ([np.nan] * 3, 1), ([0.3, 0.4, 0.3], 0.5)],
)
def test_the_temperature_has_the_least_loss_and_is_one_where_none_is_better(losses, best):
    scores = MadeUp([], losses=[losses, losses, [np.nan] * 3])

    assert chosen(scores).point.temperature == best
    assert chosen(scores, {("temperature", 0)}).point.temperature == 1


def test_of_temperatures_as_good_the_one_nearest_to_one_is_chosen():
    scores = MadeUp([], losses=[[0.3, 0.3, 0.4, 0.3]] * 2)
    scores.temperatures = (0.5, 0.8, 1, 3)

    assert chosen(scores).point.temperature == 0.8


def test_a_step_that_helps_is_used_with_its_best_parameter_and_one_that_hurts_is_not():
    options = [{"step": "closing", "radius": [1, 2]}, {"step": "remove_small", "area": [10, 20]}]
    scores = MadeUp(options, [[[0.8, 0.7, 0.75]]] * 2, [[[0.8, 0.85, 0.9]]] * 2)

    choice = chosen(scores)

    assert choice.point.steps == (Step("remove_small", 1, 20),)
    assert choice.best == ((2,), (2,))
    assert choice.used == ((), (Step("remove_small", 1, 20),))
    assert chosen(scores, {(1, 1)}).point.steps == ()


def test_each_class_has_its_own_parameter():
    scores = MadeUp([{"step": "remove_small", "area": [10, 20]}], [[[0.5, 0.6, 0.4], [0.5, 0.6, 0.7]]] * 2)

    assert chosen(scores).point.steps == (Step("remove_small", 1, 10), Step("remove_small", 2, 20))


def test_what_gains_nothing_is_left_out_and_the_first_wins_among_equals():
    options = ["keep_largest", {"step": "closing", "radius": [3, 1]}]

    choice = chosen(MadeUp(options, [[[0.5, 0.50005]]] * 2, [[[0.5, 0.6, 0.6]]] * 2))

    assert choice.point.steps == (Step("closing", 1, 3),)


def test_a_step_that_is_always_done_takes_its_best_parameter_or_the_first():
    options = [
        {"step": "closing", "radius": [1, 2], "always": True},
        {"step": "split_touching", "depth": [1, 2], "always": True},
        {"step": "split_touching", "depth": [1, 2]},
    ]
    unknown = [[[np.nan] * 3]] * 2

    choice = chosen(MadeUp(options, [[[0.9, 0.1, 0.2]]] * 2, unknown, unknown))

    assert choice.point.steps == (Step("closing", 1, 2), Step("split_touching", 1, 1))
    assert choice.best == ((2,), (0,), (0,))


def test_groups_are_left_out_whole():
    groups = ["b", "a", "b", "c", "a"]

    resampling = deal_parts(groups)

    assert resampling.units == "groups"
    left_out = [{group for group, out in zip(groups, part, strict=True) if out} for part in resampling.parts]
    assert sorted(map(sorted, left_out)) == [["a"], ["b"], ["c"]]
    assert np.array_equal(np.sum(resampling.parts, axis=0), np.ones(5))


def test_many_groups_are_left_out_together():
    resampling = deal_parts([str(number) for number in range(95)])

    assert len(resampling.parts) == MOST_FOLDS
    assert {part.sum() for part in resampling.parts} == {9, 10}
    assert np.array_equal(np.sum(resampling.parts, axis=0), np.ones(95))


def test_one_group_is_resampled_by_cases_and_one_case_not_at_all():
    assert (deal_parts(["a", "a"]).units, len(deal_parts(["a", "a"]).parts)) == ("cases", 2)
    assert (deal_parts(["a"]).units, deal_parts(["a"]).parts) == ("nothing", ())


@given(arrays(float, (6, 1, 4), elements=st.floats(0, 1)))
def test_what_is_chosen_without_a_case_is_never_better_on_it(table):
    # a known property of leaving out: the sum over the others is largest at the choice without the case
    scores = MadeUp([], curves=table[..., :3].round(3))
    resampling = deal_parts([str(number) for number in range(6)])

    best = chosen(scores).point.thresholds[0]
    trials = nested_choices(scores, resampling)

    curves, column = scores.curves[:, 0], THRESHOLDS.index
    apparent = curves[:, column(best)].mean()
    nested = np.mean([
        curves[part, column(trial.point.thresholds[0])].mean()
        for part, trial in zip(resampling.parts, trials, strict=True)
    ])  # fmt: skip
    assert apparent >= nested - 1e-6


@given(arrays(float, (9, 2, 2), elements=st.floats(0, 1)), st.lists(st.sampled_from("abcd"), min_size=9, max_size=9))
def test_an_interval_is_that_of_paired_differences_where_all_are_defined(pairs, groups):
    expected = bootstrap_interval(pairs[..., 0] - pairs[..., 1], groups)

    estimate, low, high = mean_difference(pairs[..., 0], pairs[..., 1], groups)

    assert estimate == pytest.approx(expected.estimate, abs=1e-12)
    if len(set(groups)) < 3:
        assert (low, high) == (None, None)
    else:
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_score_that_a_step_makes_undefined_leaves_the_mean():
    without, with_it = np.array([[0.8], [0.0]]), np.array([[0.8], [np.nan]])

    assert mean_difference(with_it, without, ["a", "b"]) == (pytest.approx(0.4), None, None)
    assert mean_difference(np.full((2, 1), np.nan), without, ["a", "b"]) == (None, None, None)


def test_means_of_defined_scores():
    scores = np.array([[0.5, np.nan], [1.0, np.nan]])

    np.testing.assert_array_equal(mean_scores(scores), [0.75, np.nan])
