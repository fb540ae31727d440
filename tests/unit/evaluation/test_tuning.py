"""The operating point is found where it is known to be, on validation alone."""

import numpy as np
import pytest

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.evaluation.tuning import choose_operating_point
from maskmill.files import read_json, write_table
from maskmill.imaging.images import write_instance_png, write_label_png
from maskmill.imaging.volumes import write_label_volume
from tests.unit.volume_data import write_nifti

CLASSES = Classes.from_config(["roof", "road"])
THRESHOLDS = [0.2, 0.35, 0.5, 0.65, 0.8]
AREAS = {"step": "remove_small", "area": [5, 25, 400]}


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


def write_tables(folder, parts, depth=1, image="", groups=None):
    """The tables of samples and splits; parts: id → part; groups: id → group, the id where it is not given."""
    rows = [
        {
            "id": name,
            "group": (groups or {}).get(name, name),
            "shard": "00",
            "image": image,
            "depth": depth,
            "fold0": part,
        }
        for name, part in parts.items()
    ]
    for table in ("samples.csv", "splits.csv"):
        write_table(folder / table, rows, list(rows[0]))


def choose(folder, classes=CLASSES, steps=(AREAS,), thresholds=THRESHOLDS, folds=(0,), temperatures=(1,)):
    """The operating point chosen on the files in `folder`."""
    choose_operating_point(
        probabilities=folder / "probabilities",
        labels=[folder / "labels/00"],
        samples=folder / "samples.csv",
        splits=folder / "splits.csv",
        classes=classes,
        folds=folds,
        options={"temperatures": temperatures, "thresholds": thresholds, "steps": list(steps)},
        output=folder / "point.json",
    )
    return read_json(folder / "point.json")


def ablation(point, step, class_name):
    """The row of a step and class."""
    (row,) = [row for row in point["ablation"] if (row["step"], row["class"]) == (step, class_name)]
    return row


def test_the_known_optimum_is_found(validation):
    point = choose(validation)

    assert point["thresholds"] == [0.65, 0.35]
    assert point["steps"] == [{"step": "remove_small", "class": 1, "area": 25}]
    assert point["validation"]["roof"]["iou"] == 1
    assert point["validation"]["road"]["iou"] == 1
    assert point["validation"]["road"]["iou_at_half"] == 0
    assert (point["pictures"], point["samples"]) == (2, ["a", "b"])
    assert point["candidates"] == {"temperatures": [1], "thresholds": THRESHOLDS, "steps": [AREAS]}


def test_an_ensemble_is_chosen_on_the_validation_pictures_of_all_folds(validation):
    parts = {"a": ("validation", "train"), "b": ("train", "validation"), "secret": ("test", "test")}
    rows = [{"id": name, "group": name, "shard": "00", "fold0": part[0], "fold1": part[1]}
            for name, part in parts.items()]  # fmt: skip
    write_table(validation / "splits.csv", rows, list(rows[0]))

    assert [choose(validation, folds=folds)["samples"] for folds in ([0], [1], [1, 0])] == [["a"], ["b"], ["a", "b"]]


def test_what_each_choice_gains_is_told(validation):
    point = choose(validation)

    assert ablation(point, "threshold", "road") | {"used": 0.35, "gain": 1.0} == ablation(point, "threshold", "road")
    roof, road = (ablation(point, "remove_small", name) for name in ("roof", "road"))
    assert roof["used"] == 25
    assert roof["gain"] == pytest.approx(1 - 625 / 634, abs=1e-6)
    assert (road["used"], road["gain"], road["low"]) == (None, 0, None)  # two groups give no interval


def test_a_step_that_hurts_is_left_out_and_one_that_helps_is_not(validation):
    point = choose(validation, steps=[{"step": "opening", "radius": 3}, {"step": "closing", "radius": 1}, AREAS])

    assert [(step["step"], step["class"]) for step in point["steps"]] == [("remove_small", 1)]
    assert ablation(point, "opening", "roof")["gain"] < 0  # it takes the corners of roofs
    assert ablation(point, "closing", "roof")["gain"] == 0
    hurt = choose(validation, steps=[{"step": "remove_small", "area": 700}, AREAS])
    assert [(step["step"], step["area"]) for step in hurt["steps"]] == [("remove_small", 25)]
    first, second = (row for row in hurt["ablation"] if (row["step"], row["class"]) == ("remove_small", "roof"))
    assert (first["used"], first["gain"] < -0.9) == (None, True)
    assert (second["used"], second["gain"] > 0) == (25, True)


def test_steps_work_on_the_classes_that_they_name(validation):
    point = choose(validation, steps=[AREAS | {"classes": ["road"], "always": True}])

    assert point["steps"] == [{"step": "remove_small", "class": 2, "area": 5}]
    assert [row["class"] for row in point["ablation"] if row["step"] == "remove_small"] == ["road"]


def test_a_class_that_is_nowhere_has_no_scores_and_the_plain_choice(validation):
    classes = Classes.from_config(["roof", "road", "pond"])
    for name in ("a", "b"):
        probabilities = np.load(validation / f"probabilities/{name}.npy")
        nowhere = np.zeros((1, 1, 60, 60), np.uint8)
        np.save(validation / f"probabilities/{name}.npy", np.concatenate([probabilities, nowhere]))

    point = choose(validation, classes)

    assert point["thresholds"] == [0.65, 0.35, 0.5]
    assert [step["class"] for step in point["steps"]] == [1]
    nowhere = {"threshold_iou": [None] * 5, "iou_at_half": None, "iou": None, "nested_iou": None}
    assert point["validation"]["pond"] == nowhere
    assert ablation(point, "remove_small", "pond")["gain"] is None


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

    steps = [{"step": "remove_small", "area": [5, "9 mm3"]}, "split_touching", "regularize_polygons"]
    point = choose(tmp_path, Classes.from_config(["roof"]), steps)

    assert (point["thresholds"], point["steps"]) == ([0.65], [{"step": "remove_small", "class": 1, "area": "9 mm3"}])
    assert ablation(point, "remove_small", "roof")["gain"] == pytest.approx(1 - 576 / 584, abs=1e-6)
    assert ablation(point, "regularize_polygons", "roof")["gain"] is None
    assert point["optimism"]["resampled"] == "nothing"
    assert point["optimism"]["nested"] is None
    assert "nested_iou" not in point["validation"]["roof"]


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

    assert choose(tmp_path, Classes.from_config(["roof"]), [])["validation"]["roof"]["iou"] == 0.5


@pytest.fixture
def noise(tmp_path):
    """Eight pictures of two sites each with specks of every size at random places, annotated at random."""
    rng = np.random.default_rng(3)
    (tmp_path / "probabilities").mkdir()
    names = [f"p{number}" for number in range(8)]
    for name in names:
        write_label_png(tmp_path / f"labels/00/{name}.png", rng.integers(0, 2, (12, 12)).astype(np.uint8), CLASSES)
        np.save(tmp_path / f"probabilities/{name}.npy", rng.integers(60, 200, (1, 1, 12, 12)).astype(np.uint8))
    groups = {name: f"site {int(name[1:]) // 2}" for name in names}
    write_tables(tmp_path, dict.fromkeys(names, "validation"), groups=groups)
    return tmp_path


def test_a_choice_among_noise_is_optimistic(noise):
    thresholds = [round(0.35 + number / 100, 2) for number in range(30)]
    steps = [{"step": "remove_small", "area": list(range(2, 30))}, "closing", "opening"]

    optimism = choose(noise, Classes.from_config(["roof"]), steps, thresholds)["optimism"]

    assert (optimism["resampled"], optimism["parts"]) == ("groups", 4)
    assert optimism["difference"] > 0
    assert optimism["difference"] == pytest.approx(optimism["apparent"] - optimism["nested"], abs=2e-6)
    assert optimism["low"] <= optimism["difference"] <= optimism["high"]


def test_a_choice_that_is_plain_is_not_optimistic(validation):
    optimism = choose(validation)["optimism"]

    assert (optimism["apparent"], optimism["nested"], optimism["difference"]) == (1, 1, 0)


@pytest.mark.parametrize("annotated", [True, False])
def test_splitting_is_judged_by_annotated_objects_alone(tmp_path, annotated):
    rows, columns = np.mgrid[:40, :60]
    discs = [(rows - 20) ** 2 + (columns - middle) ** 2 <= 100 for middle in (20, 38)]
    (tmp_path / "probabilities").mkdir()
    for name in ("a", "b"):
        write_label_png(tmp_path / f"labels/00/{name}.png", (discs[0] | discs[1]).astype(np.uint8), CLASSES)
        np.save(
            tmp_path / f"probabilities/{name}.npy", np.where(discs[0] | discs[1], 230, 9).astype(np.uint8)[None, None]
        )
        if annotated:
            write_instance_png(tmp_path / f"labels/00/{name}.instances.png", discs[0] + 2 * (discs[1] & ~discs[0]))
    write_tables(tmp_path, {"a": "validation", "b": "validation"})

    point = choose(tmp_path, Classes.from_config(["cell"]), [{"step": "split_touching", "depth": [8, 1]}])

    row = ablation(point, "split_touching", "cell")
    assert row["measure"] == "pq"
    if annotated:
        assert point["steps"] == [{"step": "split_touching", "class": 1, "depth": 1}]
        assert row["gain"] > 0.4
        assert point["validation"]["cell"]["iou"] == 1
    else:
        assert point["steps"] == []
        assert row["gain"] is None
