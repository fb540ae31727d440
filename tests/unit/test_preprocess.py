"""From stored values to the network's input."""

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.preprocess import Preprocessing, scaled_size

BASE = {
    "channels": 3,
    "scale": 1.0,
    "intensity_range": [0, 255],
    "intensity_floor": 0.0,
    "crop_border": False,
    "normalization": "dataset",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
}


def make(**changes):
    return Preprocessing.from_dict(BASE | changes)


def test_dictionary_round_trip():
    assert make().as_dict() == BASE


def test_a_window_clips_to_its_ends():
    ct = make(channels=1, intensity_range=[-160, 240])
    values = np.array([[[-1000], [-160], [40], [240], [3000]]], np.int16)

    assert ct.unit(values)[0, :, 0].tolist() == [0, 0, 0.5, 1, 1]


def test_low_intensities_become_zero_at_the_floor_and_not_above():
    values = np.array([[[0], [5], [6]]], np.uint8)

    unit = make(channels=1, intensity_floor=5 / 255).unit(values)

    assert unit[0, :, 0].tolist() == [0, 0, pytest.approx(6 / 255)]


def test_grey_pictures_fill_the_channels():
    assert make().unit(np.full((2, 2, 1), 255, np.uint8)).shape == (2, 2, 3)


def test_other_channels_are_refused():
    with pytest.raises(MaskmillError, match="4 channels where the model was trained on 3"):
        make().unit(np.zeros((2, 2, 4), np.uint8))


def test_normalising_by_the_data_set():
    preprocessing = make()
    unit = np.full((2, 2, 3), 0.75, np.float32)

    assert (preprocessing.normalize(unit, preprocessing.moments(unit)) == 1).all()


def test_normalising_by_the_picture_gives_zero_mean_and_unit_variance():
    preprocessing = make(normalization="image")
    unit = np.random.default_rng(0).random((50, 40, 3)).astype(np.float32)

    normal = preprocessing.normalize(unit, preprocessing.moments(unit))

    assert np.allclose(normal.mean(axis=(0, 1)), 0, atol=1e-5)
    assert np.allclose(normal.std(axis=(0, 1)), 1, atol=1e-4)


def test_an_all_black_picture_has_content_everywhere():
    unit = np.zeros((4, 6, 3), np.float32)

    assert make(crop_border=True).content_box(unit) == (slice(0, 4), slice(0, 6))


def test_sizes_round_half_up_and_stay_positive():
    assert scaled_size(5, 1, 0.5) == (3, 1)
    assert scaled_size(1, 1, 0.1) == (1, 1)
