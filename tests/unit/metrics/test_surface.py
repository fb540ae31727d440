"""Distances of boundaries on arrays small enough to measure by hand, and what must hold for any mask."""

from math import hypot

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskmill.metrics.surface import boundary, boundary_iou, surface_distances

masks = arrays(bool, (9, 11))


def square(top: int, left: int, size: int, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + size, left : left + size] = True
    return mask


def test_boundary_is_the_ring_of_pixels_with_a_neighbour_outside():
    ring = square(10, 10, 4)
    ring[11:13, 11:13] = False
    np.testing.assert_array_equal(boundary(square(10, 10, 4)), ring)


def test_boundary_runs_along_the_frame_of_the_picture():
    expected = np.ones((4, 5), bool)
    expected[1:3, 1:4] = False
    np.testing.assert_array_equal(boundary(np.ones((4, 5), bool)), expected)


def test_boundary_f1_by_hand():
    reference = np.zeros((1, 20), bool)
    reference[0, [0, 1, 2, 10]] = True
    prediction = np.zeros((1, 20), bool)
    prediction[0, [4, 10, 19]] = True
    distances = surface_distances(prediction, reference)
    np.testing.assert_array_equal(distances.to_reference, [2, 0, 9])
    np.testing.assert_array_equal(distances.to_prediction, [4, 3, 2, 0])
    precision, recall = 2 / 3, 2 / 4
    assert distances.boundary_f1(2) == pytest.approx(2 * precision * recall / (precision + recall))
    assert distances.nsd(2) == pytest.approx(4 / 7)
    assert distances.hd() == 9
    assert distances.assd() == pytest.approx((2 + 9 + 4 + 3 + 2) / 7)


def test_boundary_iou_by_hand():
    reference, prediction = square(2, 2, 12), square(2, 4, 12)
    # the bands, two pixels wide, are 12 × 12 − 8 × 8 = 80 pixels each. In the upper and lower two rows they share the
    # columns 4 to 13, 4 × 10 pixels; in the eight rows between them each stands beside the other's
    assert boundary_iou(prediction, reference, (2, 2)) == pytest.approx(40 / 120)


def test_the_band_is_two_per_cent_of_the_diagonal_and_at_least_a_pixel():
    shape = (300, 400)  # whose diagonal is 500
    reference, prediction = square(50, 50, 100, shape), square(50, 60, 100, shape)
    expected = boundary_iou(prediction, reference, (10, 10))
    assert surface_distances(prediction, reference).boundary_iou == expected
    assert surface_distances(prediction, reference, spacing=(0.1, 0.1)).boundary_iou == expected
    small = square(10, 10, 10), square(10, 11, 10)
    assert surface_distances(*small).boundary_iou == boundary_iou(*small, (1, 1))


def test_the_band_of_a_volume_is_as_wide_in_millimetres_along_every_axis():
    a, b = np.zeros((2, 20, 100, 100), bool)
    a[3:17, 20:80, 20:80], b[4:18, 22:82, 20:80] = True, True
    reach = (1, 3, 3)  # 2 % of the diagonal of 100 × 100 × 100 mm, in voxels of 5 × 1 × 1 mm
    assert surface_distances(a, b, spacing=(5, 1, 1)).boundary_iou == boundary_iou(a, b, reach)
    inner = np.zeros_like(a)
    inner[4:16, 23:77, 23:77] = True
    shifted = np.zeros_like(a)
    shifted[5:17, 25:79, 23:77] = True
    bands = a & ~inner, b & ~shifted
    assert boundary_iou(a, b, reach) == (bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum()


def test_the_band_runs_along_the_frame():
    whole = np.ones((10, 12), bool)
    assert boundary_iou(whole, whole, (2, 2)) == 1
    hollow = whole.copy()
    hollow[2:8, 2:10] = False
    assert boundary_iou(hollow, whole, (2, 2)) == 1  # what is deeper inside does not count


def test_tolerance_includes_its_own_distance():
    distances = surface_distances(square(10, 10, 1), square(13, 14, 1))
    assert distances.hd95() == 5
    assert distances.boundary_f1(5) == 1
    assert distances.boundary_f1(4.99) == 0


def test_hd95_is_the_larger_directed_percentile_interpolated_linearly():
    reference = np.zeros((1, 30), bool)
    reference[0, 0:21] = True
    prediction = np.zeros((1, 30), bool)
    prediction[0, 0] = True
    # from the reference: distances 0, 1, … 20, whose 95th percentile is 19; from the prediction: 0
    assert surface_distances(prediction, reference).hd95() == 19
    reference[0, 1:20] = False
    prediction[0, 29] = True
    # both ways: distances 0 and 9
    assert surface_distances(prediction, reference).hd95() == pytest.approx(0.95 * 9)


def test_spacing_stretches_distances():
    a, b = square(10, 10, 1), square(13, 14, 1)
    assert surface_distances(a, b, spacing=(2, 2)).hd95() == pytest.approx(10)
    assert surface_distances(a, b, spacing=(4, 0.5)).hd95() == pytest.approx(hypot(12, 2))
    assert surface_distances(a, ~a & a, spacing=(4, 0.5)).hd95() == pytest.approx(hypot(160, 25))


def test_boundary_of_a_volume_is_what_has_one_of_six_neighbours_outside():
    mask = np.zeros((6, 7, 8), bool)
    mask[1:5, 1:6, 1:7] = True
    shell = mask.copy()
    shell[2:4, 2:5, 2:6] = False
    np.testing.assert_array_equal(boundary(mask), shell)
    whole = np.ones((3, 4, 5), bool)
    whole[1, 1:3, 1:4] = False  # beyond the frame is outside
    np.testing.assert_array_equal(boundary(np.ones((3, 4, 5), bool)), whole)


def test_distances_in_a_volume_by_hand():
    a, b = np.zeros((2, 9, 10, 11), bool)
    a[1, 2, 3], b[3, 5, 3] = True, True
    assert surface_distances(a, b).hd95() == pytest.approx(hypot(2, 3))
    assert surface_distances(a, b, spacing=(2.5, 0.8, 0.7)).hd95() == pytest.approx(hypot(5, 2.4))
    assert surface_distances(a, b, spacing=(2.5, 0.8, 0.7)).boundary_f1(5.6) == 1
    assert surface_distances(a, a & b, spacing=(2.5, 0.8, 0.7)).hd95() == pytest.approx(hypot(22.5, 8, 7.7))


@given(masks, masks)
def test_thin_masks_have_in_a_stack_of_them_the_distances_that_they_have_in_a_picture(a, b):
    a, b = boundary(a), boundary(b)
    assume(np.array_equal(boundary(a), a) and np.array_equal(boundary(b), b))  # no pixel is surrounded
    stacks = [np.repeat(mask[None], 3, axis=0) for mask in (a, b)]

    flat, solid = surface_distances(a, b), surface_distances(*stacks)

    np.testing.assert_allclose(np.sort(solid.to_reference), np.sort(np.tile(flat.to_reference, 3)), rtol=1e-6)
    assert solid.boundary_f1(1.5) == pytest.approx(flat.boundary_f1(1.5))


def test_one_empty_mask_gives_the_diagonal_and_no_boundary_found():
    empty, some = square(0, 0, 0), square(10, 10, 4)
    for distances in (surface_distances(empty, some), surface_distances(some, empty)):
        assert distances.hd95() == pytest.approx(hypot(40, 50))
        assert (distances.hd(), distances.assd()) == (distances.hd95(), distances.hd95())
        assert (distances.boundary_f1(1000), distances.nsd(1000), distances.boundary_iou) == (0, 0, 0)


def test_both_empty_is_undefined():
    distances = surface_distances(square(0, 0, 0), square(0, 0, 0))
    assert (distances.hd95(), distances.hd(), distances.assd()) == (None, None, None)
    assert (distances.boundary_f1(2), distances.nsd(2), distances.boundary_iou) == (None, None, None)


def test_ignored_pixels_belong_to_neither_mask():
    valid = np.ones((40, 50), bool)
    valid[:, 30:] = False
    reference = square(10, 20, 10)
    prediction = square(10, 20, 10) | square(12, 30, 15)
    assert surface_distances(prediction, reference).hd95() > 5
    assert surface_distances(prediction, reference, valid).hd95() == 0
    assert surface_distances(prediction, reference, valid).to_reference.size == boundary(reference).sum()


@given(masks, masks)
def test_swapping_the_masks_changes_nothing(a, b):
    forth, back = surface_distances(a, b), surface_distances(b, a)
    assert forth.hd95() == back.hd95()
    assert forth.boundary_f1(1.5) == back.boundary_f1(1.5)
    assert (forth.nsd(1.5), forth.boundary_iou) == (back.nsd(1.5), back.boundary_iou)
    assert forth.assd() == (None if back.assd() is None else pytest.approx(back.assd()))


@given(masks, masks)
def test_distances_are_ordered(a, b):
    distances = surface_distances(a, b)
    assume(distances.hd() is not None)
    assert distances.assd() <= distances.hd() + 1e-6
    assert distances.hd95() <= distances.hd() <= distances.worst


@given(masks, masks, st.integers(0, 8), st.integers(0, 8))
def test_moving_both_masks_changes_nothing(a, b, down, right):
    assume(a.any() and b.any())
    here, there = (np.zeros((2, 20, 22), bool) for _ in range(2))
    here[0, 1:10, 1:12], here[1, 1:10, 1:12] = a, b
    there[0, 1 + down : 10 + down, 1 + right : 12 + right] = a
    there[1, 1 + down : 10 + down, 1 + right : 12 + right] = b
    assert surface_distances(*here).hd95() == surface_distances(*there).hd95()


@given(masks)
def test_perfect_prediction(a):
    distances = surface_distances(a, a)
    assert distances.hd95() == (0 if a.any() else None)
    assert distances.boundary_f1(0) == (1 if a.any() else None)
