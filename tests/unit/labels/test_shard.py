"""A shard's list becomes label images, and whatever cannot be drawn a problem."""

import numpy as np
import pytest

from maskmill.annotations.formats import LabelOptions, read_annotation
from maskmill.annotations.shapes import Annotation, Shape
from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.imaging.images import read_instance_png, read_label_png
from maskmill.labels.shard import check_annotation, checked_annotation, instances_path, labels_path, rasterize_shard
from tests.unit.label_data import SQUARE, shape, write_labelme, write_picture

CLASSES = Classes.from_config(["building", "road"])
OPTIONS = {"classes": ["building", "road"], "background": "rest"}
COLUMNS = ["id", "image", "annotation", "entry", "format", "depth"]


def make(points, label="building"):
    return Shape(label, "polygon", np.asarray(points, dtype=np.float64))


def sample_row(tmp_path, name, *shapes, **annotation):
    return {
        "id": name,
        "image": str(write_picture(tmp_path / f"{name}.png")),
        "annotation": str(write_labelme(tmp_path / f"{name}.json", *shapes, **annotation)),
        "entry": "",
        "format": "labelme",
        "depth": "1",
    }


def draw_shard(tmp_path, *rows, **options):
    write_table(tmp_path / "00.csv", rows, COLUMNS)
    rasterize_shard(tmp_path / "00.csv", tmp_path / "labels", OPTIONS | options)
    return tmp_path / "labels"


def test_everything_wrong_with_an_annotation_is_found():
    shapes = make(SQUARE[:2]), make(SQUARE, "Bilding"), make(SQUARE, "Bilding"), make(SQUARE, "tree")
    findings = check_annotation(Annotation(20, 30, shapes), CLASSES, "rest", (30, 20))
    assert [finding.kind for finding in findings] == [
        "size_mismatch",
        "degenerate_shape",
        "unknown_label",
        "unknown_label",
    ]
    assert "30 × 20 pixels, but the picture has 20 × 30: width and height are exchanged" in findings[0].detail
    assert 'shape 1 ("building") has 2 points' in findings[1].detail
    assert '"Bilding" (2 shapes); did you mean "building"?' in findings[2].detail
    assert '"tree" (1 shape); known are building, road' in findings[3].detail


def test_size_of_a_label_image_is_compared_too():
    annotation = Annotation(20, 30, label_values=np.zeros((20, 30), dtype=np.uint8))
    assert check_annotation(annotation, CLASSES, "rest", (20, 30)) == []
    (finding,) = check_annotation(annotation, CLASSES, "rest", (20, 31))
    assert "is for a picture of 30 × 20 pixels, but the picture has 31 × 20" in finding.detail


def test_size_of_a_volume_is_compared_in_all_directions():
    annotation = Annotation(20, 30, label_values=np.zeros((4, 20, 30), dtype=np.uint8))
    assert check_annotation(annotation, CLASSES, "rest", (4, 20, 30)) == []
    (finding,) = check_annotation(annotation, CLASSES, "rest", (5, 20, 30))
    assert "is for a picture of 30 × 20 × 4 pixels, but the picture has 30 × 20 × 5" in finding.detail


def test_label_of_a_list_of_background_labels_is_no_problem():
    annotation = Annotation(None, None, (make(SQUARE, "tree"),))
    assert check_annotation(annotation, CLASSES, ["tree"], (30, 20)) == []
    assert [finding.kind for finding in check_annotation(annotation, CLASSES, [], (30, 20))] == ["unknown_label"]


def test_unknown_format(tmp_path):
    row = sample_row(tmp_path, "a") | {"format": "xml"}
    with pytest.raises(MaskmillError, match=r'"xml" is unknown; use labelme, .* or auto'):
        read_annotation(row, LabelOptions(["building"]))


def test_annotation_without_a_problem_has_its_pictures_size(tmp_path):
    row = sample_row(tmp_path, "a", shape(), height=None, width=None)
    annotation, problems = checked_annotation(row, LabelOptions(**OPTIONS))
    assert problems == []
    assert (annotation.height, annotation.width, len(annotation.shapes)) == (20, 30, 1)


def test_problems_of_both_files_of_a_sample(tmp_path):
    row = sample_row(tmp_path, "a", shape("tree"), shape(points=SQUARE[:2]))
    (tmp_path / "a.png").write_bytes(b"")
    annotation, problems = checked_annotation(row, LabelOptions(**OPTIONS))
    assert annotation is None
    assert [problem.kind for problem in problems] == ["broken_image", "degenerate_shape", "unknown_label"]
    assert {problem.file for problem in problems} == {row["image"], row["annotation"]}
    assert all(problem.id == "a" and problem.detail and problem.remedy for problem in problems)


def test_shard_writes_labels_statistics_and_problems(tmp_path):
    folder = draw_shard(
        tmp_path,
        sample_row(tmp_path, "d/a", shape(), shape("__ignore__", [[20, 0], [29, 9]], "rectangle")),
        sample_row(tmp_path, "b", shape("tree")),
        sample_row(tmp_path, "c", height=None, width=None),
    )
    labels = read_label_png(folder / "d" / "a.png")
    assert (labels.shape, (labels == 1).sum(), (labels == 255).sum()) == ((20, 30), 64, 100)
    assert not (folder / "b.png").exists()
    assert not read_label_png(folder / "c.png").any()
    assert read_table(folder / "statistics.csv") == [
        {"id": name, "class": value, "pixels": pixels}
        for name, counts in (("d/a", ("436", "64", "0", "100")), ("c", ("600", "0", "0", "0")))
        for value, pixels in zip(("0", "1", "2", "255"), counts, strict=True)
    ]
    (problem,) = read_table(folder / "problems.csv")
    assert (problem["id"], problem["kind"]) == ("b", "unknown_label")


def test_shard_writes_object_numbers_where_they_are_wanted(tmp_path):
    parts = [shape(group_id=1), shape(points=[[12, 2], [19, 2], [19, 9]], group_id=1)]
    row = sample_row(tmp_path, "d/a", *parts, shape("road", [[20, 10], [29, 19]], "rectangle"))
    folder = draw_shard(tmp_path, row, instances=True)
    objects, labels = read_instance_png(instances_path(folder, "d/a")), read_label_png(labels_path(folder, row))
    assert instances_path(folder, "d/a") == folder / "d" / "a.instances.png"
    np.testing.assert_array_equal(objects, labels)
    assert np.unique(objects).tolist() == [0, 1, 2]


@pytest.mark.parametrize("instances", [False, True])
def test_shard_drawn_again_has_the_same_bytes_and_nothing_of_before(tmp_path, instances):
    row = sample_row(tmp_path, "a", shape())
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "gone.png").write_text("")
    contents = []
    for _ in range(2):
        folder = draw_shard(tmp_path, row, instances=instances)
        contents.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert contents[0] == contents[1]
    wanted = {"a.png", "statistics.csv", "palettes.csv", "problems.csv"} | ({"a.instances.png"} if instances else set())
    assert contents[0].keys() == wanted


def one_shape(points, kind="polygon", **other):
    return Annotation(None, None, (Shape("building", kind, np.array(points, dtype=np.float64), **other),))


FRACTIONS = [[0.05, 0.05], [0.95, 0.05], [1.05, 0.95]]


@pytest.mark.parametrize(
    ("annotation", "size", "expected"),
    [
        (one_shape(FRACTIONS), (17, 9), ["normalised_coordinates"]),
        (one_shape(FRACTIONS[:1], "point"), (900, 900), ["normalised_coordinates"]),
        (one_shape(FRACTIONS), (16, 16), []),  # a tiny picture
        (one_shape([*FRACTIONS, [1.2, 0.5]]), (900, 900), []),
        (one_shape([[0, 0], [0, 0]], "mask", mask=np.ones((1, 1), bool)), (900, 900), []),
        (Annotation(None, None), (900, 900), []),
    ],
)
def test_fractions_of_the_sides_are_no_pixels(annotation, size, expected):
    assert [finding.kind for finding in check_annotation(annotation, CLASSES, "rest", size)] == expected


def test_one_object_beyond_the_corner_shows_that_coordinates_are_pixels():
    other = one_shape([[5, 5], [9, 5], [9, 9]])
    both = Annotation(None, None, one_shape(FRACTIONS).shapes + other.shapes)
    assert check_annotation(both, CLASSES, "rest", (900, 900)) == []
