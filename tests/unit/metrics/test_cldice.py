"""clDice by hand, and where it differs from Dice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from maskmill.metrics.cldice import cldice


def bar(left: int, right: int, thickness: int = 1, shape: tuple[int, ...] = (9, 30)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[..., 4 - thickness // 2 : 4 + (thickness + 1) // 2, left:right] = True
    return mask


def test_lines_by_hand():
    # 15 of 20 pixels of the predicted line lie in the reference, 15 of 15 of the reference's in the prediction
    assert cldice(bar(0, 20), bar(5, 20)) == pytest.approx(2 * 0.75 / 1.75)


def test_thickness_hardly_counts():
    thin, thick = bar(2, 28, 1), bar(2, 28, 5)
    assert cldice(thin, thick) > 0.95
    assert 2 * (thin & thick).sum() / (thin.sum() + thick.sum()) < 0.4


def test_a_gap_counts_as_much_as_the_line_is_long():
    broken = bar(0, 30, 3)
    broken[:, 12:18] = False
    whole = bar(0, 30, 3)
    assert cldice(broken, whole) == pytest.approx(2 * 0.8 / 1.8, abs=0.03)


def test_empty_masks():
    line, nothing = bar(0, 20), bar(0, 0)
    assert (cldice(nothing, nothing), cldice(line, nothing), cldice(nothing, line)) == (None, 0, 0)


@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
def test_tubes_of_any_thickness_have_a_skeleton(thickness):
    tube, shorter = np.zeros((2, 9, 9, 40), bool)
    tube[2 : 2 + thickness, 3 : 3 + thickness, 2:38] = True
    shorter[2 : 2 + thickness, 3 : 3 + thickness, 2:20] = True
    assert cldice(tube, tube) == 1
    assert cldice(shorter, tube) == pytest.approx(2 * 0.5 / 1.5, abs=0.03)


@given(arrays(bool, (7, 8)), arrays(bool, (7, 8)))
def test_scores_lie_between_0_and_1_whichever_comes_first(a, b):
    score = cldice(a, b)
    assert score == cldice(b, a)
    assert score is None or 0 <= score <= 1
    assert cldice(a, a) == (1 if a.any() else None)


@given(arrays(bool, (3, 5, 6)))
def test_a_perfect_prediction_of_a_volume(a):
    assert cldice(a, a) == (1 if a.any() else None)


def test_a_plate_that_thinning_deletes_is_its_own_skeleton():
    plate = np.ones((3, 1, 3), bool)
    plate[2, 0, 2] = False
    larger = np.ones((3, 1, 3), bool)

    assert cldice(plate, plate) == 1
    assert 0 < cldice(plate, larger) <= 1
