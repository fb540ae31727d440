"""Which stored values become 0 and 1."""

import numpy as np
import pytest

from maskmill.data.intensities import choose_intensities

AUTO = {"window": None, "intensities": "auto"}


def choose(*pictures, dtypes=("uint16",), **options):
    """The choice for pictures, each a list of (low, high), one a channel."""
    return choose_intensities(np.array(pictures, np.float64), dtypes, AUTO | options)


def test_eight_bits_use_their_whole_range():
    choice = choose([(3, 99), (7, 200)], dtypes=["uint8"])
    assert choice.ranges == ((0, 255), (0, 255))
    assert choice.kind == "8-bit"


def test_a_window_wins():
    for intensities in ("auto", "dataset", "image"):
        choice = choose([(0, 1), (0, 1)], window=[40, 400], intensities=intensities, dtypes=["int16", "uint8"])
        assert choice.ranges == ((-160, 240), (-160, 240))
        assert choice.kind == "window"


def test_what_is_said_is_done():
    pictures = [[(5, 10)], [(0, 900)]]
    assert choose(*pictures, intensities="image", dtypes=["uint8"]).ranges is None
    assert choose(*pictures, intensities="dataset", dtypes=["uint8"]).ranges == ((0, 900),)


def test_alike_pictures_share_a_range_that_holds_them_all():
    choice = choose([(10, 110), (0, 1)], [(5, 130), (0, 1.5)], [(15, 100), (0, 1)])
    assert choice.ranges == ((5, 130), (0, 1.5))
    assert choice.kind == "dataset"


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        ([[(0, 100)], [(0, 201)]], "2.0 times"),
        ([[(0, 1), (0, 100)], [(0, 1), (0, 900)]], "9.0 times"),
        ([[(0, 100)], [(95, 195)]], "hardly overlap"),
        ([[(0, 100)]] * 8 + [[(0, 500)]] * 2, "5.0 times"),
    ],
)
def test_pictures_whose_ranges_differ_have_their_own(pictures, reason):
    choice = choose(*pictures)
    assert (choice.ranges, choice.kind) == (None, "image")
    assert reason in choice.reason


def test_one_empty_picture_of_many_decides_nothing():
    assert choose(*[[(100, 900)]] * 12, [(0, 1)]).ranges == ((0, 900),)
    assert choose(*[[(100, 900)]] * 12, [(0, 9000)]).ranges is None


def test_mixed_pixel_types_have_their_own_ranges():
    choice = choose([(0, 255)], [(0, 60000)], dtypes=["uint8", "uint16"])
    assert choice.ranges is None
    assert "uint16, uint8" in choice.reason
