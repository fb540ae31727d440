"""The fingerprint of a data set."""

import numpy as np
import pytest

from maskmill.cache import COLUMNS, image_path, labels_path, read_cache
from maskmill.errors import MaskmillError
from maskmill.files import read_json, write_table
from maskmill.fingerprint import fingerprint_dataset
from maskmill.preprocess import Preprocessing

OPTIONS = {"scale": 1.0, "intensity_floor": 0, "crop_border": False, "window": None, "normalization": "dataset"}


def fingerprint(folder, images, labels=None, folds=None, classes=("a",), **options):
    """Cache these pictures, fingerprint them, all training unless `folds` says otherwise; returns the JSON content."""
    folder.mkdir(exist_ok=True)
    rows, splits = [], []
    for number, image in enumerate(images):
        label_image = np.zeros(image.shape[:2], np.uint8) if labels is None else labels[number]
        np.save(image_path(folder, f"s{number}"), image)
        np.save(labels_path(folder, f"s{number}"), label_image)
        values = [1, *image.shape, image.dtype, image.min().item(), image.max().item(), "", ""]
        rows.append(dict(zip(COLUMNS, [f"s{number}", *values], strict=True)))
        splits.append({"id": f"s{number}"} | (folds[number] if folds else {"fold0": "train"}))
    write_table(folder / "statistics.csv", rows, COLUMNS)
    write_table(folder / "splits.csv", splits, list(splits[0]))
    fingerprint_dataset([folder], folder / "splits.csv", list(classes), OPTIONS | options, folder / "fingerprint.json")
    return read_json(folder / "fingerprint.json")


def test_8_bit_pictures_use_the_whole_range(tmp_path):
    images = [np.full((2, 2, 3), (0, 51, 102), np.uint8), np.full((4, 2, 3), (102, 51, 102), np.uint8)]
    (fold,) = fingerprint(tmp_path, images)["folds"]
    preprocessing = Preprocessing.from_dict(fold["preprocessing"])
    assert preprocessing.intensity_range == (0, 255)
    assert preprocessing.channels == 3
    np.testing.assert_allclose(preprocessing.mean, [0.4 * 2 / 3, 0.2, 0.4], atol=1e-6)
    np.testing.assert_allclose(preprocessing.std, [0.4 * np.sqrt(2) / 3, 0, 0], atol=1e-5)
    assert (fold["train_samples"], fold["train_pixels"]) == (2, 12)
    assert fold["sizes"] == {
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
    assert first["preprocessing"]["intensity_range"] == [50, 100]
    assert second["preprocessing"]["intensity_range"] == [200, 300]
    assert first["preprocessing"]["mean"] == second["preprocessing"]["mean"] == [0.75]


def test_window_and_floor(tmp_path):
    image = np.array([[-100, 0], [40, 500]], np.int16)[:, :, None]
    (fold,) = fingerprint(tmp_path, [image], window=[40, 80], intensity_floor=51)["folds"]
    assert fold["preprocessing"]["intensity_range"] == [0, 80]
    assert fold["preprocessing"]["intensity_floor"] == 0.2
    assert fold["preprocessing"]["mean"] == [0.375]


def test_moments_are_those_of_the_content(tmp_path):
    image = np.zeros((4, 4, 1), np.uint8)
    image[1:3, 1:3] = 255
    assert fingerprint(tmp_path, [image], crop_border=True)["folds"][0]["preprocessing"]["mean"] == [1]
    assert fingerprint(tmp_path, [image])["folds"][0]["preprocessing"]["mean"] == [0.25]


def test_constant_pictures_have_a_range(tmp_path):
    (fold,) = fingerprint(tmp_path, [np.full((2, 2, 1), 7, np.float32)])["folds"]
    assert fold["preprocessing"]["intensity_range"] == [7, 8]


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
    with pytest.raises(MaskmillError, match=r"(?s)dtype uint16: s0\n  dtype uint8: s1, s2"):
        fingerprint(tmp_path, [np.zeros((2, 2, 1), dtype) for dtype in (np.uint16, np.uint8, np.uint8)])


def test_pixel_types_may_differ_where_a_window_says_what_values_mean(tmp_path):
    images = [np.full((2, 2, 1), value, dtype) for value, dtype in ((40.5, np.float32), (-90, np.int16))]
    (fold,) = fingerprint(tmp_path, images, window=[40, 400])["folds"]
    assert fold["preprocessing"]["intensity_range"] == [-160, 240]


def test_mean_and_std_normalise_the_training_pictures(tmp_path):
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (9, 7, 3), dtype=np.uint8) for _ in range(4)]
    preprocessing = Preprocessing.from_dict(fingerprint(tmp_path, images)["folds"][0]["preprocessing"])
    pixels = []
    for sample in read_cache([tmp_path]).values():
        unit = preprocessing.unit(sample.image())
        pixels.append(preprocessing.normalize(unit, preprocessing.moments(unit)).reshape(-1, 3))
    np.testing.assert_allclose(np.concatenate(pixels).mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.concatenate(pixels).std(axis=0), 1, atol=1e-4)
