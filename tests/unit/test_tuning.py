"""The operating point is found where it is known to be, on validation alone."""

import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.files import read_json, write_table
from maskmill.images import write_label_png
from maskmill.tuning import choose_operating_point, mean_iou

CLASSES = Classes.from_config(["roof", "road"])
THRESHOLDS = [0.2, 0.35, 0.5, 0.65, 0.8]


@pytest.fixture
def validation(tmp_path):
    """Two pictures whose roofs end at probability 0.7 and whose roads end at 0.3, with specks of 9 pixels on roofs."""
    (tmp_path / "probabilities").mkdir()
    (tmp_path / "labels/00").mkdir(parents=True)
    for name, offset in (("a", 0), ("b", 5)):
        truth = np.zeros((60, 60), np.uint8)
        truth[5 + offset : 30 + offset, 5:30] = 1
        truth[45:55] = 2
        probabilities = np.zeros((2, 60, 60), np.uint8)
        probabilities[0] = np.where(truth == 1, 190, 150)  # 0.745 and 0.588
        probabilities[1] = np.where(truth == 2, 100, 60)  # 0.392 and 0.235
        probabilities[0][0:3, 50:53] = 200  # a speck: roof where there is none
        write_label_png(tmp_path / f"labels/00/{name}.png", truth, CLASSES)
        np.save(tmp_path / f"probabilities/{name}.npy", probabilities)
    rows = [{"id": name, "shard": "00", "fold0": part} for name, part in (("a", "validation"), ("b", "validation"))]
    rows.append({"id": "secret", "shard": "00", "fold0": "test"})  # has no files: reading it would fail
    write_table(tmp_path / "splits.csv", rows, ("id", "shard", "fold0"))
    return tmp_path


def test_the_known_optimum_is_found(validation):
    choose_operating_point(
        probabilities=validation / "probabilities",
        labels=[validation / "labels/00"],
        splits=validation / "splits.csv",
        classes=CLASSES,
        fold=0,
        thresholds=THRESHOLDS,
        minimum_areas=[0, 5, 25, 400],
        output=validation / "point.json",
    )

    point = read_json(validation / "point.json")
    assert point["thresholds"] == [0.65, 0.35]
    assert point["minimum_areas"] == [25, 0]
    assert point["validation"]["roof"]["iou"] == 1
    assert point["validation"]["road"]["iou"] == 1
    assert point["validation"]["road"]["iou_at_half"] == 0
    assert point["pictures"] == 2


def test_a_class_that_is_nowhere_has_no_scores_and_the_plain_choice(validation):
    classes = Classes.from_config(["roof", "road", "pond"])
    for name in ("a", "b"):
        probabilities = np.load(validation / f"probabilities/{name}.npy")
        np.save(
            validation / f"probabilities/{name}.npy", np.concatenate([probabilities, np.zeros((1, 60, 60), np.uint8)])
        )

    choose_operating_point(
        validation / "probabilities", [validation / "labels/00"], validation / "splits.csv", classes, 0, THRESHOLDS,
        [25, 0], validation / "point.json",
    )  # fmt: skip

    point = read_json(validation / "point.json")
    assert point["thresholds"] == [0.65, 0.35, 0.5]
    assert point["minimum_areas"] == [25, 0, 0]
    nowhere = {"threshold_iou": [None] * 5, "minimum_area_iou": [None] * 2, "iou_at_half": None, "iou": None}
    assert point["validation"]["pond"] == nowhere


def test_mean_iou_leaves_out_pictures_without_the_class():
    empty, full = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)

    assert mean_iou([(empty, empty), (full, full)], 1) == 1
    assert mean_iou([(full, empty), (full, full)], 1) == 0.5
    assert mean_iou([(empty, empty)], 1) is None


def test_ignored_pixels_do_not_count():
    reference = np.array([[1, 255]], np.uint8)

    assert mean_iou([(np.array([[1, 1]], np.uint8), reference)], 1) == 1
