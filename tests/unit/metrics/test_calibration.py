"""Calibration on counts small enough to work out by hand."""

import numpy as np
import pytest

from maskmill.metrics.calibration import calibration, join_reliability


def measured(levels: list[int], reference: list[int], valid: list[int] | None = None):
    valid = valid or [1] * len(levels)
    return calibration(np.array(levels, np.uint8), np.array(reference) > 0, np.array(valid) > 0)


def test_brier_score_by_hand():
    assert measured([255, 0, 51], [1, 1, 0]).brier() == pytest.approx((0 + 1 + 0.2**2) / 3)


def test_calibration_error_by_hand():
    # two pixels in the bin of 0.2 (mean probability 0.21, share 0.5), one at 1, which is right
    result = measured([51, 56, 255], [1, 0, 1])
    mean = (51 + 56) / 2 / 255
    assert result.ece() == pytest.approx(2 / 3 * (0.5 - mean))
    first, last = result.reliability()
    assert first == {"low": 0.2, "high": pytest.approx(4 / 15), "pixels": 2, "probability": mean, "share": 0.5}
    assert (last["low"], last["high"], last["pixels"], last["share"]) == (pytest.approx(14 / 15), 1, 1, 1)


def test_a_probability_on_the_limit_belongs_to_the_upper_bin():
    (row,) = measured([17], [0]).reliability()
    assert row["low"] == pytest.approx(1 / 15)


def test_ignored_pixels_do_not_count():
    assert measured([255, 0], [1, 1], [1, 0]).brier() == 0


def test_without_a_pixel_nothing_is_defined():
    nothing = measured([1], [1], [0])
    assert (nothing.brier(), nothing.ece(), nothing.reliability()) == (None, None, [])


def test_pictures_add_up():
    both = measured([10, 20], [0, 1]) + measured([20, 250], [0, 1])
    whole = measured([10, 20, 20, 250], [0, 1, 0, 1])
    assert (both.brier(), both.ece()) == (whole.brier(), whole.ece())


def test_confidence_that_holds_is_calibrated():
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 256, 200_000).astype(np.uint8)
    truth = generator.random(levels.shape) < levels / 255
    everywhere = np.ones(levels.shape, bool)
    assert calibration(levels, truth, everywhere).ece() < 0.01
    assert calibration(levels, generator.random(levels.shape) < 0.5, everywhere).ece() > 0.2


def test_tables_of_several_models_are_those_of_their_pixels_together():
    first, second = measured([51, 56, 255], [1, 0, 1]), measured([51, 0, 130], [0, 0, 1])

    joined = join_reliability([first.reliability(), second.reliability()])

    together = (first + second).reliability()
    assert [row["pixels"] for row in joined] == [row["pixels"] for row in together]
    for row, expected in zip(joined, together, strict=True):
        assert row == pytest.approx(expected)
