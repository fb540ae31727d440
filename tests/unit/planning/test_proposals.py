"""What the training pictures propose, and why."""

from dataclasses import replace

import numpy as np
import pytest

from maskmill.planning.memory import MB, Footprint
from maskmill.planning.proposals import (
    Facts,
    fitted,
    fitting_shape,
    ohem_advice,
    propose_batch_size,
    propose_class_shares,
    propose_class_weights,
    propose_depth,
    propose_dimensions,
    propose_foreground,
    propose_patch,
    propose_planar,
)
from tests.unit.plan_data import fingerprint


def facts(*arguments, **keywords) -> Facts:
    return Facts.of_fold(fingerprint(*arguments, **keywords), 0)


def test_volumes_are_looked_at_in_three_dimensions():
    assert propose_dimensions(facts()).value == 2
    assert propose_dimensions(facts((30, 64, 64))).value == 3


@pytest.mark.parametrize(
    ("extents", "side", "depth", "words"),
    [
        ((20, 60), 256, 3, "4 levels sees 68 pixels, enough for the objects, 95 % of which are at most 60 pixels long"),
        ((20, 69), 256, 4, "5 levels sees 140 pixels"),
        ((20, 900), 256, 5, "further levels add little"),
        ((20, 900), 128, 5, "further levels add little"),
        ((20, 900), 127, 4, "a patch of 127 allows no more"),
        ((20, 20), 16, 2, "enough"),
        ((20, 20), 3, 1, "allows no more"),
    ],
)
def test_depth_follows_the_objects_as_far_as_the_patch_allows(extents, side, depth, words):
    proposal = propose_depth(facts(extents=extents), (1, side, side), None)

    assert proposal.value == depth
    assert words in proposal.reason


def test_a_patch_that_is_said_limits_depth_by_how_often_it_can_be_halved():
    large = facts(extents=(400, 400))

    assert propose_depth(large, (1, 256, 256), (1, 256, 256)).value == 5
    assert propose_depth(large, (1, 256, 256), (1, 136, 256)).value == 3
    assert propose_depth(large, (1, 256, 256), (1, 131, 131)).value == 1


@pytest.mark.parametrize(
    ("shape", "spacing", "depth", "planar", "words"),
    [
        ((64, 64, 64), (1, 1, 1), 4, 0, "slices are as far apart as pixels: every step goes in all directions"),
        ((64, 64, 64), (1.4, 1, 1), 4, 0, "every step"),
        ((64, 64, 64), (1.5, 1, 1), 4, 1, "1.5 times"),
        ((64, 64, 64), (5, 1.5, 1), 4, 2, "4 times"),
        ((64, 64, 64), (50, 1, 1), 3, 3, "50 times"),
        ((64, 64, 64), (1, 3, 3), 3, 0, "every step"),
        ((64, 64, 64), None, 4, 0, "the volumes do not say"),
        ((10, 64, 64), None, 4, 3, "but of 10 in a patch, 4 are to be left"),
        ((3, 64, 64), (1, 1, 1), 4, 4, "but of 3 in a patch"),
    ],
)
def test_steps_stay_in_plane_where_slices_are_far_apart_or_few(shape, spacing, depth, planar, words):
    proposal = propose_planar(facts(shape, spacing), 3, shape, depth, None)

    assert proposal.value == planar
    assert words in proposal.reason


def test_steps_in_plane_fit_a_patch_that_is_said():
    assert propose_planar(facts((64, 64, 64)), 3, (64, 64, 64), 4, (12, 64, 64)).value == 3
    assert propose_planar(facts((64, 64, 64)), 3, (64, 64, 64), 4, (13, 64, 64)).value == 4
    assert propose_planar(facts(), 2, (1, 64, 64), 4, None).value == 0


def test_a_patch_of_pictures_is_a_square_of_at_most_256_pixels():
    assert fitting_shape(facts((1, 512, 700)), 2, 2**16) == (1, 256, 256)
    assert fitting_shape(facts((1, 200, 700)), 2, 2**16) == (1, 200, 200)
    assert fitting_shape(facts((1, 512, 512)), 2, 128**2) == (1, 128, 128)
    assert fitting_shape(facts((40, 90, 512)), 2, 2**16) == (1, 90, 90)


def test_a_patch_of_volumes_reaches_equally_far_in_all_directions_of_space():
    shape = fitting_shape(facts((200, 500, 400), (4, 1, 1)), 3, 2**20)
    np.testing.assert_allclose(shape, (40.3, 161.3, 161.3), atol=0.1)
    assert np.prod(shape) == pytest.approx(2**20, rel=1e-6)

    shape = fitting_shape(facts((10, 500, 400), (4, 1, 1)), 3, 2**20)
    np.testing.assert_allclose(shape, (10, 323.8, 323.8), atol=0.1)

    assert fitting_shape(facts((36, 50, 35), (1, 1, 1)), 3, 2**20) == pytest.approx((36, 50, 35))


@pytest.mark.parametrize(
    ("picture", "dimensions", "shape", "stride", "voxels", "size"),
    [
        ((36, 50, 35), 3, (36, 50, 35), (8, 8, 8), 2**20, (40, 56, 40)),
        ((200, 500, 400), 3, (40.3, 161.3, 161.3), (8, 32, 32), 2**20, (40, 160, 160)),
        ((60, 70, 70), 3, (60, 70, 70), (16, 16, 16), 60 * 70 * 70, (48, 64, 64)),
        ((1, 200, 700), 2, (1, 200, 200), (1, 16, 16), 2**16, (1, 208, 208)),
        ((1, 512, 700), 2, (1, 256, 256), (1, 32, 32), 2**16, (1, 256, 256)),
        ((1, 5, 700), 2, (1, 5, 5), (1, 8, 8), 2**16, (1, 16, 16)),
    ],
)
def test_a_patch_is_a_multiple_of_the_stride_and_reaches_the_edges_of_small_pictures(
    picture, dimensions, shape, stride, voxels, size
):
    assert fitted(facts(picture), dimensions, shape, stride, voxels) == size


def test_a_patch_says_what_it_cuts_and_what_limits_it():
    proposal = propose_patch(facts(extents=(60, 300)), (1, 256, 256), 2, 16, by_memory=False)
    assert proposal.value == [1, 256, 256]
    assert "the median picture has 512 x 512 pixels" in proposal.reason
    assert "Objects of road may be larger: preprocess.scale" in proposal.reason

    assert "16 patches fit" in propose_patch(facts(), (1, 64, 64), 2, 16, by_memory=True).reason


def footprint(megabytes_a_patch: float) -> Footprint:
    return Footprint(0, 0, 0, 0, int(megabytes_a_patch * MB), 0, 0)


@pytest.mark.parametrize(
    ("samples", "megabytes", "value", "words"),
    [
        (400, 100, 16, "the most that is of use"),
        (400, 1000, 4, "as many as fit into 7,000 MB"),
        (400, 6000, 2, "12,000 MB may be more than there is"),
        (30, 100, 4, "no more than 5 % of the training pixels"),
        (2, 100, 2, "but at least 2 patches"),
    ],
)
def test_a_batch_fits_into_memory_and_is_a_small_part_of_the_data(samples, megabytes, value, words):
    proposal = propose_batch_size(facts(samples=samples), (1, 256, 256), footprint(megabytes))

    assert proposal.value == value
    assert words in proposal.reason


@pytest.mark.parametrize(("roof", "share"), [(0.3, 0.5), (0.1, 0.5), (0.09, 0.67), (0.005, 0.8), (0, 0.8)])
def test_more_patches_show_foreground_where_it_is_rare(roof, share):
    proposal = propose_foreground(facts(fractions=(1 - roof, roof, 0)))

    assert proposal.value == share
    assert f"{100 * roof:.3g} % of the training pixels" in proposal.reason


def test_classes_are_drawn_by_the_square_root_of_their_pictures():
    proposal = propose_class_shares(facts(pictures=(16, 4)))
    np.testing.assert_allclose(proposal.value, [2 / 3, 1 / 3], atol=1e-4)
    assert "roof in 16, road in 4" in proposal.reason

    assert propose_class_shares(facts(pictures=(16, 0))).value == [1, 0]
    assert propose_class_shares(facts(pictures=(0, 0))).value == [0.5, 0.5]
    assert propose_class_shares(replace(facts(), classes=("roof",), pictures=(7,))).value == [1]


def test_class_weights_are_inverse_roots_of_frequency_of_mean_one():
    weights = propose_class_weights(facts(fractions=(0.64, 0.32, 0.04))).value
    np.testing.assert_allclose(np.divide(weights, weights[0]), [1, np.sqrt(2), 4], atol=0.01)
    assert np.mean(weights) == pytest.approx(1, abs=1e-3)

    weights = propose_class_weights(facts(fractions=(0.9999, 0.0001, 0))).value
    np.testing.assert_allclose(np.divide(weights, weights[0]), [1, 10, 10], rtol=0.01)


def test_hard_examples_are_mined_where_foreground_is_very_rare():
    assert "ohem: 0.25" in ohem_advice(facts(fractions=(0.995, 0.005, 0)))
    assert "ohem: 1}" in ohem_advice(facts())
