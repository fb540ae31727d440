"""How sure a member is of each case of a split."""

import numpy as np
import pytest
from PIL import Image

from maskmill.evaluation.uncertainty import COLUMNS, judge_order, measure_uncertainty
from maskmill.files import read_json, read_table, write_json, write_table
from maskmill.inference.entropy import pixel_entropy
from maskmill.inference.temperature import scale_probabilities

LEVELS = {"site/a": 250, "site/b": 128, "site/c": 200, "site/d": 0}
IOU = {"site/a": (0.9, 0.7), "site/b": (0.2, None), "site/c": (0.5, 0.5), "site/d": (None, None)}


@pytest.fixture
def project(tmp_path):
    """Four cases of one level of probability each, and their metrics."""
    rows = []
    for name, level in LEVELS.items():
        file = tmp_path / f"probabilities/{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        probabilities = np.zeros((2, 1, 6, 8), np.uint8)
        probabilities[0, 0, :3] = level
        np.save(file, probabilities)
        rows += [
            {"id": name, "group": "site", "class": of, "unit": "px", "reference_pixels": 9, "iou": iou}
            for of, iou in zip(("roof", "road"), IOU[name], strict=True)
        ]
    write_table(tmp_path / "metrics.csv", rows, list(rows[0]))
    return tmp_path


def measure(project, temperature=1):
    point = project / "point.json"
    write_json(point, {"temperature": temperature, "thresholds": [0.5, 0.5], "steps": []})
    measure_uncertainty(
        project / "probabilities", project / "metrics.csv", point, project / "u.csv", project / "u.json", project / "u"
    )


def test_each_case_has_a_row(project):
    measure(project)

    rows = read_table(project / "u.csv")

    assert tuple(rows[0]) == COLUMNS
    assert [(row["id"], row["pixels"], row["iou"]) for row in rows] == [
        ("site/a", "24", "0.8"), ("site/b", "24", "0.2"), ("site/c", "24", "0.5"), ("site/d", "0", "")
    ]  # fmt: skip
    for row in rows:
        expected = float(pixel_entropy(np.array([[LEVELS[row["id"]]], [0]], np.uint8))[0])
        assert float(row["entropy"]) == pytest.approx(expected, abs=1e-5)
        assert float(row["entropy"]) + float(row["confidence"]) == pytest.approx(1)


def test_the_least_confident_are_listed_with_their_maps(project):
    measure(project)

    judged = read_json(project / "u.json")

    assert [row["id"] for row in judged["listed"]] == ["site/b", "site/c"]
    assert {file.relative_to(project / "u").as_posix() for file in (project / "u").rglob("*.png")} == {
        "site/b.png", "site/c.png"
    }  # fmt: skip
    with Image.open(project / "u/site/b.png") as drawn:
        assert drawn.mode == "L"
        expected = pixel_entropy(np.load(project / "probabilities/site/b.npy")[:, 0]) * 255
        np.testing.assert_array_equal(np.asarray(drawn), np.rint(expected))


def test_the_curve_is_of_the_cases_with_an_iou(project):
    measure(project)

    judged = read_json(project / "u.json")

    assert (judged["cases"], judged["undefined"]) == (3, 1)
    assert judged["coverage"] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-6)
    assert judged["risk"] == pytest.approx([0.2, 0.35, 0.5])
    assert judged["risk"] == judged["ideal_risk"]
    assert judged["aurc"] == judged["ideal_aurc"] == pytest.approx(0.35)
    assert judged["random_aurc"] == pytest.approx(0.5)
    assert judged["correlation"]["estimate"] == 1


def test_the_same_files_give_the_same_bytes(project):
    measure(project)
    first = (project / "u.json").read_bytes(), (project / "u.csv").read_bytes()
    measure(project)
    assert first == ((project / "u.json").read_bytes(), (project / "u.csv").read_bytes())


def test_without_an_iou_there_is_no_curve():
    judged = judge_order([{"id": "a", "group": "g", "confidence": 1.0, "iou": None}])
    assert (judged["cases"], judged["undefined"], judged["aurc"], judged["coverage"]) == (0, 1, None, [])


def test_probabilities_are_taken_at_the_temperature_of_the_operating_point(project):
    measure(project, temperature=2)

    for row in read_table(project / "u.csv")[:3]:
        level = scale_probabilities(np.array([[LEVELS[row["id"]]], [0]], np.uint8), 2)
        assert float(row["entropy"]) == pytest.approx(float(pixel_entropy(level)[0]), abs=1e-5)
