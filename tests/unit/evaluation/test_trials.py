"""What parts of an operating point gain where they were not chosen."""

import numpy as np
import pytest

from maskmill.evaluation.trials import make_trials
from maskmill.inference.postprocess import Step
from tests.unit.evaluation.test_selection import MadeUp

GROUPS = ["a", "b", "c", "d"]


class Scored(MadeUp):
    """Scores of masks that do not depend on the point."""

    classes = 1

    def final_scores(self, point):
        return self.curves[..., self.thresholds.index(point.thresholds[0])] if point.thresholds[0] != 0.5 else self.half

    @property
    def half(self):
        return self.curves[..., 1]


def gains(trials, step):
    return [gain for gain in trials.gains if gain.step == step]


def test_a_temperature_gains_log_likelihood():
    trials = make_trials(Scored([], curves=np.full((4, 1, 3), 0.5), losses=[[0.3, 0.4, 0.6]] * 4), GROUPS)

    (gain,) = gains(trials, "temperature")
    assert (gain.used, gain.gain, gain.low, gain.high) == (0.5, 0.1, 0.1, 0.1)
    assert gain.as_row(["roof"])["class"] is None


def test_a_temperature_that_one_group_alone_asks_for_is_given_up():
    # 0.5 has the least mean loss while the first group is there, by which all others lose
    losses = [[0.1, 0.9, 0.95], *[[0.4, 0.35, 0.95]] * 3]

    trials = make_trials(Scored([], curves=np.full((4, 1, 3), 0.5), losses=losses), GROUPS)

    assert trials.chosen.point.temperature == 1


def test_a_step_that_loses_where_it_was_not_chosen_is_left_out():
    options = [{"step": "remove_small", "area": [10, 20]}, "keep_largest"]
    # either area helps two groups by chance and harms the other two; the last step helps all
    areas = [[[0.5, 0.8, 0.3]], [[0.5, 0.3, 0.8]], [[0.5, 0.8, 0.3]], [[0.5, 0.31, 0.8]]]
    scores = Scored(options, areas, [[[0.5, 0.6]]] * 4)

    trials = make_trials(scores, GROUPS)

    assert trials.chosen.point.steps == (Step("keep_largest", 1),)
    (small,), (largest,) = gains(trials, "remove_small"), gains(trials, "keep_largest")
    assert small.used is None
    assert small.gain < 0
    assert (largest.used, largest.gain) == (True, 0.1)


def test_a_step_that_may_not_be_left_out_stays_though_it_loses():
    areas = [[[0.5, 0.8, 0.3]], [[0.5, 0.3, 0.8]], [[0.5, 0.8, 0.3]], [[0.5, 0.31, 0.8]]]
    scores = Scored([{"step": "remove_small", "area": [10, 20], "always": True}], areas)

    trials = make_trials(scores, GROUPS)

    assert [step.step for step in trials.chosen.point.steps] == ["remove_small"]
    assert gains(trials, "remove_small")[0].gain < 0


def test_a_threshold_that_loses_where_it_was_not_chosen_is_given_up():
    curves = [[[0.8, 0.5, 0.3]], [[0.3, 0.5, 0.8]], [[0.8, 0.5, 0.3]], [[0.31, 0.5, 0.8]]]

    trials = make_trials(Scored([], curves=curves), GROUPS)

    assert trials.chosen.point.thresholds == (0.4,)
    assert gains(trials, "threshold")[0].gain == 0


def test_one_case_has_nothing_left_out():
    trials = make_trials(Scored([], curves=[[[0.8, 0.5, 0.3]]]), ["a"])

    assert (trials.nested, trials.chosen.point.thresholds) == (None, (0.2,))
    assert gains(trials, "threshold")[0].gain == pytest.approx(0.3)
