"""Resizing: averages are OpenCV's, enlarging is bilinear, and bands give what the whole gives."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.imaging.resampling import Resampling, resize_image, resize_labels, scaled_size

DTYPES = [np.uint8, np.uint16, np.int16, np.float32]


def values(seed, height, width, channels, dtype):
    noise = np.random.default_rng(seed).random((height, width, channels))
    return (noise if np.dtype(dtype).kind == "f" else noise * 250).astype(dtype)


sides = st.integers(1, 60)


@settings(max_examples=150)
@given(sides, sides, st.integers(1, 4), st.floats(0.1, 1), st.sampled_from(DTYPES))
def test_averages_are_those_of_opencv(height, width, channels, scale, dtype):
    image, size = values(1, height, width, channels, dtype), scaled_size(height, width, scale)

    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).reshape(*size, channels)

    assert np.array_equal(resize_image(image, *size), expected)


@settings(max_examples=150)
@given(sides, sides, st.floats(0.1, 3), st.sampled_from(DTYPES), st.lists(st.integers(0, 180), max_size=3))
def test_bands_are_parts_of_the_whole(height, width, scale, dtype, cuts):
    image, size = values(2, height, width, 2, dtype), scaled_size(height, width, scale)
    resampling = Resampling(image.shape[:2], size)
    cuts = sorted({0, size[0], *(cut for cut in cuts if cut < size[0])})

    bands = [resampling.rows(image[resampling.source_rows(start, stop)], start, stop) for start, stop in pairwise(cuts)]

    assert np.array_equal(np.concatenate(bands), resize_image(image, *size))


@settings(max_examples=100)
@given(st.integers(2, 40), st.floats(0.2, 3), st.data())
def test_a_source_row_is_seen_in_its_target_rows_alone(height, scale, data):
    image, size = values(3, height, 4, 1, np.float32), scaled_size(height, 4, scale)
    resampling, row = Resampling(image.shape[:2], size), data.draw(st.integers(0, height - 1))
    other = image.copy()
    other[row] += 1

    changed = np.flatnonzero((resize_image(other, *size) != resize_image(image, *size)).any(axis=(1, 2)))

    targets = resampling.target_rows(row, row + 1)
    assert set(changed) <= set(range(targets.start, targets.stop))
    complete = resampling.complete_rows(row)
    assert complete == sum(resampling.source_rows(number, number + 1).stop <= row for number in range(size[0]))


def test_enlarging_is_bilinear_between_pixel_centres():
    image = np.array([[[0.0], [4.0]]], np.float32)

    assert resize_image(image, 1, 4).ravel().tolist() == [0, 1, 3, 4]
    assert resize_image(image.transpose(1, 0, 2), 4, 1).ravel().tolist() == [0, 1, 3, 4]


def test_averages_weigh_pixels_by_their_share():
    image = np.array([[[3.0], [6.0], [9.0]]], np.float32)

    assert resize_image(image, 1, 2).ravel() == pytest.approx([4, 8])


def test_many_channels_are_reduced_as_few_are():
    image = values(4, 16, 12, 7, np.uint8)

    apart = [resize_image(image[..., [channel]], 8, 6) for channel in range(7)]

    assert np.array_equal(resize_image(image, 8, 6), np.concatenate(apart, axis=2))


def test_labels_take_the_nearest_class():
    labels = np.array([[1, 2, 3, 4]], np.uint8)

    assert resize_labels(labels, 1, 2).tolist() == [[2, 4]]
    assert resize_labels(labels, 1, 4) is labels
