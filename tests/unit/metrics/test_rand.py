"""V-Rand and V-Info on arrays small enough to count by hand."""

from math import log

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from maskmill.imaging.images import read_label_png
from maskmill.metrics.rand import THRESHOLDS, CellAgreement, compare_borders, compare_cells, thinned_cells


def image(*rows: str) -> np.ndarray:
    return np.array([[int(pixel) for pixel in row] for row in rows])


def test_a_merge_of_two_halves_by_hand():
    reference, merged = image("1111", "2222"), image("1111", "1111")
    agreement = compare_cells(merged, reference)
    assert (agreement.together, agreement.reference, agreement.predicted) == (32, 32, 64)
    assert agreement.v_rand == pytest.approx(2 / 3)
    assert agreement.v_info == 0  # one cell says nothing of the two
    assert compare_cells(reference, merged).v_rand == pytest.approx(2 / 3)


def test_a_split_by_hand():
    reference, split = image("111111"), image("112222")
    agreement = compare_cells(split, reference)
    assert agreement.v_rand == pytest.approx(2 * 20 / (36 + 20))
    two = compare_cells(image("112233"), image("111122"))
    halves = 1 / 3 * log(3) + 2 / 3 * log(3 / 2)
    assert two.v_info == pytest.approx(2 * halves / (halves + log(3)))


def test_pixels_on_predicted_lines_are_cells_of_their_own():
    agreement = compare_cells(image("11011"), image("11111"))
    assert (agreement.together, agreement.reference, agreement.predicted) == (17, 25, 17)
    cell, line = compare_cells(image("11022"), image("11133")), compare_cells(image("11422"), image("11133"))
    assert cell == line


def test_borders_of_the_reference_do_not_count():
    full = compare_cells(image("1111222"), image("1110222"))
    assert (full.v_rand, full.v_info) == (1, 1)


def test_one_cell_in_both_agrees():
    agreement = compare_cells(image("111"), image("111"))
    assert (agreement.v_rand, agreement.v_info) == (1, 1)


def test_without_a_cell_in_the_reference_both_are_undefined():
    agreement = compare_cells(image("111"), image("000"))
    assert (agreement, agreement.v_rand, agreement.v_info) == (CellAgreement(), None, None)


def test_borders_are_thinned_to_the_line_in_their_middle():
    borders = image("000111000", "000111000", "000111000") > 0
    np.testing.assert_array_equal(thinned_cells(borders), image("111102222", "111102222", "111102222"))
    assert not thinned_cells(np.ones((3, 4), bool)).any()
    np.testing.assert_array_equal(thinned_cells(np.zeros((3, 4), bool)), 1)


def test_cells_are_connected_along_edges_not_at_corners():
    borders = image("0011", "0011", "1100", "1100") > 0
    agreement = compare_borders(borders[None], borders[None], np.ones((1, 4, 4), bool))
    assert agreement.reference == 32


def test_the_width_of_borders_hardly_matters():
    thin, wide = np.zeros((2, 1, 21, 41), bool)
    thin[:, :, 20], wide[:, :, 15:26] = True, True
    agreement = compare_borders(wide, thin, np.ones(thin.shape, bool))
    assert (agreement.v_rand, agreement.v_info) == (1, 1)


def test_a_gap_in_a_border_merges_the_cells():
    whole, broken = np.zeros((2, 1, 20, 41), bool)
    whole[:, :, 20], broken[:, 5:, 20] = True, True
    agreement = compare_borders(broken, whole, np.ones(whole.shape, bool))
    assert agreement.v_rand == pytest.approx(2 / 3, abs=0.02)


@pytest.mark.real
def test_real_membranes_may_be_wide_but_not_broken(real_data):
    for number in (0, 10):
        borders = read_label_png(real_data / f"isbi2012_membrane/train/label/{number}.png")[np.newaxis] < 128
        everywhere = np.ones(borders.shape, bool)
        wide = cv2.dilate(borders[0].astype(np.uint8), np.ones((5, 5), np.uint8))[np.newaxis] > 0
        cells = [label(~mask[0], connectivity=1) for mask in (wide, borders)]
        assert compare_cells(*cells).v_rand < 0.9  # as it is without thinning
        assert compare_borders(wide, borders, everywhere).v_rand > 0.99
        broken = borders.copy()
        for row, column in np.random.default_rng(0).integers(0, 500, (40, 2)).tolist():
            broken[0, row : row + 12, column : column + 12] = False
        assert (broken != borders).mean() < 0.01
        assert compare_borders(broken, borders, everywhere).v_rand < 0.92


def test_slices_add_their_pairs_and_average_their_information():
    reference = np.stack([image("1111", "2222"), image("1111", "1111")])
    first, second = (compare_cells(np.ones((2, 4), int), page) for page in reference)
    both = first + second
    assert both.v_rand == pytest.approx(2 * (32 + 64) / (32 + 64 + 64 + 64))
    assert both.v_info == pytest.approx((0 + 1) / 2)


def test_ignored_pixels_are_in_no_cell():
    borders, valid = np.zeros((2, 1, 4, 6), bool)
    valid[:, :, :3] = True
    assert compare_borders(borders, borders, valid).reference == 12**2


def test_thresholds_are_the_tenths_of_the_challenge():
    assert [level / 255 for level in THRESHOLDS] == pytest.approx(np.arange(0.1, 1, 0.1).tolist(), abs=0.002)


@given(arrays(np.uint8, (4, 5), elements={"max_value": 3}), arrays(np.uint8, (4, 5), elements={"max_value": 3}))
def test_scores_lie_between_0_and_1_and_are_1_for_the_same_cells(prediction, reference):
    agreement = compare_cells(prediction, reference)
    if (reference > 0).any():
        assert 0 <= agreement.v_rand <= 1
        assert -1e-9 <= agreement.v_info <= 1 + 1e-9
        same = compare_cells(reference, reference)
        assert (same.v_rand, same.v_info) == (1, pytest.approx(1))
