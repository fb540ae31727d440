"""Counts and ratios of overlap on arrays small enough to count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from maskmill.metrics.overlap import Confusion, confusion

masks = arrays(bool, (6, 7))


def mask(*rows: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def test_counts_by_hand():
    prediction, reference = mask("##..", "#...", "...#"), mask(".##.", "#...", "....")
    counts = confusion(prediction, reference)
    assert counts == Confusion(tp=2, fp=2, fn=1, tn=7)
    assert counts.iou == pytest.approx(2 / 5)
    assert counts.dice == pytest.approx(4 / 7)
    assert counts.precision == pytest.approx(1 / 2)
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.specificity == pytest.approx(7 / 9)
    assert counts.accuracy == pytest.approx(9 / 12)


def test_ignored_pixels_count_as_neither():
    prediction, reference = mask("##.."), mask("#..#")
    assert confusion(prediction, reference, valid=mask("#.#.")) == Confusion(1, 0, 0, 1)


def test_both_empty_is_undefined():
    counts = confusion(mask("..."), mask("..."))
    assert (counts.iou, counts.dice, counts.precision, counts.recall) == (None, None, None, None)


def test_rightly_finding_nothing_is_accurate_and_specific():
    counts = confusion(mask("..."), mask("..."))
    assert (counts.specificity, counts.accuracy) == (1, 1)


def test_specificity_is_undefined_where_all_is_the_class_and_accuracy_where_no_pixel_counts():
    counts = confusion(mask("##."), mask("###"))
    assert (counts.specificity, counts.accuracy) == (None, pytest.approx(2 / 3))
    assert confusion(mask("##."), mask("###"), valid=mask("...")).accuracy is None


def test_found_where_nothing_is_scores_zero_and_recall_is_undefined():
    counts = confusion(mask("##."), mask("..."))
    assert (counts.iou, counts.dice, counts.precision, counts.recall) == (0, 0, 0, None)


def test_nothing_found_scores_zero_and_precision_is_undefined():
    counts = confusion(mask("..."), mask("##."))
    assert (counts.iou, counts.dice, counts.precision, counts.recall) == (0, 0, None, 0)


@given(masks, masks)
def test_swapping_the_masks_swaps_precision_and_recall(a, b):
    forth, back = confusion(a, b), confusion(b, a)
    assert (forth.iou, forth.dice) == (back.iou, back.dice)
    assert (forth.precision, forth.recall) == (back.recall, back.precision)


@given(masks, masks, masks)
def test_dice_follows_from_iou(a, b, valid):
    counts = confusion(a, b, valid)
    if counts.iou is None:
        assert counts.dice is None
    else:
        assert counts.dice == pytest.approx(2 * counts.iou / (1 + counts.iou))


@given(masks)
def test_perfect_prediction(a):
    counts = confusion(a, a)
    assert counts.iou == (1 if a.any() else None)
