"""From stored values to the network's input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.imaging.lazy import scale_picture
from maskmill.imaging.resampling import scaled_size
from maskmill.inference import preprocess
from maskmill.inference.preprocess import Preprocessing, Survey, value_percentiles

BASE = {
    "channels": 3,
    "scale": 1.0,
    "intensity_ranges": [[0, 255], [0, 255], [0, 255]],
    "intensity_floor": 0.0,
    "crop_border": False,
    "normalization": "dataset",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
}


def make(**changes):
    return Preprocessing.from_dict(BASE | changes)


def ranges(*pairs):
    return np.array(pairs, np.float64)


@pytest.fixture
def narrow_bands(monkeypatch):
    """Pictures are looked at in bands of a row or two."""
    monkeypatch.setattr(preprocess, "_BAND", 50)


def test_dictionary_round_trip():
    assert make().as_dict() == BASE | {"pixel_types": []}, "where none were recorded"
    assert make(pixel_types=["int16", "uint8"]).as_dict() == BASE | {"pixel_types": ["int16", "uint8"]}
    assert make(intensity_ranges=None).as_dict()["intensity_ranges"] is None


def test_a_window_clips_to_its_ends():
    values = np.array([[-1000], [-160], [40], [240], [3000]], np.int16)
    assert make(channels=1).unit(values, ranges((-160, 240)))[:, 0].tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("dtype", ["uint32", "int64", "uint64", "float64"])
def test_large_values_that_lie_close_together_stay_apart(dtype):
    first = 2.0**31 if dtype != "int64" else -(2.0**31) - 1000
    image = (first + np.arange(1001)).astype(dtype).reshape(1, 1, -1, 1)
    unit = make(channels=1).unit(image, ranges((first, first + 1000)))
    assert unit.dtype == np.float32
    assert np.array_equal(unit.ravel(), np.arange(1001, dtype=np.float32) / np.float32(1000))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float16", "float32"])
def test_values_of_up_to_16_bits_or_in_single_precision_are_calculated_in_single_precision(dtype):
    image = (np.random.default_rng(0).random((1, 40, 50, 3)) * 120).astype(dtype)
    low, high = np.float32([[0.3, 1.7, 11.1], [99.9, 77.7, 101.3]])
    expected = np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)
    unit = make().unit(image, ranges((0.3, 99.9), (1.7, 77.7), (11.1, 101.3)))
    assert unit.tobytes() == expected.tobytes()


def test_each_channel_has_its_own_range():
    values = np.array([[10, 10, 10]], np.uint16)
    unit = make().unit(values, ranges((0, 10), (0, 20), (10, 20)))
    assert unit.tolist() == [[1, 0.5, 0]]
    assert unit.dtype == np.float32


def test_low_intensities_become_zero_at_the_floor_and_not_above():
    values = np.array([[0], [5], [6]], np.uint8)
    unit = make(channels=1, intensity_floor=5 / 255).unit(values, ranges((0, 255)))
    assert unit[:, 0].tolist() == [0, 0, pytest.approx(6 / 255)]


def test_grey_pictures_fill_the_channels():
    grey = np.random.default_rng(0).integers(0, 999, (1, 9, 9, 1), dtype=np.uint16)
    own = make(intensity_ranges=None)
    survey = own.survey(grey)
    assert survey.ranges.shape == (3, 2)
    unit = own.unit(grey, survey.ranges)
    assert unit.shape == (1, 9, 9, 3)
    assert np.array_equal(unit[..., 0], unit[..., 2])


def test_other_channels_are_refused():
    for action in (make().survey, lambda image: make().unit(image, ranges((0, 1)))):
        with pytest.raises(MaskmillError, match="4 channels where the model was trained on 3"):
            action(np.zeros((1, 2, 2, 4), np.uint8))


def test_normalising_by_the_data_set():
    preprocessing = make()
    survey = preprocessing.survey(np.zeros((1, 2, 2, 3), np.uint8))
    assert (preprocessing.normalize(np.full((1, 2, 2, 3), 0.75, np.float32), survey) == 1).all()


def test_normalising_by_the_picture_gives_zero_mean_and_unit_variance(narrow_bands):
    image = np.random.default_rng(0).integers(0, 255, (4, 12, 10, 3), dtype=np.uint8)
    normal, box = make(normalization="image").prepare(image)
    assert box == (slice(0, 4), slice(0, 12), slice(0, 10))
    assert normal.dtype == np.float32
    np.testing.assert_allclose(normal.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std(axis=(0, 1, 2)), 1, atol=1e-4)


def test_a_flat_picture_stays_flat():
    normal, _ = make(normalization="image").prepare(np.full((1, 3, 3, 3), 7, np.uint8))
    assert np.abs(normal).max() < 1e-3


def test_the_border_is_cropped_in_all_three_directions(narrow_bands):
    image = np.zeros((5, 9, 8, 3), np.uint8)
    image[1:4, 2:7, 3:6, 1] = 200
    preprocessing = make(crop_border=True, normalization="image")
    content, box = preprocessing.prepare(image)
    assert box == (slice(1, 4), slice(2, 7), slice(3, 6))
    assert content.shape == (3, 5, 3, 3)
    assert preprocessing.survey(image).mean == pytest.approx([0, 200 / 255, 0])


def test_an_all_black_picture_has_content_everywhere():
    survey = make(crop_border=True).survey(np.zeros((2, 4, 6, 3), np.uint8))
    assert survey.box == (slice(0, 2), slice(0, 4), slice(0, 6))


def test_a_survey_reads_nothing_where_all_is_known():
    class Untouchable:
        shape = (3, 4, 5, 3)

    assert make().survey(Untouchable()).box == (slice(0, 3), slice(0, 4), slice(0, 5))
    known = ranges((0, 1), (2, 3), (4, 5))
    assert np.array_equal(make(intensity_ranges=None).survey(Untouchable(), known).ranges, known)


@settings(max_examples=60)
@given(
    dtype=st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.int32, np.float32]),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 20), st.integers(1, 20), st.integers(1, 3)),
    seed=st.integers(0, 99),
)
def test_percentiles_are_those_of_the_values(dtype, shape, seed):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        image = random.normal(0, 1000, shape).astype(dtype)
    else:
        image = random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype)
    expected = np.quantile(image.reshape(-1, shape[-1]), preprocess.PERCENTILES, axis=0, method="inverted_cdf").T
    expected = expected.astype(np.float64)
    expected[:, 1] = np.where(expected[:, 1] > expected[:, 0], expected[:, 1], expected[:, 0] + 1)
    assert np.array_equal(value_percentiles(image), expected)


def test_percentiles_of_many_values_look_at_every_column(monkeypatch, narrow_bands):
    monkeypatch.setattr(preprocess, "_MOST_VALUES", 100)
    image = np.zeros((4, 30, 32, 1), np.float32) + np.arange(32)[:, None]
    assert value_percentiles(image).tolist() == [[0, 31]]


def test_percentiles_do_not_depend_on_how_much_is_read_at_once(monkeypatch):
    image = np.random.default_rng(0).normal(size=(7, 31, 20, 2)).astype(np.float32)
    monkeypatch.setattr(preprocess, "_MOST_VALUES", 500)
    whole = value_percentiles(image)
    monkeypatch.setattr(preprocess, "_BAND", 130)
    assert np.array_equal(value_percentiles(image), whole)


def mapped_memory():
    """Bytes of files that are mapped into this process and in memory."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssFile"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what is mapped")
def test_a_survey_of_a_mapped_file_does_not_fill_the_memory(tmp_path):
    written = np.lib.format.open_memmap(tmp_path / "image.npy", "w+", np.int16, (128, 512, 512, 1))
    written[::4] = 100
    del written
    image = np.load(tmp_path / "image.npy", mmap_mode="r")
    before = mapped_memory()
    survey = make(channels=1, intensity_ranges=None, crop_border=True, normalization="image").survey(image)
    assert survey.mean[0] == pytest.approx(1 / 4, abs=0.01)
    assert mapped_memory() - before < image.nbytes / 4


def test_normalisation_does_not_divide_by_nothing():
    survey = Survey(ranges((0, 1)), (slice(0, 1),) * 3, np.array([0.5]), np.array([0.0]))
    assert Preprocessing.normalize(np.array([0.501], np.float32), survey) == pytest.approx(1, abs=1e-3)


def test_sizes_round_half_up_and_stay_positive():
    assert scaled_size(5, 1, 0.5) == (3, 1)
    assert scaled_size(1, 1, 0.1) == (1, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16])
def test_slices_are_scaled_in_their_plane(dtype):
    image = np.full((3, 8, 6, 2), 7, dtype)
    scaled = scale_picture(image, 0.5)
    assert scaled.shape == (3, 4, 3, 2)
    assert scaled.dtype == dtype
    assert (scaled == 7).all()
    assert scale_picture(image, 1.0) is image


@pytest.mark.parametrize(
    ("trained", "found"),
    [
        (["uint8"], np.uint16),
        (["uint8"], np.float32),
        (["uint16"], np.uint8),
        (["float32", "int16"], np.uint8),
    ],
)
def test_pictures_of_8_bits_and_deeper_ones_are_not_taken_for_one_another(trained, found):
    words = rf"it holds {np.dtype(found)} values.*trained on {' or '.join(trained)} ones.*0 to 255.*; save it as"
    for changes in ({}, {"normalization": "image"}):
        with pytest.raises(MaskmillError, match=words):
            make(pixel_types=trained, **changes).check_pixel_type(np.dtype(found))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"pixel_types": ["uint8"]}, np.uint8),
        ({"pixel_types": ["uint8"], "intensity_ranges": None}, np.uint16),
        ({"pixel_types": ["float32", "uint8"]}, np.uint16),
        ({"pixel_types": ["uint16"]}, np.int16),
        ({"pixel_types": ["uint16"]}, np.int32),
        ({}, np.uint16),
    ],
)
def test_pictures_whose_range_is_their_own_alike_or_unknown_are_taken(changes, found):
    make(**changes).check_pixel_type(np.dtype(found))


@pytest.mark.parametrize(("trained", "found"), [(["int16"], np.float32), (["float32"], np.uint16)])
def test_floats_in_place_of_integers_are_doubted(trained, found):
    preprocessing = make(pixel_types=trained)
    preprocessing.check_pixel_type(np.dtype(found))
    assert f"it holds {np.dtype(found)} values, and the model was trained on {trained[0]}" in preprocessing.doubt(
        np.dtype(found)
    )


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32])
def test_without_pixel_types_deep_pictures_are_doubted_where_ranges_are_those_of_8_bits(dtype):
    assert "convert it to 8 bits" in make().doubt(np.dtype(dtype))


@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({}, np.uint8),
        ({}, np.float32),
        ({"intensity_ranges": None}, np.uint16),
        ({"intensity_ranges": [[0, 4095]] * 3}, np.uint16),
        ({"intensity_ranges": [[0, 255], [0, 255], [0, 300]]}, np.uint16),
        ({"intensity_ranges": [[-160, 240]] * 3}, np.int16),
        ({"pixel_types": ["uint16"]}, np.uint16),
        ({"pixel_types": ["float32", "int16"]}, np.int32),
        ({"pixel_types": ["int16"], "intensity_ranges": None}, np.float32),
    ],
)
def test_other_pictures_are_not_doubted(changes, dtype):
    assert make(**changes).doubt(np.dtype(dtype)) is None
