"""Object metrics on arrays small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from maskmill.metrics.instance import number_components, object_overlaps

numbers = arrays(np.int32, (5, 6), elements={"min_value": 0, "max_value": 4})


def image(*rows: str) -> np.ndarray:
    return np.array([[int(pixel) for pixel in row] for row in rows])


def test_matches_by_hand():
    # IoU 3/4, 2/4 (no match: not greater than 0.5), and one object each without a partner
    reference, prediction = image("11110222003"), image("11100022200")
    overlaps = object_overlaps(prediction, reference)
    assert sorted(overlaps.iou.tolist()) == [0.5, 0.75]
    assert overlaps.average_precision(0.5) == pytest.approx(1 / (1 + 1 + 2))
    assert overlaps.average_precision(0.75) == 0
    assert overlaps.mean_average_precision() == pytest.approx(5 * 0.25 / 10)
    assert overlaps.sq == 0.75
    assert overlaps.rq == pytest.approx(1 / (1 + 1 / 2 + 2 / 2))
    assert overlaps.pq == pytest.approx(0.75 * 0.4)
    assert overlaps.aji() == pytest.approx((3 + 2) / (4 + 4 + 1))


def test_two_objects_merged_are_one_match_at_most():
    merged = object_overlaps(image("1111111"), image("1111022"))
    assert (merged.rq, merged.sq) == (pytest.approx(2 / 3), pytest.approx(4 / 7))
    assert merged.aji() == pytest.approx((4 + 2) / (7 + 7))  # taken twice


def test_predicted_objects_never_taken_count_in_the_union():
    assert object_overlaps(image("110222"), image("110000")).aji() == pytest.approx(2 / 5)


def test_numbers_themselves_mean_nothing():
    a, b = image("1100220"), image("1110200")
    renamed = np.choose(a, [0, 65535, 7])
    assert object_overlaps(renamed, b).pq == object_overlaps(a, b).pq


def test_without_objects():
    some, none = image("0110"), image("0000")
    both = object_overlaps(none, none)
    assert (both.pq, both.sq, both.rq, both.aji()) == (None, None, None, None)
    assert (both.average_precision(), both.mean_average_precision()) == (None, None)
    for pair in ((some, none), (none, some)):
        one = object_overlaps(*pair)
        assert (one.pq, one.sq, one.rq, one.aji(), one.average_precision()) == (0, None, 0, 0, 0)


@given(numbers)
def test_a_perfect_prediction(reference):
    overlaps = object_overlaps(reference, reference)
    expected = 1 if reference.any() else None
    assert (overlaps.pq, overlaps.aji(), overlaps.mean_average_precision()) == (expected,) * 3


@given(numbers, numbers)
def test_scores_lie_between_0_and_1(prediction, reference):
    overlaps = object_overlaps(prediction, reference)
    assert overlaps.predicted.sum() == np.count_nonzero(prediction)
    for score in (overlaps.pq, overlaps.rq, overlaps.aji(), overlaps.mean_average_precision()):
        assert score is None or 0 <= score <= 1


def test_components_touch_at_corners():
    mask = image("100", "010", "001") > 0
    assert number_components(mask).max() == 1
    assert number_components(np.stack([mask, ~mask])).max() == 1
    assert number_components(image("101") > 0).max() == 2
