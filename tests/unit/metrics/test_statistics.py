"""Intervals and paired comparisons: by hand, on seeded synthetic data, and their conventions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.metrics.statistics import (
    bootstrap_interval,
    holm,
    judge_together,
    min_groups_for_verdict,
    paired_difference,
)


def clustered(generator: np.random.Generator, groups: int, cases: int) -> tuple[np.ndarray, list[str]]:
    """Cases whose mean is 0 and whose groups differ as much as the cases inside them."""
    values = generator.normal(size=(groups, 1)) + generator.normal(size=(groups, cases))
    return values.ravel(), [f"g{group}" for group in range(groups) for _ in range(cases)]


def paired(differences: list[float], cases: int = 2) -> tuple[dict, dict, dict]:
    """Two experiments whose groups differ by these amounts, the same in each case."""
    ids = [(f"g{group}", f"g{group}/c{case}") for group in range(len(differences)) for case in range(cases)]
    b = {case: 0.5 + 0.01 * i for i, (_, case) in enumerate(ids)}
    a = {case: b[case] + differences[int(group[1:])] for group, case in ids}
    return a, b, {case: group for group, case in ids}


def test_estimate_is_the_mean_over_cases_and_lies_in_the_interval():
    values, groups = clustered(np.random.default_rng(0), 8, 3)
    interval = bootstrap_interval(values, groups)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low < interval.estimate < interval.high
    assert (interval.resampled, interval.n_cases, interval.n_groups, interval.undefined) == ("groups", 24, 8, 0)


def test_same_input_gives_the_same_interval_and_another_seed_another():
    values, groups = clustered(np.random.default_rng(0), 8, 3)
    assert bootstrap_interval(values, groups) == bootstrap_interval(values, groups)
    assert bootstrap_interval(values, groups, seed=1) != bootstrap_interval(values, groups)


def test_order_of_cases_does_not_matter():
    values, groups = clustered(np.random.default_rng(0), 8, 3)
    order = np.random.default_rng(1).permutation(len(values))
    shuffled = bootstrap_interval(values[order], [groups[i] for i in order])
    plain = bootstrap_interval(values, groups)
    assert (shuffled.low, shuffled.high) == pytest.approx((plain.low, plain.high))


def test_three_groups_have_the_extreme_groups_as_limits():
    # all three draws are one given group with chance 1/27 > 2.5 %, so the limits are the extreme groups
    interval = bootstrap_interval([1, 1, 2, 2, 6, 6], list("aabbcc"))
    assert (interval.low, interval.high) == (1, 6)


def test_undefined_cases_are_left_out_and_counted():
    interval = bootstrap_interval([1.0, None, 2.0, float("nan"), 3.0], list("abcde"))
    assert interval.estimate == 2
    assert (interval.n_cases, interval.n_groups, interval.undefined) == (3, 3, 2)


def test_fewer_than_three_groups_resample_cases_and_say_so():
    interval = bootstrap_interval([1, 2, 3, 4, 5, 6], list("aaabbb"))
    assert (interval.resampled, interval.n_groups) == ("cases", 2)
    assert 1 < interval.low < 3.5 < interval.high < 6


@pytest.mark.parametrize(("values", "estimate"), [([], None), ([None, None], None), ([2.0], 2.0), ([1.0, 2.0], 1.5)])
def test_fewer_than_three_cases_have_no_interval(values, estimate):
    interval = bootstrap_interval(values, [str(i) for i in range(len(values))])
    assert (interval.estimate, interval.low, interval.high, interval.resampled) == (estimate, None, None, "nothing")


def test_several_classes_give_the_mean_of_their_means():
    values = [[0.0, 0.5], [None, 0.7], [1.0, 0.9], [None, None]]
    interval = bootstrap_interval(values, list("abcd"))
    assert interval.estimate == pytest.approx((0.5 + 0.7) / 2)
    assert (interval.n_cases, interval.undefined) == (3, 1)
    assert interval.low <= 0.6 <= interval.high


def test_cluster_bootstrap_covers_the_true_mean_where_a_bootstrap_over_cases_does_not():
    generator = np.random.default_rng(0)
    hits = {"groups": 0, "cases": 0}
    rounds = 300
    for _ in range(rounds):
        values, groups = clustered(generator, 20, 8)
        for kind, units in (("groups", groups), ("cases", [str(i) for i in range(len(values))])):
            interval = bootstrap_interval(values, units, resamples=400)
            hits[kind] += interval.low <= 0 <= interval.high
    assert 0.88 <= hits["groups"] / rounds <= 0.98
    assert hits["cases"] / rounds < 0.7


def test_difference_is_paired_by_case_id():
    a, b, groups = paired([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.15])
    shuffled = dict(reversed(a.items()))
    difference = paired_difference(shuffled, b, groups)
    assert difference.interval.estimate == pytest.approx(np.mean([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.15]))
    assert 0.1 <= difference.interval.low < difference.interval.high <= 0.3
    assert difference.interval.n_cases == 14


def test_verdict_better_worse_and_the_way_of_distances():
    a, b, groups = paired([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    assert paired_difference(a, b, groups).verdict == "better"
    assert paired_difference(b, a, groups).verdict == "worse"
    assert paired_difference(a, b, groups, lower_is_better=True).verdict == "worse"
    assert paired_difference(b, a, groups, lower_is_better=True).verdict == "better"


def test_differences_of_both_signs_cannot_be_told_apart():
    a, b, groups = paired([0.1, -0.2, 0.3, -0.1, 0.2, -0.3])
    difference = paired_difference(a, b, groups)
    assert difference.verdict == "cannot tell them apart"
    assert difference.p > 0.5


def test_one_large_group_against_many_small_ones_cannot_be_told_apart():
    # the groups agree (p < 0.05), but the mean over cases hangs on whether the large group is drawn
    sizes = [1] * 11 + [20]
    a = {
        f"{group}/{case}": -0.5 if group == 11 else 0.01 * (group + 1)
        for group in range(12)
        for case in range(sizes[group])
    }
    difference = paired_difference(a, dict.fromkeys(a, 0.0), {case: case.split("/")[0] for case in a})
    assert difference.p < 0.05
    assert difference.interval.low < 0 < difference.interval.high
    assert difference.verdict == "cannot tell them apart"


def test_equal_results_have_no_p_and_cannot_be_told_apart():
    a, _, groups = paired([0.0] * 6)
    difference = paired_difference(a, a, groups)
    assert (difference.p, difference.interval.estimate, difference.verdict) == (None, 0, "cannot tell them apart")


def test_verdict_needs_six_groups_since_fewer_agree_by_chance_too_often():
    assert min_groups_for_verdict(0.95) == 6
    a, b, groups = paired([0.1, 0.2, 0.3, 0.2, 0.1])
    difference = paired_difference(a, b, groups)
    assert difference.interval.low > 0
    assert (difference.p, difference.verdict) == (pytest.approx(2**-4), "too few groups to tell")


def test_fewer_than_three_groups_test_cases_but_tell_nothing():
    a, b, groups = paired([0.1, 0.2], cases=6)
    difference = paired_difference(a, b, groups)
    assert difference.interval.resampled == "cases"
    assert difference.p == pytest.approx(2**-11)
    assert difference.verdict == "too few groups to tell"


def test_cases_without_a_pair_are_left_out_and_counted():
    a, b, groups = paired([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    a["g0/c0"] = None
    del b["g1/c0"]
    interval = paired_difference(a, b, groups).interval
    assert (interval.n_cases, interval.undefined) == (10, 2)


def test_finding_nothing_where_nothing_is_beats_a_false_alarm():
    # six groups, of each a picture with the class, found equally well, and one without it
    groups = {f"g{i}/{kind}": f"g{i}" for i in range(6) for kind in "xy"}
    right = {case: 0.5 if case.endswith("x") else None for case in groups}
    wrong = {case: 0.5 if case.endswith("x") else 0.0 for case in groups}
    absent = {case: case.endswith("y") for case in groups}

    difference = paired_difference(wrong, right, groups, absent=absent)
    assert difference.interval.estimate == -0.5  # 0 − 0 and 0 − 1
    assert (difference.interval.n_cases, difference.interval.undefined) == (12, 0)
    assert (difference.p, difference.verdict) == (2**-5, "worse")
    assert paired_difference(right, wrong, groups, absent=absent).verdict == "better"
    assert paired_difference(right, right, groups, absent=absent).interval.undefined == 6


def test_a_false_alarm_is_a_distance_from_zero():
    groups = {str(i): str(i) for i in range(6)}
    diagonal, nothing = dict.fromkeys(groups, 5.0), dict.fromkeys(groups, None)
    difference = paired_difference(nothing, diagonal, groups, True, dict.fromkeys(groups, True))
    assert (difference.interval.estimate, difference.verdict) == (-5, "better")


def test_undefined_where_the_class_is_stays_left_out():
    # of two classes the first is absent; of the second nothing is found, so that its precision is undefined
    difference = paired_difference({"x": [0.0, None]}, {"x": [None, 0.3]}, {"x": "g"}, absent={"x": [True, False]})
    assert (difference.interval.estimate, difference.interval.n_cases) == (-1, 1)


def test_the_rounding_of_sums_is_no_difference():
    a, b = (0.1 + 0.2 + 0.3) / 3, (0.3 + 0.2 + 0.1) / 3
    assert a != b
    ids = [str(i) for i in range(8)]
    difference = paired_difference(dict.fromkeys(ids, a), dict.fromkeys(ids, b), dict(zip(ids, ids, strict=True)))
    assert (difference.p, difference.interval.estimate, difference.verdict) == (None, 0, "cannot tell them apart")
    # nor is that of the mean of a group: 0.1 + 0.2 − 0.3
    ids, groups = [f"{i}" for i in range(18)], {f"{i}": f"{i % 6}" for i in range(18)}
    values = [0.1] * 6 + [0.2] * 6 + [-0.3] * 6
    difference = paired_difference(dict(zip(ids, values, strict=True)), dict.fromkeys(ids, 0.0), groups)
    assert (difference.p, difference.verdict) == (None, "cannot tell them apart")


def test_nothing_in_common_is_no_difference():
    difference = paired_difference({"x": 1.0}, {"y": 2.0}, {"x": "g", "y": "g"})
    assert (difference.interval.estimate, difference.interval.undefined) == (None, 2)
    assert (difference.p, difference.verdict) == (None, "too few groups to tell")


def test_false_alarms_stay_below_the_level():
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        values, groups = clustered(generator, 8, 4)
        ids = [str(i) for i in range(len(values))]
        b = dict.fromkeys(ids, 0.0)
        difference = paired_difference(
            dict(zip(ids, values, strict=True)), b, dict(zip(ids, groups, strict=True)), resamples=300
        )
        alarms += difference.verdict != "cannot tell them apart"
    assert alarms / 200 < 0.08


def test_holm_multiplies_the_smallest_most_and_never_falls():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, None, 0.5, 0.01]) == [pytest.approx(1.0), None, pytest.approx(1.0), pytest.approx(0.03)]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_values_and_bonferroni(values):
    adjusted = holm(values)
    assert all(p <= one <= min(1.0, p * len(values)) for p, one in zip(values, adjusted, strict=True))
    assert [adjusted[i] for i in np.argsort(values, kind="stable")] == sorted(adjusted)


def test_differences_judged_together_need_more_groups():
    a, b, groups = paired([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])  # six groups that agree: p = 1 / 32
    alone = paired_difference(a, b, groups)
    assert alone.verdict == "better"
    assert judge_together([alone]) == [alone]
    first, second = judge_together([alone, alone])
    assert (first.p, first.p_holm) == (pytest.approx(1 / 32), pytest.approx(1 / 16))
    assert first.verdict == second.verdict == "too few groups to tell"
    assert min_groups_for_verdict(together=2) == 7
    a, b, groups = paired([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.2])
    unsure, _, _ = paired([0.1, -0.2, 0.3, -0.1, 0.2, -0.3, 0.1])
    clear, doubtful = judge_together([paired_difference(a, b, groups), paired_difference(unsure, b, groups)])
    assert (clear.verdict, doubtful.verdict) == ("better", "cannot tell them apart")
