"""Closing and opening against scikit-image, and at the picture's edge."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import morphology

from maskmill.inference.morphology import ball, border_band, close_region, open_region

REGIONS = arrays(bool, (1, 11, 13)) | arrays(bool, (5, 6, 7))
RADII = st.integers(1, 3)


def footprint(region, radius):
    return morphology.disk(radius)[np.newaxis] if len(region) == 1 else morphology.ball(radius)


@given(REGIONS, RADII)
def test_closing_is_that_of_scikit_image_in_a_wide_empty_surrounding(region, radius):
    margin = [(0 if len(region) == 1 else 6,) * 2, (6, 6), (6, 6)]

    expected = morphology.closing(np.pad(region, margin), footprint(region, radius))

    inner = tuple(slice(before, -before or None) for before, _ in margin)
    assert np.array_equal(close_region(region, radius), expected[inner])


@given(REGIONS, RADII)
def test_opening_is_closing_of_what_is_left(region, radius):
    expected = morphology.dilation(
        morphology.erosion(region, footprint(region, radius), mode="max"), footprint(region, radius), mode="min"
    )

    assert np.array_equal(open_region(region, radius), expected)


@given(REGIONS, RADII)
def test_closing_only_adds_and_opening_only_removes(region, radius):
    assert not (region & ~close_region(region, radius)).any()
    assert not (open_region(region, radius) & ~region).any()


@given(REGIONS, RADII)
def test_done_twice_is_done_once(region, radius):
    for step in (close_region, open_region):
        assert np.array_equal(step(step(region, radius), radius), step(region, radius))


def test_an_object_cut_by_the_edge_stays_and_none_is_drawn_to_it():
    region = np.zeros((1, 9, 9), bool)
    region[0, :5, :5] = True

    assert np.array_equal(open_region(region, 2)[0, :3, :3], np.ones((3, 3)))
    assert open_region(region, 2)[0, 0, 0]
    apart = np.zeros((1, 9, 9), bool)
    apart[0, 2:7, 2:7] = True
    assert np.array_equal(close_region(apart, 2), apart)


def test_a_ball_and_a_band_by_hand():
    assert ball(1, 2).tolist() == [[False, True, False], [True, True, True], [False, True, False]]
    region = np.zeros((1, 1, 8), bool)
    region[..., 4:] = True
    assert border_band(region, 1)[0, 0].tolist() == [False, False, False, True, True, False, False, False]
