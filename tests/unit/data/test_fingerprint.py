"""The fingerprint of a data set."""

import numpy as np
import pytest

from maskmill.data import fingerprint as module
from maskmill.data.cache import COLUMNS, image_path, labels_path, read_cache
from maskmill.data.fingerprint import fingerprint_dataset
from maskmill.data.places import find_places
from maskmill.errors import MaskmillError
from maskmill.files import read_json, write_table
from maskmill.inference.preprocess import Preprocessing, value_percentiles
from tests.unit.training_data import PREPROCESS


def fingerprint(folder, images, labels=None, folds=None, classes=("a",), spacings=None, **options):
    """Cache pictures (H, W, C) or volumes (D, H, W, C), fingerprint them, all training unless `folds` says otherwise.

    Returns the JSON content.
    """
    folder.mkdir(exist_ok=True)
    rows, splits = [], []
    for number, image in enumerate(images):
        stored = image if image.ndim == 4 else image[np.newaxis]
        label_image = np.zeros(stored.shape[:3], np.uint8)
        if labels is not None:
            label_image[:] = labels[number]
        np.save(image_path(folder, f"s{number}"), stored)
        np.save(labels_path(folder, f"s{number}"), label_image)
        rows.append(statistics(f"s{number}", stored, label_image, *(spacings[number] if spacings else ((), ""))))
        splits.append({"id": f"s{number}"} | (folds[number] if folds else {"fold0": "train"}))
    write_table(folder / "statistics.csv", rows, COLUMNS)
    write_table(folder / "splits.csv", splits, list(splits[0]))
    fingerprint_dataset(
        [folder], folder / "splits.csv", list(classes), PREPROCESS | options, folder / "fingerprint.json"
    )
    return read_json(folder / "fingerprint.json")


def statistics(sample, image, labels, spacing, unit):
    low, high = value_percentiles(image).T.tolist()
    numbers = {"min": image.min(axis=(0, 1, 2)), "max": image.max(axis=(0, 1, 2)), "low": low, "high": high}
    cells = {name: " ".join(map(str, values)) for name, values in numbers.items()}
    size = dict(zip(("depth", "height", "width", "channels"), image.shape, strict=True))
    pixels = " ".join(f"{value}:{count}" for value, count in find_places(labels)[0].items())
    place = {"spacing": " ".join(map(str, spacing)), "unit": unit}
    return {"id": sample, "dtype": image.dtype, "pixels": pixels, "sha256_image": "", "sha256_labels": ""} | (
        size | cells | place
    )


def test_8_bit_pictures_use_the_whole_range(tmp_path):
    images = [np.full((2, 2, 3), (0, 51, 102), np.uint8), np.full((4, 2, 3), (102, 51, 102), np.uint8)]
    (fold,) = fingerprint(tmp_path, images)["folds"]
    preprocessing = Preprocessing.from_dict(fold["preprocessing"])
    assert preprocessing.intensity_ranges == ((0, 255),) * 3
    assert preprocessing.channels == 3
    np.testing.assert_allclose(preprocessing.mean, [0.4 * 2 / 3, 0.2, 0.4], atol=1e-6)
    np.testing.assert_allclose(preprocessing.std, [0.4 * np.sqrt(2) / 3, 0, 0], atol=1e-5)
    assert (fold["train_samples"], fold["train_pixels"]) == (2, 12)
    assert (fold["volumes"], fold["spacing"], fold["unit"]) == (False, None, None)
    assert fold["sizes"] == {
        "depth": {"min": 1, "median": 1, "max": 1},
        "height": {"min": 2, "median": 3, "max": 4},
        "width": {"min": 2, "median": 2, "max": 2},
    }


def test_each_fold_sees_its_training_pictures_only(tmp_path):
    images = [np.full((2, 2, 1), value, np.uint16) for value in (100, 300, 1000)]
    images[0][0, 0], images[1][0, 0] = 50, 200
    folds = [
        {"fold0": "train", "fold1": "validation"},
        {"fold0": "validation", "fold1": "train"},
        {"fold0": "test", "fold1": "test"},
    ]
    first, second = fingerprint(tmp_path, images, folds=folds)["folds"]
    assert first["preprocessing"]["intensity_ranges"] == [[50, 100]]
    assert second["preprocessing"]["intensity_ranges"] == [[200, 300]]
    assert first["preprocessing"]["mean"] == second["preprocessing"]["mean"] == [0.75]


def test_window_and_floor(tmp_path):
    image = np.array([[-100, 0], [40, 500]], np.int16)[:, :, None]
    (fold,) = fingerprint(tmp_path, [image], window=[40, 80], intensity_floor=51)["folds"]
    assert fold["preprocessing"]["intensity_ranges"] == [[0, 80]]
    assert fold["preprocessing"]["intensity_floor"] == 0.2
    assert fold["preprocessing"]["mean"] == [0.375]


def test_moments_are_those_of_the_content(tmp_path):
    image = np.zeros((4, 4, 1), np.uint8)
    image[1:3, 1:3] = 255
    assert fingerprint(tmp_path, [image], crop_border=True)["folds"][0]["preprocessing"]["mean"] == [1]
    assert fingerprint(tmp_path, [image])["folds"][0]["preprocessing"]["mean"] == [0.25]


def test_constant_pictures_have_a_range(tmp_path):
    (fold,) = fingerprint(tmp_path, [np.full((2, 2, 1), 7, np.float32)])["folds"]
    assert fold["preprocessing"]["intensity_ranges"] == [[7, 8]]


def test_class_fractions_leave_out_ignored_pixels_and_bring_advice(tmp_path):
    labels = np.zeros((10, 10), np.uint8)
    labels[0, :2], labels[1:6] = 1, 255
    image = np.zeros((10, 10, 1), np.uint8)
    (fold,) = fingerprint(tmp_path, [image], [labels], classes=("a", "b"))["folds"]
    assert fold["class_fractions"] == [0.96, 0.04, 0]
    assert fold["foreground_fraction"] == 0.04
    missing, rare = fold["advice"]
    assert '"b"' in missing
    assert "4.0%" in rare
    labels[:5] = 2
    labels[5] = 1
    assert fingerprint(tmp_path, [image], [labels], classes=("a", "b"))["folds"][0]["advice"] == []


def test_grey_beside_colour_is_colour(tmp_path):
    images = [np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 3), np.uint8)]
    assert fingerprint(tmp_path, images)["folds"][0]["preprocessing"]["channels"] == 3


def test_other_mixtures_are_refused_with_their_names(tmp_path):
    with pytest.raises(MaskmillError, match=r"(?s)channels 4: s1\n  channels 3: s0, s2"):
        fingerprint(tmp_path, [np.zeros((2, 2, channels), np.uint8) for channels in (3, 4, 3)])
    images = [np.zeros((2, 2, 1), dtype) for dtype in (np.uint16, np.uint8, np.uint8)]
    with pytest.raises(MaskmillError, match=r"(?s)preprocess.intensities to image.*uint16: s0\n  dtype uint8: s1, s2"):
        fingerprint(tmp_path, images, intensities="dataset")


def test_pixel_types_may_differ_where_a_window_says_what_values_mean(tmp_path):
    images = [np.full((2, 2, 1), value, dtype) for value, dtype in ((40.5, np.float32), (-90, np.int16))]
    (fold,) = fingerprint(tmp_path, images, window=[40, 400])["folds"]
    assert fold["preprocessing"]["intensity_ranges"] == [[-160, 240]]
    assert fold["preprocessing"]["pixel_types"] == ["float32", "int16"]


def test_pixel_types_may_differ_where_each_picture_has_its_range(tmp_path):
    ramp = np.arange(16).reshape(4, 4, 1)
    folds = [{"fold0": "train"}, {"fold0": "train"}, {"fold0": "test"}]
    (fold,) = fingerprint(
        tmp_path, [ramp.astype(np.uint8), ramp.astype(np.uint8), (900 * ramp).astype(np.uint16)], folds=folds
    )["folds"]
    preprocessing = Preprocessing.from_dict(fold["preprocessing"])
    assert preprocessing.intensity_ranges is None
    assert preprocessing.pixel_types == ("uint8",), "of the training pictures alone"
    np.testing.assert_allclose(preprocessing.mean, np.mean(ramp / 15), atol=1e-6)
    assert "pixel types differ (uint16, uint8)" in fold["intensities"]["reason"]
    assert any("preprocess.window" in sentence for sentence in fold["advice"])


def test_scans_of_two_scanners_have_ranges_of_their_own(tmp_path):
    random = np.random.default_rng(0)
    scans = [random.integers(0, top, (3, 20, 20, 1)).astype(np.int16) for top in (200, 3000)]
    (fold,) = fingerprint(tmp_path, scans)["folds"]
    assert fold["preprocessing"]["intensity_ranges"] is None
    assert fold["preprocessing"]["mean"] == [pytest.approx(0.5, abs=0.03)]
    (channel,) = fold["intensities"]["channels"]
    assert channel["high"]["max"] > 10 * channel["high"]["min"]
    assert channel["high"]["min"] < channel["high"]["median"] < channel["high"]["max"]


def test_what_is_known_of_volumes(tmp_path):
    volumes = [np.zeros((depth, 4, 6, 1), np.int16) for depth in (3, 9, 5)]
    labels = np.zeros((4, 6), np.uint8)
    labels[1:3, 2:5] = 1
    spacings = [((2.5, 0.8, 0.8), "mm"), ((5, 0.7, 0.9), "mm"), ((2, 2, 2), "µm")]
    (fold,) = fingerprint(tmp_path, volumes, [labels] * 3, spacings=spacings, classes=("a", "b"))["folds"]
    assert fold["volumes"] is True
    assert fold["sizes"]["depth"] == {"min": 3, "median": 5, "max": 9}
    assert (fold["spacing"], fold["unit"]) == ([3.75, 0.75, 0.85], "mm")
    assert fold["train_pixels"] == 17 * 24
    assert fold["class_pictures"] == [3, 0]
    first, second = fold["objects"]
    assert (first["class"], first["count"], second["count"]) == ("a", 3, 0)
    assert first["pixels"] == {"p5": 18, "median": 30, "p95": 54}
    assert first["extent"]["depth"] == {"p5": 3, "median": 5, "p95": 9}
    assert first["extent"]["width"] == {"p5": 3, "median": 3, "p95": 3}


def test_objects_of_large_data_sets_are_measured_in_a_part_of_the_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OBJECT_PIXELS", 35)
    labels = np.eye(3, dtype=np.uint8)
    (fold,) = fingerprint(tmp_path, [np.zeros((3, 3, 1), np.uint8)] * 10, [labels] * 10)["folds"]
    assert fold["objects"][0]["count"] == 3
    assert fold["objects"][0]["pixels"]["median"] == 3
    assert fold["class_pictures"] == [10]


def test_classes_that_few_pictures_show_bring_advice(tmp_path):
    labels = [np.full((2, 2), number < 2, np.uint8) for number in range(30)]
    (fold,) = fingerprint(tmp_path, [np.zeros((2, 2, 1), np.uint8)] * 30, labels)["folds"]
    (sentence,) = fold["advice"]
    assert 'only 2 of 30 training pictures show "a"' in sentence


def test_pictures_in_no_part_decide_nothing(tmp_path):
    images = [np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 4), np.uint16)]
    fingerprint(tmp_path, images[:1])
    rows = [
        statistics(f"s{number}", image[None], np.zeros((1, 2, 2), np.uint8), (), "")
        for number, image in enumerate(images)
    ]
    write_table(tmp_path / "statistics.csv", rows, COLUMNS)
    fingerprint_dataset([tmp_path], tmp_path / "splits.csv", ["a"], PREPROCESS, tmp_path / "again.json")
    assert read_json(tmp_path / "again.json")["folds"][0]["preprocessing"]["channels"] == 1


def test_mean_and_std_normalise_the_training_pictures(tmp_path):
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (9, 7, 3), dtype=np.uint8) for _ in range(4)]
    preprocessing = Preprocessing.from_dict(fingerprint(tmp_path, images)["folds"][0]["preprocessing"])
    pixels = []
    for sample in read_cache([tmp_path]).values():
        pixels.append(preprocessing.prepare(sample.image())[0].reshape(-1, 3))
    np.testing.assert_allclose(np.concatenate(pixels).mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.concatenate(pixels).std(axis=0), 1, atol=1e-4)
