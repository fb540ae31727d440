"""Shapes are drawn as labelme draws them, and what cannot be drawn is a finding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.images import read_label_png
from maskmill.rasterize import (
    check_annotation,
    draw_sample,
    label_value,
    rasterize_annotation,
    rasterize_shard,
    read_annotation,
)
from tests.unit.label_data import SQUARE, shape, write_labelme, write_picture

CLASSES = Classes.from_config(["building", "road"])


def make(kind, points, label="building", mask=None):
    return Shape(label, kind, np.asarray(points, dtype=np.float64), None, mask)


def draw(*shapes, height=50, width=60, background="rest"):
    return rasterize_annotation(Annotation(height, width, shapes), CLASSES, background)


@pytest.mark.parametrize(
    ("kind", "points", "pixels"),
    [
        ("polygon", [[10, 10], [20, 10], [20, 20], [10, 20]], 121),
        ("oriented_rectangle", [[10, 10], [20, 10], [20, 20], [10, 20]], 121),
        ("rectangle", [[10, 10], [20, 20]], 121),
        ("rectangle", [[20, 10], [10, 20]], 121),
        ("circle", [[25, 25], [30, 25]], 97),
        ("point", [[25, 25]], 97),
        ("points", [[10, 10], [40, 40]], 2 * 97),
        ("line", [[10, 10], [40, 40]], 458),
        ("mask", [[10.9, 5.2], [12.9, 6.2]], 4),
    ],
)
def test_pixels_of_every_kind_of_shape(kind, points, pixels):
    mask = np.array([[0, 1, 1], [1, 0, 1]], dtype=bool) if kind == "mask" else None
    labels = draw(make(kind, points, "road", mask))
    assert labels.dtype == np.uint8
    assert (labels == 2).sum() == pixels
    assert set(np.unique(labels)) == {0, 2}


def test_mask_shape_lies_at_its_corner():
    labels = draw(make("mask", [[10.9, 5.2], [12.9, 6.2]], mask=np.array([[0, 1, 1], [1, 0, 1]], dtype=bool)))
    np.testing.assert_array_equal(labels[5:7, 10:13], [[0, 1, 1], [1, 0, 1]])


def test_coordinates_are_cut_and_the_outline_belongs_to_the_shape():
    labels = draw(make("polygon", [[1.9, 1.9], [3.9, 1.9], [3.9, 3.9], [1.9, 3.9]]), height=6, width=6)
    expected = np.zeros((6, 6))
    expected[1:4, 1:4] = 1
    np.testing.assert_array_equal(labels, expected)


def test_later_shapes_cover_earlier_ones():
    under, over = make("rectangle", [[0, 0], [9, 9]]), make("rectangle", [[5, 5], [9, 9]], "road")
    assert draw(under, over)[7, 7] == 2
    assert draw(over, under)[7, 7] == 1


def test_ignored_and_background_shapes_cover_too():
    under = make("rectangle", [[0, 0], [9, 9]])
    assert draw(under, make("rectangle", [[5, 5], [9, 9]], "__ignore__"))[7, 7] == 255
    assert draw(under, make("rectangle", [[5, 5], [9, 9]], "_background_"))[7, 7] == 0
    assert draw(under, make("rectangle", [[5, 5], [9, 9]], "grass"), background=["grass"])[7, 7] == 0


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("building", 1),
        ("road", 2),
        ("building-1", 1),
        ("road_12", 2),
        ("Building", None),
        ("road 1", None),
        ("road-a", None),
    ],
)
def test_label_is_exact_but_for_an_instance_number(label, value):
    assert label_value(label, CLASSES, "rest") == value


def test_instance_number_does_not_override_a_class():
    classes = Classes.from_config(["zone", "zone_2"])
    assert label_value("zone_2", classes, "rest") == 2
    assert label_value("zone_2_7", classes, "rest") == 2
    assert label_value("zone_3", classes, "rest") == 1


coordinates = st.floats(-100, 200)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=12))
def test_polygon_stays_within_its_bounds(points):
    labels = draw(make("polygon", points))
    rows, columns = np.nonzero(labels)
    corners = np.trunc(points)
    if rows.size:
        assert corners[:, 1].min() <= rows.min() <= rows.max() <= corners[:, 1].max()
        assert corners[:, 0].min() <= columns.min() <= columns.max() <= corners[:, 0].max()
    for x, y in corners.astype(int):
        if 0 <= x < 60 and 0 <= y < 50:
            assert labels[y, x] == 1


quarters = st.integers(0, 80).map(lambda quarter: quarter / 4)


@given(st.lists(st.tuples(quarters, quarters), min_size=3, max_size=8), st.integers(0, 20), st.integers(0, 20))
def test_polygon_within_the_picture_moves_with_its_points(points, right, down):
    moved = draw(make("polygon", [(x + right, y + down) for x, y in points]))
    np.testing.assert_array_equal(moved[down:, right:], draw(make("polygon", points))[: 50 - down, : 60 - right])


def test_everything_wrong_with_an_annotation_is_found():
    shapes = [make("polygon", SQUARE[:2]), make("polygon", SQUARE, "Bilding"), make("polygon", SQUARE, "Bilding")]
    findings = check_annotation(
        Annotation(20, 30, (*shapes, make("polygon", SQUARE, "tree"))), CLASSES, "rest", (30, 20)
    )
    assert [finding.kind for finding in findings] == [
        "size_mismatch",
        "degenerate_shape",
        "unknown_label",
        "unknown_label",
    ]
    assert "30 × 20 pixels, but the picture has 20 × 30 (turned upright as its EXIF" in findings[0].detail
    assert 'shape 1 ("building") has 2 points' in findings[1].detail
    assert '"Bilding" (2 shapes); did you mean "building"?' in findings[2].detail
    assert '"tree" (1 shape); known are building, road' in findings[3].detail


def test_label_of_a_list_of_background_labels_is_no_problem():
    annotation = Annotation(None, None, (make("polygon", SQUARE, "tree"),))
    assert check_annotation(annotation, CLASSES, ["tree"], (30, 20)) == []
    assert [finding.kind for finding in check_annotation(annotation, CLASSES, [], (30, 20))] == ["unknown_label"]


def test_unknown_format(tmp_path):
    with pytest.raises(MaskmillError, match='"xml" is unknown; use labelme or png'):
        read_annotation(tmp_path / "a.xml", "xml", ["building"], "rest")


def sample_row(tmp_path, name, *shapes, **annotation):
    return {
        "id": name,
        "image": str(write_picture(tmp_path / f"{name}.png")),
        "annotation": str(write_labelme(tmp_path / f"{name}.json", *shapes, **annotation)),
    }


def test_problems_of_both_files_of_a_sample(tmp_path):
    row = sample_row(tmp_path, "a", shape("tree"), shape(points=SQUARE[:2]))
    (tmp_path / "a.png").write_bytes(b"")
    labels, problems = draw_sample(row, "labelme", ["building"], "rest")
    assert labels is None
    assert [problem.kind for problem in problems] == ["broken_image", "degenerate_shape", "unknown_label"]
    assert {problem.file for problem in problems} == {row["image"], row["annotation"]}


def test_shard_writes_labels_statistics_and_problems(tmp_path):
    rows = [
        sample_row(tmp_path, "d/a", shape(), shape("__ignore__", [[20, 0], [29, 9]], "rectangle")),
        sample_row(tmp_path, "b", shape("tree")),
        sample_row(tmp_path, "c", height=None, width=None),
    ]
    write_table(tmp_path / "00.csv", rows, ["id", "image", "annotation"])
    rasterize_shard(tmp_path / "00.csv", tmp_path / "labels", "labelme", ["building", "road"], "rest")
    labels = read_label_png(tmp_path / "labels" / "d" / "a.png")
    assert (labels.shape, (labels == 1).sum(), (labels == 255).sum()) == ((20, 30), 64, 100)
    assert not (tmp_path / "labels" / "b.png").exists()
    assert not read_label_png(tmp_path / "labels" / "c.png").any()
    assert read_table(tmp_path / "labels" / "statistics.csv") == [
        {"id": name, "class": value, "pixels": pixels}
        for name, counts in (("d/a", ("436", "64", "0", "100")), ("c", ("600", "0", "0", "0")))
        for value, pixels in zip(("0", "1", "2", "255"), counts, strict=True)
    ]
    (problem,) = read_table(tmp_path / "labels" / "problems.csv")
    assert (problem["id"], problem["kind"]) == ("b", "unknown_label")


def test_shard_drawn_again_has_the_same_bytes_and_nothing_of_before(tmp_path):
    write_table(tmp_path / "00.csv", [sample_row(tmp_path, "a", shape())], ["id", "image", "annotation"])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "gone.png").write_text("")
    contents = []
    for _ in range(2):
        rasterize_shard(tmp_path / "00.csv", tmp_path / "labels", "labelme", ["building"], "rest")
        contents.append({file.name: file.read_bytes() for file in (tmp_path / "labels").iterdir()})
    assert contents[0] == contents[1]
    assert contents[0].keys() == {"a.png", "statistics.csv", "problems.csv"}
