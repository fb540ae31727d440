"""The operating point is found where it is known to be, on validation alone."""

import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.evaluation.tuning import choose_operating_point, iou
from maskmill.files import read_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume
from tests.unit.volume_data import write_nifti

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
        probabilities = np.zeros((2, 1, 60, 60), np.uint8)
        probabilities[0] = np.where(truth == 1, 190, 150)  # 0.745 and 0.588
        probabilities[1] = np.where(truth == 2, 100, 60)  # 0.392 and 0.235
        probabilities[0, :, 0:3, 50:53] = 200  # a speck: roof where there is none
        write_label_png(tmp_path / f"labels/00/{name}.png", truth, CLASSES)
        np.save(tmp_path / f"probabilities/{name}.npy", probabilities)
    # the last has no files: reading it would fail
    write_tables(tmp_path, {"a": "validation", "b": "validation", "secret": "test"})
    return tmp_path


def write_tables(folder, parts, depth=1, image=""):
    """The tables of samples and splits; parts: id → part."""
    rows = [
        {"id": name, "group": name, "shard": "00", "image": image, "depth": depth, "fold0": part}
        for name, part in parts.items()
    ]
    for table in ("samples.csv", "splits.csv"):
        write_table(folder / table, rows, list(rows[0]))


def choose(folder, classes=CLASSES, minimum_areas=(0, 5, 25, 400)):
    """The operating point chosen on the files in `folder`."""
    choose_operating_point(
        probabilities=folder / "probabilities",
        labels=[folder / "labels/00"],
        samples=folder / "samples.csv",
        splits=folder / "splits.csv",
        classes=classes,
        fold=0,
        thresholds=THRESHOLDS,
        minimum_areas=minimum_areas,
        output=folder / "point.json",
    )
    return read_json(folder / "point.json")


def test_the_known_optimum_is_found(validation):
    point = choose(validation)

    assert point["thresholds"] == [0.65, 0.35]
    assert point["minimum_areas"] == [25, 0]
    assert point["validation"]["roof"]["iou"] == 1
    assert point["validation"]["road"]["iou"] == 1
    assert point["validation"]["road"]["iou_at_half"] == 0
    assert (point["pictures"], point["samples"]) == (2, ["a", "b"])


def test_a_class_that_is_nowhere_has_no_scores_and_the_plain_choice(validation):
    classes = Classes.from_config(["roof", "road", "pond"])
    for name in ("a", "b"):
        probabilities = np.load(validation / f"probabilities/{name}.npy")
        nowhere = np.zeros((1, 1, 60, 60), np.uint8)
        np.save(validation / f"probabilities/{name}.npy", np.concatenate([probabilities, nowhere]))

    point = choose(validation, classes, [25, 0])

    assert point["thresholds"] == [0.65, 0.35, 0.5]
    assert point["minimum_areas"] == [25, 0, 0]
    nowhere = {"threshold_iou": [None] * 5, "minimum_area_iou": [None] * 2, "iou_at_half": None, "iou": None}
    assert point["validation"]["pond"] == nowhere


def test_volumes_are_chosen_on_whole(tmp_path):
    truth = np.zeros((6, 20, 20), np.uint8)
    truth[1:5, 4:16, 4:16] = 1
    probabilities = np.full((1, *truth.shape), 150, np.uint8)
    probabilities[0, truth == 1] = 190
    probabilities[0, 1:3, 0:2, 18:20] = 200  # a speck of 8 voxels, of 4 in each of its slices
    (tmp_path / "probabilities").mkdir()
    np.save(tmp_path / "probabilities/a.npy", probabilities)
    source = write_nifti(tmp_path / "a.nii", truth.T)
    write_label_volume(tmp_path / "labels/00/a.nii.gz", truth, like=source)
    write_tables(tmp_path, {"a": "validation"}, depth=6, image=source)

    point = choose(tmp_path, Classes.from_config(["roof"]), [0, 5, 9])

    assert (point["thresholds"], point["minimum_areas"]) == ([0.65], [9])
    scores = point["validation"]["roof"]["minimum_area_iou"]
    assert scores == [pytest.approx(576 / 584), pytest.approx(576 / 584), 1]


def test_probabilities_of_another_size_are_refused(validation):
    np.save(validation / "probabilities/a.npy", np.zeros((2, 1, 60, 59), np.uint8))

    with pytest.raises(MaskmillError, match=r"a\.npy is of \(1, 60, 59\) pixels, .*a\.png of \(1, 60, 60\)"):
        choose(validation)


def test_a_picture_where_a_class_is_absent_counts_only_if_it_is_predicted(tmp_path):
    rows = {"present": (1, 250), "absent": (0, 0), "invented": (0, 250)}
    (tmp_path / "probabilities").mkdir()
    for name, (label, level) in rows.items():
        write_label_png(tmp_path / f"labels/00/{name}.png", np.full((4, 4), label, np.uint8), CLASSES)
        np.save(tmp_path / f"probabilities/{name}.npy", np.full((1, 1, 4, 4), level, np.uint8))
    write_tables(tmp_path, dict.fromkeys(rows, "validation"))

    assert choose(tmp_path, Classes.from_config(["roof"]))["validation"]["roof"]["iou"] == 0.5


def test_iou_by_hand():
    assert iou(np.array([[True, True, False]]), np.array([[1, 0, 1]]), 1) == pytest.approx(1 / 3)
    assert iou(np.array([[True, True]]), np.array([[1, 255]]), 1) == 1  # ignored pixels do not count
    assert iou(np.array([[False, True]]), np.array([[0, 255]]), 1) is None
