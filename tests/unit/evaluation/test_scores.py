"""Scores of one picture, by hand and by the slowest way there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskmill.evaluation.scores import iou, threshold_curve


def test_iou_by_hand():
    assert iou(np.array([[True, True, False]]), np.array([[1, 0, 1]]), 1) == pytest.approx(1 / 3)
    assert iou(np.array([[True, True]]), np.array([[1, 255]]), 1) == 1  # ignored pixels do not count
    assert iou(np.array([[False, True]]), np.array([[0, 255]]), 1) is None


@given(arrays(np.uint8, (2, 1, 4, 5)), arrays(np.uint8, (1, 4, 5), elements=st.sampled_from([0, 1, 2, 255])))
def test_a_curve_is_the_iou_at_every_level(probabilities, reference):
    curve = threshold_curve(probabilities, reference)

    for index, level in ((0, 1), (0, 128), (1, 200), (1, 255)):
        expected = iou(probabilities[index] >= level, reference, index + 1)
        assert curve[index, level] == pytest.approx(np.nan if expected is None else expected, nan_ok=True)
