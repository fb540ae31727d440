"""How unsure a network is of each pixel, and of a case."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import entropy

from maskmill.inference import entropy as module
from maskmill.inference.entropy import LISTED, EntropyMap, case_entropy, draw_entropy, least_confident, pixel_entropy
from maskmill.inference.sliding_window import Band


def test_one_class_is_a_question_with_two_answers():
    levels = np.array([[0, 51, 204, 255]], np.uint8)
    expected = entropy([[0.2], [0.8]], base=2)[0]
    np.testing.assert_allclose(pixel_entropy(levels), [0, expected, expected, 0], atol=1e-6)


def test_background_is_an_answer_too():
    sure, even, undecided = (0, 0), (85, 85), (0, 128)
    found = pixel_entropy(np.array([sure, even, undecided], np.uint8).T)
    np.testing.assert_allclose(found, [0, 1, np.log(2) / np.log(3)], atol=1e-4)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=3, max_side=4).map(lambda shape: (3, *shape))))
def test_entropy_is_that_of_scipy_where_probabilities_sum_to_one(levels):
    levels = levels // 3  # three classes together have at most 255
    rest = 255 - levels.sum(axis=0, dtype=int)
    expected = entropy(np.concatenate([rest[np.newaxis], levels]), base=4)
    np.testing.assert_allclose(pixel_entropy(levels), expected, atol=1e-5)


@given(arrays(np.uint8, (4, 6)))
def test_entropy_is_between_0_and_1_whatever_rounding_does(levels):
    found = pixel_entropy(levels)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()


def test_empty_background_does_not_drown_the_mean_of_a_case():
    small, large = np.zeros((1, 1, 4, 4), np.uint8), np.zeros((1, 1, 400, 400), np.uint8)
    small[0, 0, :2, :2] = large[0, 0, :2, :2] = 51
    expected = entropy([0.2, 0.8], base=2)

    for probabilities in (small, large):
        found = case_entropy(probabilities)
        assert found.mean == pytest.approx(expected, abs=1e-6)
        assert found.pixels == 4


def test_what_is_below_a_tenth_is_no_possible_foreground():
    levels = np.array([25, 26], np.uint8).reshape(1, 1, 1, 2)
    assert case_entropy(levels).pixels == 1


def test_a_case_without_possible_foreground_is_sure():
    assert case_entropy(np.full((2, 3, 4, 5), 3, np.uint8)) == module.CaseEntropy(0.0, 0, 0)


def test_the_slice_shown_is_the_one_with_the_most_entropy():
    probabilities = np.zeros((1, 3, 2, 2), np.uint8)
    probabilities[0, 1] = 250
    probabilities[0, 2, 0] = 128
    assert case_entropy(probabilities).page == 2


def test_a_case_is_the_same_in_parts(monkeypatch):
    probabilities = np.random.default_rng(0).integers(0, 128, (2, 2, 13, 7), np.uint8)
    whole, drawn = case_entropy(probabilities), draw_entropy(probabilities, 1)
    monkeypatch.setattr(module, "_PART_PIXELS", 15)
    in_parts = case_entropy(probabilities)
    assert (in_parts.pixels, in_parts.page) == (whole.pixels, whole.page)
    assert in_parts.mean == pytest.approx(whole.mean)
    np.testing.assert_array_equal(draw_entropy(probabilities, 1), drawn)
    np.testing.assert_array_equal(drawn, np.rint(pixel_entropy(probabilities[:, 1]) * 255))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 9))
def test_a_map_in_bands_of_any_height_has_every_nth_row_and_column(heights, width):
    values = np.random.default_rng(1).integers(0, 256, (1, sum(heights), width), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAP_SIDE", 4)
        drawn = EntropyMap(sum(heights), width)
        for top, height in zip(np.cumsum([0, *heights]), heights, strict=False):
            drawn.add(Band(0, int(top), values[:, top : top + height]))
    step = -(-max(sum(heights), width) // 4)
    assert max(drawn.levels.shape) <= 4
    np.testing.assert_array_equal(drawn.levels, np.rint(pixel_entropy(values) * 255)[::step, ::step])


def test_few_cases_are_listed_and_never_more_than_half():
    rows = [{"id": str(i), "confidence": 1 - i / 20} for i in range(12)]
    assert [row["id"] for row in least_confident(rows)] == ["11", "10", "9", "8"][:LISTED]
    assert len(least_confident(rows[:3])) == 2
    assert len(least_confident(rows[:1])) == 1
