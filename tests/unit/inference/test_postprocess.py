"""Thresholds, competing classes, small components."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.morphology import remove_small_objects

from maskmill.inference.banded import remove_small_components
from maskmill.inference.postprocess import OperatingPoint, decide_mask, threshold_level


def test_the_threshold_itself_counts_as_the_class():
    probabilities = np.array([[[[127, 128, 129]]]], np.uint8)

    assert threshold_level(0.5) == 128
    assert decide_mask(probabilities, OperatingPoint((0.5,), (0,))).tolist() == [[[0, 1, 1]]]


def test_the_class_that_exceeds_its_threshold_most_wins():
    probabilities = np.array([[[[100, 100, 20]]], [[[100, 140, 20]]]], np.uint8)
    equal = OperatingPoint((0.2, 0.2), (0, 0))
    first_favoured = OperatingPoint((0.2, 0.5), (0, 0))

    assert decide_mask(probabilities, equal).tolist() == [[[1, 2, 0]]]
    assert decide_mask(probabilities, first_favoured).tolist() == [[[1, 1, 0]]]


@given(arrays(np.uint8, (2, 3, 4, 5)), st.sampled_from([0.2, 0.35, 0.5, 0.8]))
def test_with_equal_thresholds_the_most_probable_class_wins(probabilities, threshold):
    mask = decide_mask(probabilities, OperatingPoint((threshold, threshold), (0, 0)))

    expected = np.where(probabilities.max(axis=0) >= threshold_level(threshold), probabilities.argmax(axis=0) + 1, 0)
    assert np.array_equal(mask, expected)


PICTURES = arrays(np.uint8, (1, 12, 14), elements=st.integers(0, 2))
VOLUMES = arrays(np.uint8, (4, 5, 7), elements=st.sampled_from([0, 0, 0, 1, 2]))


@given(PICTURES | VOLUMES, st.integers(0, 9))
def test_small_components_go_as_in_scikit_image(mask, area):
    expected = remove_small_objects(mask == 1, max_size=max(area - 1, 0), connectivity=3)

    cleaned = mask.copy()
    remove_small_components(cleaned, 1, area)

    assert np.array_equal(cleaned == 1, expected)
    assert np.array_equal(cleaned == 2, mask == 2)
