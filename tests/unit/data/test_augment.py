"""Augmentation of patches."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.data.augment import Augmentation
from maskmill.errors import MaskmillError
from tests.unit.training_data import draw_sample

GEOMETRY = {"flip": 0.5, "rotate90": 0.5}
ALL = GEOMETRY | {"affine": 1, "noise": 1, "brightness_contrast": 1, "gamma": 1}
SHAPES = {"picture": (1, 48, 48), "oblong": (1, 32, 48), "flat volume": (6, 40, 40), "volume": (24, 24, 24)}
BLOCK = 4


def patch(channels=3, size=64):
    image, labels = draw_sample(3, size, classes=2, channels=channels)
    return image[np.newaxis].astype(np.float32) / 255, labels[np.newaxis]


def coordinates(shape):
    """A patch whose values are its pixels' places (slice, row, column), and labels that number blocks of pixels."""
    places = np.indices(shape)
    counts = [-(-length // BLOCK) for length in shape]
    blocks = np.ravel_multi_index(tuple(places // BLOCK), counts) % 251
    return np.moveaxis(places, 0, -1).astype(np.float32) / 64, blocks.astype(np.uint8), counts


def test_nothing_changes_unless_asked():
    unit, labels = patch()
    changed_unit, changed_labels = Augmentation()(unit, labels, seed=1)
    assert np.array_equal(changed_unit, unit)
    assert np.array_equal(changed_labels, labels)


@settings(max_examples=60)
@given(shape=st.sampled_from(list(SHAPES.values())), isotropic=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_flips_and_turns_move_labels_exactly_with_their_pixels(shape, isotropic, seed):
    unit, labels, counts = coordinates(shape)
    changed, moved = Augmentation(**GEOMETRY)(unit, labels, seed, isotropic)
    places = np.rint(changed * 64).astype(int)
    assert places.shape == (*shape, 3)
    assert len(np.unique(places.reshape(-1, 3), axis=0)) == labels.size
    assert np.array_equal(np.ravel_multi_index(tuple(np.moveaxis(places, -1, 0) // BLOCK), counts) % 251, moved)


@settings(max_examples=60)
@given(shape=st.sampled_from(list(SHAPES.values())), isotropic=st.booleans(), seed=st.integers(0, 2**31 - 1))
def test_affine_maps_move_labels_with_their_pixels(shape, isotropic, seed):
    unit, labels, counts = coordinates(shape)
    options = {"rotate_limit": 30, "scale_limit": 0.2, "shift_limit": 0.2}
    changed, moved = Augmentation(**GEOMETRY, affine=1, **options)(unit, labels, seed, isotropic)
    places = changed * 64
    near = np.zeros(shape, bool)  # linear against nearest neighbour: the label of a pixel at most one away in each axis
    for offset in product((-0.75, 0, 0.75), repeat=3):
        corner = np.clip(np.rint(places + offset), 0, np.array(shape) - 1).astype(int)
        near |= np.ravel_multi_index(tuple(np.moveaxis(corner, -1, 0) // BLOCK), counts) % 251 == moved
    assert near.all()


@pytest.mark.parametrize("seed", range(6))
def test_affine_maps_shift_no_border(seed):
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[0, 20:44, 12:40] = 1
    unit, changed = Augmentation(affine=1, rotate_limit=30)(labels[..., None].astype(np.float32), labels, seed)
    assert not np.array_equal(changed, labels)
    differing = (unit[..., 0] > 0.5) != (changed == 1)
    assert differing.sum() <= 16  # of 104 border pixels: linear against nearest-neighbour interpolation
    assert set(np.unique(changed)) <= {0, 1}


def reached(labels, isotropic, count):
    augmentation = Augmentation(**GEOMETRY)
    unit = labels[..., None].astype(np.float32)
    return {augmentation(unit, labels, seed, isotropic)[1].tobytes() for seed in range(count)}


def test_flips_and_turns_reach_all_positions():
    assert len(reached(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), False, 200)) == 8
    assert len(reached(np.arange(6, dtype=np.uint8).reshape(1, 2, 3), False, 200)) == 4
    cube = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    assert len(reached(cube, False, 200)) == 8
    assert len(reached(cube, True, 1500)) == 48


def test_slices_stay_in_their_order_unless_voxels_are_cubes():
    unit, labels, _ = coordinates((6, 24, 24))
    pages = np.arange(6, dtype=np.float32)[:, None, None]
    augmentation = Augmentation(flip=1, rotate90=1, affine=1)
    for seed in range(10):
        changed, _ = augmentation(unit, labels, seed)
        np.testing.assert_allclose(changed[..., 0] * 64, pages + np.zeros((6, 24, 24)), atol=1e-3)
    assert any(augmentation(unit, labels, seed, True)[0][..., 0].std(axis=(1, 2)).max() > 0.01 for seed in range(10))


@pytest.mark.parametrize("depth", [1, 7])
def test_affine_maps_mirror_what_lies_outside(depth):
    labels = np.full((depth, 32, 32), 3, np.uint8)
    unit = np.ones((depth, 32, 32, 1), np.float32)
    for seed, isotropic in product(range(5), (False, True)):
        augmentation = Augmentation(affine=1, rotate_limit=45, shift_limit=0.5)
        changed_unit, changed_labels = augmentation(unit, labels, seed, isotropic)
        assert (changed_labels == 3).all()
        np.testing.assert_allclose(changed_unit, 1, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("depth", [1, 8])
def test_shapes_types_and_range_are_kept(channels, depth):
    random = np.random.default_rng(0)
    unit = random.random((depth, 32, 32, channels), np.float32)
    for isotropic in (False, True):
        changed, labels = Augmentation(**ALL)(unit, np.zeros((depth, 32, 32), np.uint8), 5, isotropic)
        assert changed.shape == unit.shape
        assert changed.dtype == np.float32
        assert labels.shape == unit.shape[:3]
        assert labels.dtype == np.uint8
        assert changed.min() >= 0
        assert changed.max() <= 1


@pytest.mark.parametrize("name", ["noise", "brightness_contrast", "gamma"])
def test_intensity_changes_leave_labels_alone(name):
    unit, labels = patch()
    changed, changed_labels = Augmentation(**{name: 1})(unit, labels, seed=2)
    assert np.array_equal(changed_labels, labels)
    assert 1e-4 < np.abs(changed - unit).mean() < 0.25


@pytest.mark.parametrize("name", ["brightness_contrast", "gamma"])
def test_intensities_of_a_volume_change_all_alike(name):
    unit = np.tile(np.linspace(0, 1, 20, dtype=np.float32)[:, None], (6, 20, 1, 1))
    changed, _ = Augmentation(**{name: 1})(unit, np.zeros((6, 20, 20), np.uint8), seed=2)
    assert np.array_equal(changed, np.broadcast_to(changed[:1], changed.shape))


def test_noise_differs_from_slice_to_slice():
    unit = np.full((2, 20, 20, 1), 0.5, np.float32)
    changed, _ = Augmentation(noise=1)(unit, np.zeros((2, 20, 20), np.uint8), seed=2)
    assert not np.array_equal(changed[0], changed[1])


@pytest.mark.parametrize("isotropic", [False, True])
def test_the_seed_alone_decides(isotropic):
    random = np.random.default_rng(0)
    unit, labels = random.random((8, 8, 8, 2), np.float32), random.integers(0, 3, (8, 8, 8), np.uint8)
    augmentation = Augmentation(**ALL)
    first = augmentation(unit, labels, 1, isotropic)
    other = augmentation(unit, labels, 2, isotropic)
    again = Augmentation(**ALL)(unit, labels, 1, isotropic)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("name", ["flip", "rotate90", "affine", "noise"])
def test_impossible_values_are_refused(name):
    with pytest.raises(MaskmillError, match="augment options"):
        Augmentation(**{name: 1.5})
