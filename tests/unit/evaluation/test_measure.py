"""Rows of metrics of a case, and of the cases of a split read from files."""

from pathlib import Path

import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.evaluation.measure import case_rows, count_outcomes, describe_outcome, distance_unit, evaluate_masks
from maskmill.files import read_table, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume
from maskmill.metrics import CASE_COLUMNS, METRICS
from tests.unit.volume_data import write_nifti, write_series

CLASSES = ["building", "road"]
SPLITS = [
    {"id": "b/二", "group": "b", "shard": "00", "fold0": "test", "fold1": "train"},
    {"id": "a/1", "group": "a", "shard": "01", "fold0": "test", "fold1": "test"},
    {"id": "a/2", "group": "a", "shard": "01", "fold0": "validation", "fold1": "test"},
]


def labels(*rows: str) -> np.ndarray:
    """Label image (1, H, W) from digits; "x" is ignore."""
    return np.array([[[255 if pixel == "x" else int(pixel) for pixel in row] for row in rows]], np.uint8)


@pytest.fixture
def project(tmp_path: Path) -> dict:
    """Label folders, masks and splits.csv of three samples; every mask lacks the lowest row of its reference."""
    for sample in SPLITS:
        reference = labels("1100", "1100", "x022")
        mask = labels("1100", "1100", "0000")
        classes = Classes.from_config(CLASSES)
        write_label_png(tmp_path / "labels" / sample["shard"] / f"{sample['id']}.png", reference[0], classes)
        write_label_png(tmp_path / "masks" / f"{sample['id']}.png", mask[0], classes)
    write_tables(tmp_path, SPLITS)
    return {
        "masks": tmp_path / "masks",
        "labels": [tmp_path / "labels" / "01", tmp_path / "labels" / "00"],
        "samples": tmp_path / "samples.csv",
        "splits": tmp_path / "splits.csv",
        "classes": CLASSES,
        "fold": 0,
        "split": "test",
        "tolerance": 2.0,
        "output": tmp_path / "metrics" / "test.csv",
    }


def write_tables(folder: Path, splits: list[dict], depth: int = 1, image: str = "") -> None:
    """The tables of samples and splits."""
    samples = [
        {key: row[key] for key in ("id", "shard")} | {"group": "", "image": image, "depth": depth} for row in splits
    ]
    write_table(folder / "samples.csv", samples, list(samples[0]))
    write_table(folder / "splits.csv", splits, list(splits[0]))


def test_a_row_a_class_with_the_columns_of_the_contract():
    rows = case_rows("a/1", "a", labels("110", "022"), labels("111", "002"), CLASSES)
    assert [tuple(row) for row in rows] == [CASE_COLUMNS] * 2
    assert [row["class"] for row in rows] == CLASSES
    building, road = rows
    assert (building["tp"], building["fp"], building["fn"], building["tn"]) == (2, 0, 1, 3)
    assert (building["specificity"], building["accuracy"]) == (1, pytest.approx(5 / 6))
    assert (building["reference_pixels"], building["predicted_pixels"]) == (3, 2)
    assert (road["iou"], road["hd95"]) == (0.5, pytest.approx(0.95))


def test_ignored_pixels_are_left_out_of_every_number():
    prediction, reference = labels("1111", "2222"), labels("11xx", "0xxx")
    building, road = case_rows("a", "a", prediction, reference, CLASSES)
    assert (building["iou"], building["boundary_f1"], building["hd95"]) == (1, 1, 0)
    assert (road["predicted_pixels"], road["fp"], road["iou"], road["accuracy"]) == (1, 1, 0, 2 / 3)


def test_empty_masks_are_undefined_and_counted():
    pictures = {
        "nothing": (labels("000"), labels("000")),
        "invented": (labels("110"), labels("000")),
        "missed": (labels("000"), labels("111")),
    }
    rows = [row for name, pair in pictures.items() for row in case_rows(name, "g", *pair, ["building"])]
    undefined, diagonal = None, pytest.approx(10**0.5)
    expected = {
        "iou": [undefined, 0, 0],
        "dice": [undefined, 0, 0],
        "precision": [undefined, 0, undefined],
        "recall": [undefined, undefined, 0],
        "specificity": [1, pytest.approx(1 / 3), undefined],
        "accuracy": [1, pytest.approx(1 / 3), 0],
        "boundary_f1": [undefined, 0, 0],
        "boundary_iou": [undefined, 0, 0],
        "nsd": [undefined, 0, 0],
        "hd95": [undefined, diagonal, diagonal],
        "hd": [undefined, diagonal, diagonal],
        "assd": [undefined, diagonal, diagonal],
    }
    assert {metric: [row[metric] for row in rows] for metric in METRICS} == expected
    (outcome,) = count_outcomes(rows).values()
    assert outcome == {
        "cases": 3,
        "both_empty": 1,
        "empty_reference": 1,
        "empty_prediction": 1,
        "false_positive_pixels_on_empty": 2,
    }
    assert "absent but found: 1 (2 pixels)" in describe_outcome(outcome)


def test_the_cases_of_the_split_are_measured_sorted_by_id(project):
    evaluate_masks(**project)
    rows = read_table(project["output"])
    assert [(row["id"], row["class"]) for row in rows] == [(i, c) for i in ("a/1", "b/二") for c in CLASSES]
    assert tuple(rows[0]) == CASE_COLUMNS
    assert (rows[0]["iou"], rows[1]["iou"], rows[1]["precision"], rows[1]["hd95"]) == ("1", "0", "", "5")
    assert [(row["group"], row["unit"]) for row in rows[1:3]] == [("a", "px"), ("b", "px")]


def test_another_fold_has_other_cases(project):
    evaluate_masks(**project | {"fold": 1})
    assert [row["id"] for row in read_table(project["output"])][::2] == ["a/1", "a/2"]


def test_threads_do_not_change_the_bytes(project):
    evaluate_masks(**project)
    once = project["output"].read_bytes()
    evaluate_masks(**project | {"threads": 3})
    assert project["output"].read_bytes() == once


def test_missing_files_are_all_named(project):
    (project["masks"] / "a/1.png").unlink()
    (project["labels"][1] / "b/二.png").unlink()
    with pytest.raises(MaskmillError, match=r"(?s)2 files are missing.*masks/a/1\.png.*labels/00/b/二\.png"):
        evaluate_masks(**project)
    assert not project["output"].exists()


def test_shards_without_a_label_folder_are_named(project):
    with pytest.raises(MaskmillError, match=r"1 shards have no label folder.*\n00$"):
        evaluate_masks(**project | {"labels": project["labels"][:1]})


def test_masks_of_another_size_or_other_classes_are_all_named(project):
    classes = Classes.from_config([*CLASSES, "tree"])
    write_label_png(project["masks"] / "a/1.png", labels("110")[0], classes)
    write_label_png(project["masks"] / "b/二.png", labels("1100", "1103", "0000")[0], classes)
    with pytest.raises(
        MaskmillError, match=r"(?s)2 masks.*a/1\.png has 3 × 1 pixels.*has 4 × 3\n.*二\.png has the value 3"
    ):
        evaluate_masks(**project)


def test_a_split_without_cases_is_refused(project):
    with pytest.raises(MaskmillError, match="no validation case in column fold1"):
        evaluate_masks(**project | {"fold": 1, "split": "validation"})


SPACING = (3.0, 0.5, 0.5)


@pytest.fixture
def volumes(tmp_path: Path) -> dict:
    """A volume of 4 × 8 × 6 voxels of 3 × 0.5 × 0.5 mm with a block of the class, its mask a slice further down."""
    reference, mask = np.zeros((2, 4, 8, 6), np.uint8)
    reference[0:2, 2:6, 1:5], mask[1:3, 2:6, 1:5] = 1, 1
    source = write_nifti(tmp_path / "a.nii.gz", np.zeros((6, 8, 4), np.int16), np.diag([*SPACING[::-1], 1]))
    write_label_volume(tmp_path / "labels/00/a.nii.gz", reference, like=source)
    write_label_volume(tmp_path / "masks/a.nii.gz", mask, like=source)
    write_tables(tmp_path, [{"id": "a", "group": "g", "shard": "00", "fold0": "test"}], depth=4, image=source)
    return {
        "masks": tmp_path / "masks",
        "labels": [tmp_path / "labels/00"],
        "samples": tmp_path / "samples.csv",
        "splits": tmp_path / "splits.csv",
        "classes": ["building"],
        "fold": 0,
        "split": "test",
        "tolerance": 2.0,
        "output": tmp_path / "test.csv",
    }


def test_volumes_are_measured_in_millimetres(volumes):
    evaluate_masks(**volumes)
    (row,) = read_table(volumes["output"])
    assert (row["unit"], row["tp"], row["fp"], row["fn"]) == ("mm", "16", "16", "16")
    assert float(row["hd95"]) == 3  # half of the voxels of either block are a slice away from the other


def test_the_tolerance_is_in_millimetres_too(volumes):
    scores = []
    for tolerance in (0.0, 2.9, 3.0):
        evaluate_masks(**volumes | {"tolerance": tolerance})
        scores.append(float(read_table(volumes["output"])[0]["boundary_f1"]))
    assert scores == [0.5, 0.5, 1]


def test_a_volume_of_which_nothing_is_found_has_its_diagonal(volumes):
    source = read_table(volumes["samples"])[0]["image"]
    write_label_volume(volumes["masks"] / "a.nii.gz", np.zeros((4, 8, 6), np.uint8), like=source)
    evaluate_masks(**volumes)
    assert float(read_table(volumes["output"])[0]["hd95"]) == pytest.approx(np.hypot(12, np.hypot(4, 3)))


def test_a_volume_of_another_size_is_named(volumes):
    source = write_nifti(volumes["masks"] / "b.nii", np.zeros((6, 8, 5), np.int16))
    write_label_volume(volumes["masks"] / "a.nii.gz", np.zeros((5, 8, 6), np.uint8), like=source)
    with pytest.raises(MaskmillError, match=r"a\.nii\.gz has 6 × 8 × 5 pixels, .*a\.nii\.gz has 6 × 8 × 4"):
        evaluate_masks(**volumes)


def test_distances_are_in_pixels_where_samples_differ_in_their_unit(volumes, caplog):
    samples = read_table(volumes["samples"])
    write_table(
        volumes["samples"], [*samples, samples[0] | {"id": "p", "image": "p.png", "depth": 1}], list(samples[0])
    )
    assert distance_unit(volumes["samples"]) == "px"
    assert "several units (1 in mm, 1 in px)" in caplog.text

    evaluate_masks(**volumes)
    (row,) = read_table(volumes["output"])
    assert (row["unit"], row["hd95"]) == ("px", "1")


def test_the_unit_is_that_of_the_volumes(tmp_path):
    series = write_series(tmp_path / "series", np.zeros((3, 8, 8), np.int16))
    micrometres = write_nifti(tmp_path / "b.nii", np.zeros((6, 8, 5), np.int16), xyzt_units=3)
    for image, unit in ((series, "mm"), (micrometres, "µm")):
        write_tables(tmp_path, [{"id": "a", "group": "g", "shard": "00"}], depth=5, image=image)
        assert distance_unit(tmp_path / "samples.csv") == unit
