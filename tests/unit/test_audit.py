"""The audit counts what was annotated, what is left of it, and shows the samples that need a look."""

import numpy as np
import pytest
from PIL import Image

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.audit import audit_labels, audit_sample, choose_overlays, draw_overlay, severity, shape_area
from maskmill.classes import Classes
from maskmill.files import read_table
from maskmill.images import read_label_png
from maskmill.rasterize import rasterize_annotation
from tests.unit.label_data import (
    label_paths,
    labelme_source,
    run_labels,
    shape,
    write_labelme,
    write_mask,
    write_picture,
)

CLASSES = Classes.from_config(["building", "road"])


def rectangle(left, top, right, bottom, label="building", group=None):
    return Shape(label, "rectangle", np.array([[left, top], [right, bottom]], dtype=np.float64), group)


def audit(*shapes):
    annotation = Annotation(40, 50, shapes)
    building, road = audit_sample("a", annotation, rasterize_annotation(annotation, CLASSES), CLASSES, "rest")
    assert (building["class"], road["class"]) == ("building", "road")
    return building, road


def test_areas_and_pixels():
    building, road = audit(rectangle(0, 0, 9, 9), rectangle(20, 20, 29, 29, "building-1"))
    assert building == {
        "id": "a",
        "class": "building",
        "objects": 2,
        "tiny_objects": 0,
        "outside_objects": 0,
        "annotated_area": 162,
        "label_pixels": 200,
        "covered_pixels": 0,
        "remarks": "",
    }
    assert (road["objects"], road["label_pixels"], road["remarks"]) == (0, 0, "")


def test_covered_pixels_are_those_another_class_took():
    building, road = audit(rectangle(0, 0, 9, 9), rectangle(5, 0, 9, 9), rectangle(0, 0, 9, 1, "road"))
    assert (building["covered_pixels"], building["label_pixels"]) == (20, 80)
    assert building["remarks"] == "20 pixels covered by other classes"
    assert (road["covered_pixels"], road["label_pixels"]) == (0, 20)


def test_object_that_vanished_altogether():
    building, _ = audit(rectangle(2, 2, 8, 8), rectangle(0, 0, 9, 9, "__ignore__"))
    assert (building["objects"], building["label_pixels"]) == (1, 0)
    assert building["remarks"] == "nothing left in the label image"


def test_shapes_of_one_group_are_one_object():
    building, road = audit(
        rectangle(0, 0, 3, 3, group=1),
        rectangle(10, 0, 19, 9, group=1),
        rectangle(0, 20, 9, 29),
        rectangle(0, 30, 9, 39, "road", 1),
    )
    assert (building["objects"], building["tiny_objects"], road["objects"]) == (2, 0, 1)


def test_tiny_and_outside_objects():
    building, _ = audit(
        rectangle(0, 0, 4, 4), rectangle(40, 30, 60, 39), rectangle(-1, 10, 9, 19), rectangle(60, 0, 70, 9)
    )
    assert (building["objects"], building["tiny_objects"], building["outside_objects"]) == (4, 1, 2)
    assert building["remarks"] == "1 tiny, 2 reaching outside"


@pytest.mark.parametrize(
    ("kind", "points", "area"),
    [
        ("polygon", [[0, 0], [10, 0], [10, 10]], 50),
        ("rectangle", [[10, 0], [0, 5]], 50),
        ("circle", [[5, 5], [5, 9]], 16 * np.pi),
        ("mask", [[0, 0], [1, 1]], 3),
        ("line", [[0, 0], [10, 0]], None),
        ("point", [[0, 0]], None),
    ],
)
def test_geometric_area(kind, points, area):
    mask = np.array([[1, 1], [0, 1]], dtype=bool) if kind == "mask" else None
    found = shape_area(Shape("a", kind, np.asarray(points, dtype=np.float64), None, mask))
    assert found == (area if area is None else pytest.approx(area))


def test_regions_of_a_mask_picture_are_its_objects():
    labels = np.zeros((40, 50), dtype=np.uint8)
    labels[0:10, 0:10], labels[20:22, 20:22] = 1, 1
    building, road = audit_sample("a", Annotation(40, 50, (), labels), labels, CLASSES, "rest")
    assert (building["objects"], building["tiny_objects"], building["label_pixels"]) == (2, 1, 104)
    assert (road["objects"], road["label_pixels"]) == (0, 0)


def test_severity_ranks_losses_above_none():
    fine = severity(audit(rectangle(0, 0, 20, 20)))
    tiny = severity(audit(rectangle(0, 0, 20, 20), rectangle(30, 30, 32, 32)))
    empty = severity(audit())
    assert fine == 0 < tiny < empty


def test_choice_of_overlays_is_half_the_worst_and_an_even_spread():
    samples = [{"id": str(i)} for i in range(100)]
    severities = [1.0 + i if 50 <= i < 80 else 0.0 for i in range(100)]
    chosen = [int(sample["id"]) for sample in choose_overlays(samples, severities)]
    assert len(chosen) == len(set(chosen)) == 24
    assert chosen[:12] == list(range(79, 67, -1))
    assert (chosen[12], chosen[-1]) == (0, 99)
    assert max(np.diff(chosen[12:])) < 25
    few = choose_overlays(samples[:5], [0, 0, 0, 2.0, 0])
    assert [sample["id"] for sample in few] == ["3", "0", "1", "2", "4"]


def test_overlay_shows_the_picture_tinted_where_the_class_is():
    image = np.full((1000, 500, 1), 100, dtype=np.uint8)
    labels = np.zeros((1000, 500), dtype=np.uint8)
    labels[200:800, 100:400] = 1
    overlay = draw_overlay(image, labels, CLASSES)
    assert (overlay.shape, overlay.dtype) == ((768, 384, 3), np.uint8)
    assert (overlay[10, 10] == 100).all()
    tint = np.asarray(CLASSES.colours[0]) - 100
    assert (np.sign(overlay[384, 192].astype(int) - 100) == np.sign(tint)).all()


def test_audit_of_a_data_set(tmp_path):
    for name in ("a", "d/b"):
        write_picture(tmp_path / "images" / f"{name}.png")
    write_labelme(tmp_path / "annotations" / "a.json", shape())
    write_labelme(tmp_path / "annotations" / "d" / "b.json")
    folders = run_labels(labelme_source(tmp_path), tmp_path / "out", ["building"])
    assert read_label_png(label_paths(folders)["a"]).any()
    contents = []
    for output in (tmp_path / "first", tmp_path / "second"):
        audit_labels(
            tmp_path / "out" / "samples.csv",
            folders,
            "labelme",
            ["building"],
            "rest",
            output / "audit.csv",
            output / "overlays",
        )
        contents.append({file.name: file.read_bytes() for file in output.rglob("*.*")})
    assert contents[0] == contents[1]
    rows = read_table(tmp_path / "first" / "audit.csv")
    assert [(row["id"], row["class"], row["label_pixels"]) for row in rows] == [
        ("a", "building", "64"),
        ("d/b", "building", "0"),
    ]
    listed = read_table(tmp_path / "first" / "overlays" / "overlays.csv")
    assert listed == [
        {"file": "01-d_b.png", "id": "d/b", "remarks": "no class in the picture"},
        {"file": "02-a.png", "id": "a", "remarks": ""},
    ]
    with Image.open(tmp_path / "first" / "overlays" / "02-a.png") as overlay:
        assert overlay.size == (30, 20)


def test_audit_of_mask_pictures(tmp_path):
    write_picture(tmp_path / "images" / "a.png")
    write_mask(tmp_path / "masks" / "a.png", np.eye(20, 30) * 255)
    source = {"format": "png", "images": f"{tmp_path}/images", "annotations": f"{tmp_path}/masks"}
    classes = {"building": "#ffffff"}
    folders = run_labels(source, tmp_path / "out", classes)
    audit_labels(
        tmp_path / "out/samples.csv", folders, "png", classes, "rest", tmp_path / "audit.csv", tmp_path / "overlays"
    )
    (row,) = read_table(tmp_path / "audit.csv")
    assert (row["objects"], row["tiny_objects"], row["label_pixels"], row["remarks"]) == ("1", "1", "20", "1 tiny")
