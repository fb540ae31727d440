"""Rows of metrics of a case, and of the cases of a split read from files."""

from pathlib import Path

import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.evaluation import case_rows, count_outcomes, describe_outcome, evaluate_masks
from maskmill.files import read_table, write_table
from maskmill.images import write_label_png
from maskmill.metrics import CASE_COLUMNS

CLASSES = ["building", "road"]
SPLITS = [
    {"id": "b/二", "group": "b", "shard": "00", "fold0": "test", "fold1": "train"},
    {"id": "a/1", "group": "a", "shard": "01", "fold0": "test", "fold1": "test"},
    {"id": "a/2", "group": "a", "shard": "01", "fold0": "validation", "fold1": "test"},
]


def labels(*rows: str) -> np.ndarray:
    """Label image from digits; "x" is ignore."""
    return np.array([[255 if pixel == "x" else int(pixel) for pixel in row] for row in rows], np.uint8)


@pytest.fixture
def project(tmp_path: Path) -> dict:
    """Label folders, masks and splits.csv of three samples; every mask lacks the lowest row of its reference."""
    for sample in SPLITS:
        reference = labels("1100", "1100", "x022")
        mask = labels("1100", "1100", "0000")
        classes = Classes.from_config(CLASSES)
        write_label_png(tmp_path / "labels" / sample["shard"] / f"{sample['id']}.png", reference, classes)
        write_label_png(tmp_path / "masks" / f"{sample['id']}.png", mask, classes)
    write_table(tmp_path / "splits.csv", SPLITS, list(SPLITS[0]))
    return {
        "masks": tmp_path / "masks",
        "labels": [tmp_path / "labels" / "01", tmp_path / "labels" / "00"],
        "splits": tmp_path / "splits.csv",
        "classes": CLASSES,
        "fold": 0,
        "split": "test",
        "tolerance": 2.0,
        "output": tmp_path / "metrics" / "test.csv",
    }


def test_a_row_a_class_with_the_columns_of_the_contract():
    rows = case_rows("a/1", "a", labels("110", "022"), labels("111", "002"), CLASSES)
    assert [tuple(row) for row in rows] == [CASE_COLUMNS] * 2
    assert [row["class"] for row in rows] == CLASSES
    building, road = rows
    assert (building["tp"], building["fp"], building["fn"]) == (2, 0, 1)
    assert (building["reference_pixels"], building["predicted_pixels"]) == (3, 2)
    assert (road["iou"], road["hd95"]) == (0.5, pytest.approx(0.95))


def test_ignored_pixels_are_left_out_of_every_number():
    prediction, reference = labels("1111", "2222"), labels("11xx", "0xxx")
    building, road = case_rows("a", "a", prediction, reference, CLASSES)
    assert (building["iou"], building["boundary_f1"], building["hd95"]) == (1, 1, 0)
    assert (road["predicted_pixels"], road["fp"], road["iou"]) == (1, 1, 0)


def test_empty_masks_are_undefined_and_counted():
    pictures = {
        "nothing": (labels("000"), labels("000")),
        "invented": (labels("110"), labels("000")),
        "missed": (labels("000"), labels("111")),
    }
    rows = [row for name, pair in pictures.items() for row in case_rows(name, "g", *pair, ["building"])]
    metrics = ("iou", "dice", "precision", "recall", "boundary_f1", "hd95")
    diagonal = pytest.approx(10**0.5)
    assert [[row[metric] for metric in metrics] for row in rows] == [
        [None] * 6,
        [0, 0, 0, None, 0, diagonal],
        [0, 0, None, 0, 0, diagonal],
    ]
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
    write_label_png(project["masks"] / "a/1.png", labels("110"), classes)
    write_label_png(project["masks"] / "b/二.png", labels("1100", "1103", "0000"), classes)
    with pytest.raises(
        MaskmillError, match=r"(?s)2 masks.*a/1\.png has 3 × 1 pixels.*has 4 × 3\n.*二\.png has the value 3"
    ):
        evaluate_masks(**project)


def test_a_split_without_cases_is_refused(project):
    with pytest.raises(MaskmillError, match="no validation case in column fold1"):
        evaluate_masks(**project | {"fold": 1, "split": "validation"})
