"""Scores of one picture, by hand and by the slowest way there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskmill.evaluation.scores import iou, panoptic_quality, threshold_curve

NUMBERS = arrays(np.int32, (1, 4, 5), elements=st.integers(0, 4))


def test_iou_by_hand():
    assert iou(np.array([[True, True, False]]), np.array([[1, 0, 1]]), 1) == pytest.approx(1 / 3)
    assert iou(np.array([[True, True]]), np.array([[1, 255]]), 1) == 1  # ignored pixels do not count
    assert iou(np.array([[False, True]]), np.array([[0, 255]]), 1) is None


def test_panoptic_quality_by_hand():
    reference = np.array([[[1, 1, 1, 0, 2, 2, 0, 3]]])
    predicted = np.array([[[7, 7, 0, 0, 5, 5, 5, 0]]])

    # both pairs at 2/3; two of two predicted, two of three annotated
    assert panoptic_quality(predicted, reference) == pytest.approx(2 * (2 / 3 + 2 / 3) / 5)
    assert panoptic_quality(np.zeros((1, 1, 3), int), np.zeros((1, 1, 3), int)) is None
    assert panoptic_quality(np.ones((1, 1, 3), int), np.zeros((1, 1, 3), int)) == 0
    assert panoptic_quality(np.array([[[1, 1]]]), np.array([[[1, 2]]])) == 0  # 0.5 is not above 0.5


@given(NUMBERS, NUMBERS)
def test_panoptic_quality_pair_by_pair(predicted, reference):
    found, annotated = (set(np.unique(numbers)) - {0} for numbers in (predicted, reference))
    overlaps = []
    for one in found:
        for other in annotated:
            union = ((predicted == one) | (reference == other)).sum()
            overlaps.append(((predicted == one) & (reference == other)).sum() / union)
    matched = [overlap for overlap in overlaps if overlap > 0.5]
    misses = (len(found) - len(matched)) / 2 + (len(annotated) - len(matched)) / 2

    if found or annotated:
        assert panoptic_quality(predicted, reference) == pytest.approx(sum(matched) / (len(matched) + misses))
    else:
        assert panoptic_quality(predicted, reference) is None


@given(arrays(np.uint8, (2, 1, 4, 5)), arrays(np.uint8, (1, 4, 5), elements=st.sampled_from([0, 1, 2, 255])))
def test_a_curve_is_the_iou_at_every_level(probabilities, reference):
    curve = threshold_curve(probabilities, reference)

    for index, level in ((0, 1), (0, 128), (1, 200), (1, 255)):
        expected = iou(probabilities[index] >= level, reference, index + 1)
        assert curve[index, level] == pytest.approx(np.nan if expected is None else expected, nan_ok=True)
