"""Errors near the borders of tiles and elsewhere."""

import numpy as np
import pytest
import yaml

from maskmill.classes import Classes
from maskmill.evaluation import seams
from maskmill.evaluation.seams import COLUMNS, describe_seams, measure_seams, near_borders, seam_row
from maskmill.files import read_table, write_table
from maskmill.imaging.images import write_label_png
from tests.unit.member import MODEL, TILING

CLASSES = Classes.from_config(["roof"])


def test_near_is_less_than_the_distance_from_a_border(monkeypatch):
    monkeypatch.setattr(seams, "DISTANCE", 2)

    near = near_borders([[], [4], [1, 9]], (1, 8, 10))

    assert not near[0].any()
    assert np.flatnonzero(near[1]).tolist() == [2, 3, 4, 5]
    assert np.flatnonzero(near[2]).tolist() == [0, 1, 2, 7, 8, 9]


def test_errors_and_gaps_are_counted_apart_and_ignored_pixels_nowhere():
    reference = np.array([[[1, 1, 0, 255]]], np.uint8)
    mask = np.array([[[1, 0, 1, 1]]], np.uint8)
    probabilities = np.array([[[[255, 51, 153, 255]]]], np.uint8)
    near = [np.array([False]), np.array([False]), np.array([True, True, False, False])]

    row = seam_row(probabilities, mask, reference, near)

    assert row["near_gap"] == pytest.approx(0.4)  # 0 and 0.8
    assert row["far_gap"] == pytest.approx(0.6)
    del row["near_gap"], row["far_gap"]
    assert row == {"near_pixels": 2, "near_errors": 1, "far_pixels": 1, "far_errors": 1, "ratio": 0.5}


def test_a_ratio_needs_errors_elsewhere_and_borders():
    reference, nowhere = np.zeros((1, 2, 2), np.uint8), [np.zeros(size, bool) for size in (1, 2, 2)]
    probabilities = np.zeros((1, 1, 2, 2), np.uint8)

    row = seam_row(probabilities, reference, reference, nowhere)

    assert (row["near_pixels"], row["near_gap"], row["ratio"]) == (0, None, None)


@pytest.fixture
def project(tmp_path):
    """A member and two test pictures, one wrong at the borders of its tiles and one that fits into a tile."""
    sizes = {"a": (64, 96), "b": (20, 20)}
    for name, size in sizes.items():
        reference = np.zeros(size, np.uint8)
        mask = reference.copy()
        if name == "a":
            mask[10, 36] = mask[20, 50] = mask[2, 2] = 1
        write_label_png(tmp_path / f"labels/00/{name}.png", reference, CLASSES)
        write_label_png(tmp_path / f"masks/{name}.png", mask, CLASSES)
        (tmp_path / "probabilities").mkdir(exist_ok=True)
        np.save(tmp_path / f"probabilities/{name}.npy", mask[np.newaxis, np.newaxis] * np.uint8(255))
    rows = [{"id": name, "image": "", "group": name, "shard": "00", "depth": 1} for name in sizes]
    write_table(tmp_path / "samples.csv", rows, list(rows[0]))
    splits = [{"id": name, "group": name, "shard": "00", "fold0": "test"} for name in sizes]
    write_table(tmp_path / "splits.csv", splits, list(splits[0]))
    preprocessing = {
        "channels": 3, "scale": 1.0, "intensity_ranges": [[0, 255]] * 3, "intensity_floor": 0.0, "crop_border": False,
        "normalization": "dataset", "mean": [0.5] * 3, "std": [0.3] * 3,
    }  # fmt: skip
    run = {"run_id": "0", "fold": 0, "model": MODEL, "train": {"patch": [1, 32, 32]}, "preprocessing": preprocessing}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
    return tmp_path


def measure(project, **tiling):
    measure_seams(
        probabilities=project / "probabilities",
        masks=project / "masks",
        labels=[project / "labels/00"],
        samples=project / "samples.csv",
        splits=project / "splits.csv",
        config=project / "config.yaml",
        split="test",
        tiling=TILING | tiling,
        output=project / "seams.csv",
    )
    return read_table(project / "seams.csv")


def test_a_row_a_case_with_what_is_near_the_borders_of_its_tiles(project):
    first, second = measure(project, tile=64, overlap=0.25)  # in columns from 0 to 64 and from 32 to 96

    assert tuple(first) == COLUMNS
    assert (first["id"], int(first["near_pixels"]), int(first["near_errors"])) == ("a", 64 * 2 * 16, 1)
    assert (int(first["far_pixels"]), int(first["far_errors"])) == (64 * 64, 2)
    assert float(first["ratio"]) == pytest.approx(1)
    assert float(first["near_gap"]) == pytest.approx(1 / 2048, rel=1e-4)
    assert (second["near_pixels"], second["ratio"]) == ("0", "")
    assert describe_seams(project / "seams.csv") == (
        "Within 8 pixels of the borders of tiles 0.05 % of the pixels have a wrong class, elsewhere 0.04 %, "
        "1.10 times as many (2,048 and 4,496 pixels)."
    )


def test_pictures_that_fit_into_tiles_have_no_borders(project):
    measure(project, tile=128)

    assert describe_seams(project / "seams.csv").startswith("Each picture fits into one tile")


def test_borders_of_scaled_pictures_are_where_they_are_in_the_picture(project):
    run = yaml.safe_load((project / "config.yaml").read_text(encoding="utf-8"))
    run["preprocessing"]["scale"] = 0.5
    (project / "config.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")

    first, _ = measure(project, tile=32, overlap=0.25)  # 32 × 48: in columns from 0 to 32 and from 16 to 48

    assert int(first["near_pixels"]) == 64 * 2 * 16
