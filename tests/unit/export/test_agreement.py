"""Scores of masks and their differences, by hand on tiny arrays."""

import numpy as np
import pytest

from maskmill.export.agreement import compare, score

TRUTH = np.array([[[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [255, 255, 0, 0]]], np.uint8)
PROBABILITIES = np.zeros((2, 1, 4, 4), np.uint8)


def test_differences_are_those_of_each_class_scores():
    first, second = TRUTH.copy(), TRUTH.copy()
    first[0, 3, :2] = second[0, 3, :2] = 0
    second[0, 0, 3] = 1  # found 3 columns away from the rest, 2 from it
    changed = PROBABILITIES.copy()
    changed[0, 0, 0, 3] = 51
    masks = first, second

    scores = tuple(score(mask, TRUTH, 2, None) for mask in masks)
    found = compare("a", (PROBABILITIES, changed), masks, TRUTH != 255, scores, ["one", "two"])

    assert found.probability_difference == pytest.approx(51 / 255)
    assert found.mask_disagreement == 1 / 16
    assert found.classes["one"]["iou_difference"] == pytest.approx(1 - 4 / 5)
    assert found.classes["one"]["dice_difference"] == pytest.approx(1 - 8 / 9)
    # distances to the reference are 0, 0, 0, 0 and 2; the 95th percentile of five is 0.8 of the way to the last
    assert found.classes["one"]["hd95_difference"] == pytest.approx(0.8 * 2, abs=1e-6)
    assert found.classes["two"] == dict.fromkeys(("iou_difference", "dice_difference", "hd95_difference"))
    assert found.largest("iou_difference") == (pytest.approx(0.2), "one")
    assert found.largest("mask_disagreement") == (1 / 16, None)


def test_ignored_pixels_do_not_count():
    other = TRUTH.copy()
    first = np.where(TRUTH == 255, 0, TRUTH).astype(np.uint8)
    other[0, 3, :2] = 1

    scores = tuple(score(mask, TRUTH, 1, None) for mask in (first, other))
    found = compare("a", (PROBABILITIES, PROBABILITIES), (first, other), TRUTH != 255, scores, ["one"])

    assert found.mask_disagreement == 0
    assert set(found.classes["one"].values()) == {0}


def test_distances_are_in_the_unit_of_the_spacing():
    truth = np.zeros((3, 4, 4), np.uint8)
    truth[0] = 1
    mask = np.zeros_like(truth)
    mask[1] = 1

    (found,) = score(mask, truth, 1, (2.5, 1.0, 1.0))

    assert found.hd95 == pytest.approx(2.5)
    assert found.iou == 0
