"""Relaxed precision, recall and break-even on arrays small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from maskmill.metrics.relaxed import relaxed_curve


def row(*values: int) -> np.ndarray:
    return np.array([[values]], np.uint8)


def curve_of(levels: np.ndarray, reference: np.ndarray, valid: np.ndarray | None = None):
    return relaxed_curve(levels, reference > 0, np.ones(levels.shape, bool) if valid is None else valid > 0)


def test_three_pixels_away_counts_and_four_do_not():
    curve = curve_of(row(1, 0, 0, 0, 0, 0, 0, 1, 0), row(0, 0, 0, 1, 0, 0, 0, 0, 0))
    assert (curve.precision(1), curve.recall(1)) == (0.5, 1)
    curve = curve_of(row(1, 0, 0, 0, 0, 0, 0, 0, 0), row(0, 0, 1, 0, 1, 0, 0, 0, 1))
    assert (curve.precision(1), curve.recall(1)) == (1, pytest.approx(1 / 3))


def test_distances_are_euclidean():
    reference, levels = np.zeros((2, 1, 9, 9), np.uint8)
    reference[0, 4, 4] = 1
    levels[0, 4 - 2, 4 - 2] = levels[0, 4 + 3, 4 + 1] = 1  # √8 and √10 pixels away
    assert curve_of(levels, reference).precision(1) == 0.5


def test_slices_are_measured_by_themselves():
    levels, reference = np.zeros((2, 2, 3, 3), np.uint8)
    levels[0, 1, 1] = reference[1, 1, 1] = 1
    curve = curve_of(levels, reference)
    assert (curve.precision(1), curve.recall(1)) == (0, 0)


def test_ignored_pixels_belong_to_neither_mask():
    levels, reference, valid = row(9, 0, 0, 0, 9), row(0, 0, 1, 0, 0), row(1, 1, 1, 1, 0)
    curve = curve_of(levels, reference, valid)
    assert (curve.predicted[9], curve.precision(9), curve.recall(9)) == (1, 1, 1)
    assert curve_of(row(0, 0, 0, 0, 9), reference, valid).recall(9) == 0


def test_break_even_at_a_threshold_and_between_two():
    reference = row(1, *[0] * 9, 1, *[0] * 9, 1, *[0] * 9)
    exact = np.where(reference > 0, 200, 0).astype(np.uint8)
    assert curve_of(exact, reference).break_even() == 1
    levels = exact.copy()
    levels[0, 0, 20] = 0
    levels[0, 0, [5, 15]] = 200, 50
    # from 50: 2 of 4 right, 2 of 3 found; from 51 to 200: 2 of 3, and 2 of 3
    assert curve_of(levels, reference).break_even() == pytest.approx(2 / 3)
    levels[0, 0, 5] = 50
    # from 50: 1/2 and 2/3; from 51: 1 and 2/3. Precision reaches recall a third of the way
    assert curve_of(levels, reference).break_even() == pytest.approx(2 / 3)
    levels[0, 0, 10] = 60
    # from 51: 1 and 2/3; from 61: 1 and 1/3: the straight line is crossed before, at the same place
    assert curve_of(levels, reference).break_even() == pytest.approx(2 / 3)


def test_the_end_of_the_curve_is_recall_zero_at_precision_one():
    reference, levels = row(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0), row(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255)
    # at every threshold above 0 nothing is right and nothing found
    assert curve_of(levels, reference).break_even() == pytest.approx(0)


def test_empty_masks():
    nothing, something = row(0, 0, 0), row(1, 0, 0)
    curve = curve_of(nothing, nothing)
    assert (curve.precision(1), curve.recall(1), curve.break_even()) == (None, None, None)
    curve = curve_of(something, nothing)
    assert (curve.precision(1), curve.recall(1), curve.break_even()) == (0, None, None)
    curve = curve_of(nothing, something)
    assert (curve.precision(1), curve.recall(1)) == (None, 0)


@given(arrays(np.uint8, (1, 5, 6)), arrays(bool, (1, 5, 6)), arrays(np.uint8, (1, 5, 6)), arrays(bool, (1, 5, 6)))
def test_curves_of_two_pictures_add_up_to_that_of_both(a, in_a, b, in_b):
    apart = relaxed_curve(a, in_a, in_a | True) + relaxed_curve(b, in_b, in_b | True)
    both = relaxed_curve(np.concatenate([a, b]), np.concatenate([in_a, in_b]), np.ones((2, 5, 6), bool))
    assert apart.reference == both.reference
    for name in ("predicted", "right", "found"):
        np.testing.assert_array_equal(getattr(apart, name), getattr(both, name))
    assert apart.break_even() == both.break_even()
    if both.reference:
        assert 0 <= both.break_even() <= 1
