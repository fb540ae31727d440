"""Touching objects are told apart at their waists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from skimage.measure import label
from skimage.morphology import reconstruction

from maskmill.inference.splitting import _reconstruct, split_region


def discs(*middles, radius=10, size=(60, 60)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return [(rows - y) ** 2 + (columns - x) ** 2 <= radius**2 for y, x in middles]


def test_two_discs_are_cut_at_their_waist():
    first, second = discs((20, 20), (20, 37))

    objects = split_region((first | second)[np.newaxis], 1)[0]

    assert objects.max() == 2
    left, right = objects[20, 20], objects[20, 37]
    columns = np.arange(60)[np.newaxis]
    assert np.array_equal(objects == left, (first | second) & (columns < 28.5)) or (
        np.count_nonzero((objects == left) != ((first | second) & (columns < 28.5))) <= 4
    )
    assert np.array_equal((objects == left) | (objects == right), first | second)


def test_a_shallow_waist_is_left():
    first, second = discs((20, 20), (20, 28))

    assert split_region((first | second)[np.newaxis], 2).max() == 1


def test_an_object_at_the_edge_of_the_picture_is_one():
    (half,) = discs((0, 30))

    assert split_region(half[np.newaxis], 0.5).max() == 1


@given(arrays(bool, (1, 14, 15)))
def test_objects_fill_the_region_and_lie_in_one_component_each(region):
    objects = split_region(region, 0.5)
    components = label(region[0], connectivity=2)

    assert np.array_equal(objects > 0, region)
    for number in range(1, objects.max() + 1):
        assert len(np.unique(components[objects[0] == number])) == 1
    assert objects.max() >= components.max()


@pytest.mark.parametrize("seed", range(5))
def test_reconstruction_is_that_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 25)).astype(np.float32)
    marker = np.maximum(mask - np.float32(0.4), 0)

    np.testing.assert_array_equal(_reconstruct(marker, mask), reconstruction(marker, mask).astype(np.float32))
