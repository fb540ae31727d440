"""The guided filter against its definition window by window, and what refinement may change."""

import numpy as np
import pytest

from maskmill.inference.borders import brightness, guided_filter, refine_border
from maskmill.inference.morphology import border_band


def plain_guided_filter(values, guide, radius, smoothness):
    """Equations 5, 6 and 8 of He et al. by loops, mirrored at the edges."""
    margin = [(0 if length == 1 else 2 * radius,) * 2 for length in values.shape]
    values, guide = (np.pad(one.astype(float), margin, mode="symmetric") for one in (values, guide))
    slopes, offsets = np.zeros((2, *values.shape))
    windows = {}
    for place in np.ndindex(values.shape):
        window = tuple(
            slice(max(0, at - radius), at + radius + 1) for at, length in zip(place, values.shape, strict=True)
        )
        windows[place] = window
        inside, seen = values[window].ravel(), guide[window].ravel()
        slopes[place] = np.mean((inside - inside.mean()) * (seen - seen.mean())) / (seen.var() + smoothness)
        offsets[place] = inside.mean() - slopes[place] * seen.mean()
    result = np.array([slopes[w].mean() * guide[p] + offsets[w].mean() for p, w in windows.items()])
    inner = tuple(slice(before, -before or None) for before, _ in margin)
    return result.reshape(values.shape)[inner]


@pytest.mark.parametrize("shape", [(1, 9, 8), (5, 6, 5)])
def test_the_filter_is_that_of_the_paper(shape):
    rng = np.random.default_rng(0)
    values, guide = rng.random((2, *shape)).astype(np.float32)

    expected = plain_guided_filter(values, guide, 1, 0.01)

    np.testing.assert_allclose(guided_filter(values, guide, 1, 0.01), expected, atol=2e-5)


def test_a_flat_guide_gives_means_of_means():
    values = np.zeros((1, 1, 9), np.float32)
    values[..., 4] = 9

    filtered = guided_filter(values, np.full_like(values, 0.3), 1)

    np.testing.assert_allclose(filtered[0, 0], [0, 0, 1, 2, 3, 2, 1, 0, 0], atol=1e-4)


def test_the_border_goes_to_the_edge_of_the_picture():
    truth = np.zeros((1, 40, 40), bool)
    truth[0, 10:30, 10:30] = True
    shifted = np.roll(truth, 2, axis=2)
    image = np.where(truth, 200, 50)[..., np.newaxis].astype(np.uint8)
    probability = np.where(shifted, 200, 50).astype(np.uint8)

    refined = refine_border(shifted, probability, 128, brightness(image), radius=4)

    before, after = (np.count_nonzero(mask != truth) for mask in (shifted, refined))
    assert (before, after) == (80, 20)  # what is left is at the corners


def test_what_is_far_from_the_border_stays():
    region = np.zeros((1, 30, 30), bool)
    region[0, :, 15:] = True
    image = np.random.default_rng(1).integers(0, 255, (1, 30, 30, 3)).astype(np.uint8)
    probability = np.where(region, 10, 240).astype(np.uint8)  # says the opposite

    refined = refine_border(region, probability, 128, brightness(image), radius=2)

    assert np.array_equal(refined[..., :13], region[..., :13])
    assert np.array_equal(refined[..., 17:], region[..., 17:])
    assert not np.array_equal(refined, region)


@pytest.mark.parametrize("shape", [(1, 70, 80), (24, 30, 28)])
def test_only_what_is_near_the_border_is_looked_at(shape):
    rng = np.random.default_rng(2)
    region = np.zeros(shape, bool)
    region[tuple(slice(length // 2 - length // 6, length // 2 + 1) for length in shape)] = True
    guide = rng.random(shape, np.float32)
    probability = np.where(region, 160, 90).astype(np.uint8) + rng.integers(0, 60, shape, np.uint8)

    expected = np.where(border_band(region, 2), guided_filter(probability.astype(np.float32), guide, 2) >= 128, region)

    assert np.array_equal(refine_border(region, probability, 128, guide, 2), expected)
    assert not refine_border(np.zeros(shape, bool), probability, 128, guide, 2).any()


def test_brightness_is_relative_to_the_whole_picture():
    image = np.arange(2000, dtype=np.uint16).reshape(1, 40, 50, 1) + 500

    for stored in (image, image.astype(np.float32), np.repeat(image, 3, axis=-1)):
        np.testing.assert_allclose(brightness(stored)[0, 20, 0], 0.5, atol=0.001)
        assert (brightness(stored).min(), brightness(stored).max()) == (0, 1)
    assert not brightness(np.full((1, 4, 4, 1), 7)).any()
