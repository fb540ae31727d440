"""Places of the classes in label images."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maskmill.data import places
from maskmill.data.places import class_slices, draw_place, find_places


@settings(max_examples=60)
@given(
    arrays.arrays(
        np.uint8,
        arrays.array_shapes(min_dims=3, max_dims=3, max_side=12),
        elements=st.sampled_from([0, 1, 2, 254, 255]),
    )
)
def test_places_lie_on_their_class_and_every_slice_that_shows_it_has_some(labels):
    pixels, found = find_places(labels)
    assert pixels == dict(Counter(labels.ravel().tolist()))
    assert found.shape[0] == 5
    assert found.dtype == np.int32
    assert (labels[found[1], found[2], found[3]] == found[0]).all()
    assert len(set(zip(*found[:4].tolist(), strict=True))) == found.shape[1]
    assert not np.isin(found[0], [0, 255]).any()
    for value in (1, 2, 254):
        assert class_slices(found, value).tolist() == np.flatnonzero((labels == value).any(axis=(1, 2))).tolist()
    for value, page, weight in found[[0, 1, 4]].T:
        assert weight == (labels[page] == value).sum()
    assert np.lexsort(found[3::-1]).tolist() == list(range(found.shape[1]))


def test_few_pixels_are_all_places():
    labels = np.zeros((2, 30, 30), np.uint8)
    labels[0, 3, 4], labels[1, 28:, 29] = 1, 1
    assert find_places(labels)[1].T.tolist() == [[1, 0, 3, 4, 1], [1, 1, 28, 29, 2], [1, 1, 29, 29, 2]]


def test_the_number_of_places_is_bounded_and_they_are_spread():
    labels = np.ones((1, 1200, 1000), np.uint8)
    labels[0, :600, :500] = 2
    _, found = find_places(labels)
    for value, count in ((1, 900_000), (2, 300_000)):
        one = found[:, found[0] == value]
        assert one.shape[1] == 1_200_000 // 4096
        ranks = np.searchsorted(np.flatnonzero(labels == value), one[2] * 1000 + one[3])
        assert np.array_equal(ranks * one.shape[1] // count, np.arange(one.shape[1]))  # one of each run of equal length
    columns = found[3, found[0] == 1]
    assert np.histogram(columns, 10, (0, 1000))[0].min() > 5


def test_places_do_not_depend_on_how_much_is_read_at_once(monkeypatch):
    labels = np.random.default_rng(0).integers(0, 3, (2, 70, 60), dtype=np.uint8)
    pixels, found = find_places(labels)
    monkeypatch.setattr(places, "_BAND", 97)
    again = find_places(labels)
    assert again[0] == pixels
    assert np.array_equal(again[1], found)


def test_nothing_but_background_has_no_place():
    pixels, found = find_places(np.zeros((3, 4, 5), np.uint8))
    assert pixels == {0: 60}
    assert found.shape == (5, 0)


def test_all_pixels_of_a_volume_are_alike_likely():
    labels = np.zeros((40, 64, 64), np.uint8)
    labels[3, :60, :60], labels[9, :30, :10] = 1, 1
    _, found = find_places(labels)
    random = np.random.default_rng(0)
    drawn = [draw_place(found, 1, None, random) for _ in range(2000)]
    assert all(labels[place] == 1 for place in drawn)
    assert sum(place[0] == 9 for place in drawn) == pytest.approx(2000 * 300 / 3900, abs=45)
    assert {draw_place(found, 1, 9, random)[0] for _ in range(50)} == {9}


def test_a_place_is_found_by_class_and_slice():
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[0, 1, 2], labels[2, 3, 4], labels[1] = 7, 7, 9
    _, found = find_places(labels)
    random = np.random.default_rng(0)
    assert draw_place(found, 7, 0, random) == (0, 1, 2)
    assert draw_place(found, 7, 2, random) == (2, 3, 4)
    assert len({draw_place(found, 9, None, random) for _ in range(300)}) == 25
