"""Metrics that single tasks ask for, of masks and probabilities of a split."""

from pathlib import Path

import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.evaluation.extra import FROM_PROBABILITIES, evaluate_extra, extra_metrics, measure_masks
from maskmill.files import read_json, read_table, write_json, write_table
from maskmill.imaging.images import write_instance_png, write_label_png
from maskmill.metrics import EXTRA_METRICS
from maskmill.metrics.rand import THRESHOLDS, compare_borders

CLASSES = ["wall", "cell"]
SIZE = 24
IDS = ("a/1", "a/2", "b/1")


def scene(broken: bool) -> np.ndarray:
    """Label values (H, W): a wall, with a gap where it is broken, a cell on either side of it, some ignored pixels."""
    labels = np.zeros((SIZE, SIZE), np.uint8)
    labels[:, 11:13] = 1
    if broken:
        labels[8:12, 11:13] = 0
    labels[2:10, 2:10], labels[14:20, 14:22] = 2, 2
    labels[-2:] = 255
    return labels


@pytest.fixture
def project(tmp_path: Path) -> dict:
    """Three pictures with masks, probabilities and labels; the masks lack a part of the wall."""
    palette = Classes.from_config(CLASSES)
    rows = [{"id": name, "group": name[0], "shard": "00", "fold0": "test", "image": "", "depth": 1} for name in IDS]
    for name in IDS:
        write_label_png(tmp_path / f"labels/00/{name}.png", scene(broken=False), palette)
        mask = scene(broken=True)
        write_label_png(tmp_path / f"masks/{name}.png", np.where(mask == 255, 0, mask), palette)
        levels = np.stack([np.full(mask.shape, 20), np.where(mask == 2, 230, 10)])
        levels[0][:, 11:13] = 60
        levels[0][mask == 1] = 200
        target = tmp_path / f"probabilities/{name}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, levels[:, np.newaxis].astype(np.uint8))
    write_json(tmp_path / "point.json", {"temperature": 1, "thresholds": [0.5, 0.5], "steps": []})
    for name in ("samples", "splits"):
        write_table(tmp_path / f"{name}.csv", rows, list(rows[0]))
    return {
        **{name: tmp_path / name for name in ("masks", "probabilities")},
        "labels": [tmp_path / "labels/00"],
        **{name: tmp_path / f"{name}.csv" for name in ("samples", "splits")},
        **{
            "point": tmp_path / "point.json",
            "classes": CLASSES,
            "fold": 0,
            "split": "test",
            "kinds": list(EXTRA_METRICS),
            "instances": False,
        },
        **{"table": tmp_path / "extra.csv", "pooled": tmp_path / "extra.json"},
    }


def test_a_row_a_case_and_class_with_the_metrics_of_the_kinds(project):
    evaluate_extra(**project)
    rows = read_table(project["table"])
    assert [(row["id"], row["class"]) for row in rows] == [(name, c) for name in IDS for c in CLASSES]
    assert tuple(rows[0]) == ("id", "group", "class", "unit", "reference_pixels", *extra_metrics(EXTRA_METRICS))
    wall, cell = rows[:2]
    assert (wall["group"], wall["unit"]) == ("a", "")
    assert (cell["pq"], cell["aji"], cell["cldice"], cell["relaxed_recall"]) == ("1", "1", "1", "1")
    assert (wall["rq"], wall["recall_small"], cell["recall_small"], cell["recall_tiny"]) == ("0", "1", "1", "")
    assert float(wall["relaxed_recall"]) == 1  # the gap of four rows has no pixel more than three away


def test_only_the_kinds_that_are_asked_for(project):
    evaluate_extra(**project | {"kinds": ["cldice"]})
    assert list(read_table(project["table"])[0]) == ["id", "group", "class", "unit", "reference_pixels", "cldice"]
    assert read_json(project["pooled"]) == {"wall": {}, "cell": {}}


def test_v_rand_is_that_of_the_best_threshold_over_all_cases(project):
    evaluate_extra(**project | {"kinds": ["rand"]})
    rows = [row for row in read_table(project["table"]) if row["class"] == "wall"]
    # below 60 the wall is whole, above the cells on both sides become one
    assert [row["v_rand"] for row in rows] == ["1"] * 3
    pooled = read_json(project["pooled"])["wall"]
    assert (pooled["v_rand_threshold"], pooled["v_info_threshold"]) == (0.1, 0.1)
    for name in IDS[:2]:  # where one case has no wall below 0.5, the others are measured there too
        levels = np.load(project["probabilities"] / f"{name}.npy")
        levels[0, 0][:, :11], levels[0, 0][:, 11:13] = 120, 180
        np.save(project["probabilities"] / f"{name}.npy", levels)
    evaluate_extra(**project | {"kinds": ["rand"]})
    rows = [row for row in read_table(project["table"]) if row["class"] == "wall"]
    chosen = read_json(project["pooled"])["wall"]["v_rand_threshold"]
    assert chosen == pytest.approx(0.5, abs=0.02)
    level = next(level for level in THRESHOLDS if round(level / 255, 2) == chosen)
    reference = scene(broken=False)[np.newaxis]
    levels = np.load(project["probabilities"] / f"{IDS[2]}.npy")[0]
    expected = compare_borders(levels >= level, reference == 1, reference != 255).v_rand
    assert float(rows[2]["v_rand"]) == pytest.approx(expected, rel=1e-5)
    assert expected < 1


def test_what_is_pooled_is_that_of_all_pixels(project):
    levels = np.load(project["probabilities"] / "b/1.npy")
    levels[1] = 0
    np.save(project["probabilities"] / "b/1.npy", levels)
    evaluate_extra(**project | {"kinds": ["relaxed", "calibration"]})
    pooled, rows = read_json(project["pooled"])["cell"], read_table(project["table"])
    cells = [row for row in rows if row["class"] == "cell"]
    assert pooled["brier"] == pytest.approx(np.mean([float(row["brier"]) for row in cells]), rel=1e-5)
    assert pooled["ece"] <= np.mean([float(row["ece"]) for row in cells]) + 1e-6
    assert [float(row["break_even"]) for row in cells[:2]] == [1, 1]
    assert pooled["break_even"] < 1
    assert sum(row["pixels"] for row in pooled["reliability"]) == 3 * SIZE * (SIZE - 2)


def test_objects_are_those_of_the_object_images(project):
    numbers = np.zeros((SIZE, SIZE), np.uint16)
    numbers[2:10, 2:6], numbers[2:10, 6:10], numbers[14:20, 14:22] = 1, 2, 3
    for name in IDS:
        write_instance_png(project["labels"][0] / f"{name}.instances.png", numbers)
    evaluate_extra(**project | {"kinds": ["instances"], "instances": True})
    cell = read_table(project["table"])[1]
    # one of three objects is matched, and the prediction made one of the other two
    assert float(cell["rq"]) == pytest.approx(2 / 5)


def test_objects_that_were_told_apart_are_measured(project):
    numbers = np.zeros((SIZE, SIZE), np.uint16)
    numbers[2:10, 2:6], numbers[2:10, 6:10], numbers[14:20, 14:22] = 1, 2, 3
    for name in IDS:
        write_instance_png(project["labels"][0] / f"{name}.instances.png", numbers)
        write_instance_png(project["masks"] / f"{name}.instances.png", numbers)
    evaluate_extra(**project | {"kinds": ["instances"], "instances": True})
    cell = read_table(project["table"])[1]
    assert float(cell["rq"]) > 2 / 5


def test_a_class_whose_objects_were_not_told_apart_has_its_components():
    mask = np.zeros((1, 6, 9), bool)
    mask[0, 1:4, 1:4] = mask[0, 1:4, 6:9] = True
    nowhere, halves = np.zeros((6, 9), int), np.zeros((6, 9), int)
    halves[1:4, 1:3], halves[1:4, 3:9] = 1, 2
    assert measure_masks(["instances"], mask, mask, mask | True, found=nowhere)["pq"] == 1
    assert measure_masks(["instances"], mask, mask, mask | True, found=halves)["pq"] < 1


def test_probabilities_and_masks_that_do_not_fit_are_all_named(project):
    write_label_png(project["masks"] / "a/1.png", np.zeros((3, 4), np.uint8), Classes.from_config(CLASSES))
    np.save(project["probabilities"] / "b/1.npy", np.zeros((1, 1, SIZE, SIZE), np.uint8))
    with pytest.raises(
        MaskmillError, match=r"(?s)2 masks do not fit.*a/1\.png has 4 × 3 pixels.*b/1\.npy is of \(1, 1"
    ):
        evaluate_extra(**project)


def test_the_same_input_gives_the_same_bytes(project):
    contents = []
    for _ in range(2):
        evaluate_extra(**project)
        contents.append((project["table"].read_bytes(), project["pooled"].read_bytes()))
    assert contents[0] == contents[1]


def test_ignored_pixels_are_in_no_metric_of_masks():
    reference, valid = np.zeros((2, 1, 20, 20), bool)
    reference[0, 2:8, 2:8], valid[0, :, :10] = True, True
    prediction = reference.copy()
    prediction[0, 12:18, 12:18] = True
    kinds = [kind for kind in EXTRA_METRICS if kind != "calibration"]
    values = measure_masks(kinds, prediction, reference, valid)
    assert list(values) == list(extra_metrics(kinds, probabilities=False))
    assert {value for value in values.values() if value is not None} == {1}
    assert measure_masks(["instances"], prediction, reference, valid | True)["rq"] == pytest.approx(2 / 3)


def test_metrics_of_masks_leave_out_what_needs_probabilities():
    assert set(extra_metrics(EXTRA_METRICS)) - set(extra_metrics(EXTRA_METRICS, False)) == set(FROM_PROBABILITIES)
    assert list(extra_metrics(["sizes", "cldice"]))[:2] == ["cldice", "recall_tiny"]


def test_calibration_is_that_of_probabilities_at_the_temperature(project):
    plain = measured_calibration(project, 1)
    surer = measured_calibration(project, 0.5)

    assert plain["reliability"][-1]["probability"] == pytest.approx(200 / 255, abs=1e-5)
    wall = round(255 * 200**2 / (200**2 + 10**2 + 45**2))  # of 10 the cell's, and 45 of the background
    assert surer["reliability"][-1]["probability"] == pytest.approx(wall / 255, abs=1e-5)


def measured_calibration(project, temperature):
    write_json(project["point"], {"temperature": temperature, "thresholds": [0.5, 0.5], "steps": []})
    evaluate_extra(**project | {"kinds": ["calibration"]})
    return read_json(project["pooled"])["wall"]
