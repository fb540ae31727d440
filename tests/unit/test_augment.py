"""Augmentation of patches."""

import numpy as np
import pytest

from maskmill.augment import Augmentation
from maskmill.errors import MaskmillError
from tests.unit.training_data import draw_sample

GEOMETRY = {"flip": 0.5, "rotate90": 0.5}
ALL = GEOMETRY | {"affine": 1, "noise": 1, "brightness_contrast": 1, "gamma": 1}


def patch(channels=3, size=64):
    image, labels = draw_sample(3, size, classes=2, channels=channels)
    return image.astype(np.float32) / 255, labels


def test_nothing_changes_unless_asked():
    unit, labels = patch()
    changed_unit, changed_labels = Augmentation()(unit, labels, seed=1)
    assert np.array_equal(changed_unit, unit)
    assert np.array_equal(changed_labels, labels)


@pytest.mark.parametrize("seed", range(8))
def test_flips_and_turns_move_labels_with_their_pixels(seed):
    _, labels = patch()
    unit, changed = Augmentation(**GEOMETRY)(labels[:, :, None].astype(np.float32) / 255, labels, seed)
    assert np.array_equal(np.rint(unit[:, :, 0] * 255), changed)


def test_flips_and_turns_reach_all_eight_positions():
    labels = np.array([[1, 2], [3, 4]], np.uint8)
    augmentation = Augmentation(flip=0.5, rotate90=0.5)
    unit = labels[:, :, None].astype(np.float32) / 255
    assert len({augmentation(unit, labels, seed)[1].tobytes() for seed in range(200)}) == 8


@pytest.mark.parametrize("seed", range(8))
def test_affine_maps_move_labels_with_their_pixels(seed):
    labels = np.zeros((64, 64), np.uint8)
    labels[20:44, 12:40] = 1
    unit, changed = Augmentation(affine=1, rotate_limit=30)(labels[:, :, None].astype(np.float32), labels, seed)
    assert not np.array_equal(changed, labels)
    differing = (unit[:, :, 0] > 0.5) != (changed == 1)
    assert differing.sum() <= 16  # of 104 border pixels: linear against nearest-neighbour interpolation
    assert set(np.unique(changed)) <= {0, 1}


def test_affine_maps_bring_in_mirror_images_not_black():
    unit, labels = np.ones((32, 32, 1), np.float32), np.full((32, 32), 3, np.uint8)
    for seed in range(5):
        changed_unit, changed_labels = Augmentation(affine=1, shift_limit=0.5)(unit, labels, seed)
        assert (changed_labels == 3).all()
        np.testing.assert_allclose(changed_unit, 1, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_shapes_types_and_range_are_kept(channels):
    random = np.random.default_rng(0)
    unit = random.random((32, 32, channels), np.float32)
    changed, labels = Augmentation(**ALL)(unit, np.zeros((32, 32), np.uint8), seed=5)
    assert changed.shape == unit.shape
    assert changed.dtype == np.float32
    assert labels.dtype == np.uint8
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("name", ["noise", "brightness_contrast", "gamma"])
def test_intensity_changes_leave_labels_alone(name):
    unit, labels = patch()
    changed, changed_labels = Augmentation(**{name: 1})(unit, labels, seed=2)
    assert np.array_equal(changed_labels, labels)
    assert 1e-4 < np.abs(changed - unit).mean() < 0.25


def test_the_seed_alone_decides():
    unit, labels = patch()
    augmentation = Augmentation(**ALL)
    first = augmentation(unit, labels, seed=1)
    other = augmentation(unit, labels, seed=2)
    again = Augmentation(**ALL)(unit, labels, seed=1)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_impossible_values_are_refused():
    with pytest.raises(MaskmillError, match="augment options"):
        Augmentation(flip=1.5)
