"""What is written as labelme's JSON is read again as it was, and is what labelme itself expects."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.annotations import labelme, labelme_writer
from maskmill.annotations.shapes import POINT_COUNTS, Annotation, Shape
from maskmill.classes import Classes
from maskmill.labels.rasterize import rasterize_annotation, rasterize_instances

CLASSES = Classes.from_config(["building", "road"])
SIZE = (40, 60)
SQUARE = np.array([[4, 4], [30, 4], [30, 30], [4, 30]], float)
KINDS = sorted(POINT_COUNTS.keys() - {"mask", "ellipse"})


def ring(x: float, y: float, side: float) -> np.ndarray:
    """An upright square."""
    return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])


def written(path, *shapes: Shape, **other) -> dict:
    """Content of the file with these shapes."""
    labelme_writer.write(path, shapes, "a.png", SIZE, **other)
    return json.loads(path.read_text(encoding="utf-8"))


def again(path, *shapes: Shape) -> Annotation:
    """The shapes after a round trip."""
    written(path, *shapes)
    return labelme.read(path)


@st.composite
def shapes(draw) -> Shape:
    kind = draw(st.sampled_from(KINDS))
    least, most = POINT_COUNTS[kind]
    number = st.floats(-20, 80, allow_nan=False)
    points = draw(st.lists(st.tuples(number, number), min_size=least, max_size=most or least + 5))
    label = draw(st.sampled_from(["building", "road", "Straße 1", "__ignore__"]))
    return Shape(label, kind, np.array(points, float), draw(st.none() | st.integers(0, 9)))


@given(st.lists(shapes(), max_size=5))
def test_shapes_come_back_as_they_were(tmp_path_factory, drawn):
    found = again(tmp_path_factory.getbasetemp() / "round.json", *drawn).shapes

    assert [(s.label, s.kind, s.group_id) for s in found] == [(s.label, s.kind, s.group_id) for s in drawn]
    assert all(np.array_equal(a.points, b.points) for a, b in zip(found, drawn, strict=True))


def test_size_picture_and_labels_are_kept(tmp_path):
    annotation = again(tmp_path / "a.json", Shape("Gebäude", "polygon", SQUARE))

    assert (annotation.height, annotation.width, annotation.picture) == (*SIZE, "a.png")
    assert annotation.shapes[0].label == "Gebäude"


def test_masks_come_back_pixel_by_pixel(tmp_path):
    mask = np.random.default_rng(0).random((5, 7)) > 0.5
    shape = Shape("road", "mask", np.array([[3.0, 2.0], [9.0, 6.0]]), 4, mask)

    (found,) = again(tmp_path / "a.json", shape).shapes

    assert np.array_equal(found.mask, mask)
    assert np.array_equal(found.points, shape.points)
    assert found.group_id == 4


def test_the_mask_in_the_file_is_a_png_of_zeros_and_ones(tmp_path):
    shape = Shape("road", "mask", np.array([[3.0, 2.0], [4.0, 2.0]]), mask=np.array([[True, False]]))

    (stored,) = written(tmp_path / "a.json", shape)["shapes"]

    pixels = Image.open(io.BytesIO(base64.b64decode(stored["mask"])))
    assert (pixels.format, pixels.mode) == ("PNG", "L")
    assert np.asarray(pixels).tolist() == [[1, 0]]


def test_holes_stay_with_their_polygon_among_others_of_the_label(tmp_path):
    outer = Shape("building", "polygon", SQUARE, holes=(ring(8, 8, 4), ring(20, 20, 3)))
    around = Shape("building", "polygon", ring(0, 0, 35))
    drawn = (around, Shape("road", "polygon", ring(6, 6, 12)), outer, Shape("building", "polygon", ring(40, 2, 9), 1))
    before = Annotation(*SIZE, drawn)

    after = again(tmp_path / "a.json", *drawn)

    assert [len(shape.holes) for shape in after.shapes] == [0, 0, 2, 0]
    assert np.array_equal(rasterize_annotation(after, CLASSES), rasterize_annotation(before, CLASSES))
    assert np.array_equal(rasterize_instances(after, CLASSES), rasterize_instances(before, CLASSES))


def test_a_hole_is_a_flagged_polygon_of_the_same_label_and_group(tmp_path):
    drawn = (
        Shape("building", "polygon", ring(40, 2, 9), 1),
        Shape("building", "polygon", SQUARE, holes=(ring(8, 8, 4),)),
    )

    _, outer, hole = written(tmp_path / "a.json", *drawn)["shapes"]

    assert outer["flags"] == {}
    assert hole["flags"] == {"hole": True}
    assert (hole["label"], hole["group_id"]) == (outer["label"], outer["group_id"])
    assert outer["group_id"] not in (None, 1)


def test_the_file_has_all_that_labelme_asks_for(tmp_path):
    content = written(tmp_path / "deep/a.json", Shape("road", "line", SQUARE[:2]), flags={"proposed": True}, extra=1)

    assert content.keys() == {
        *("version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth", "extra"),
    }
    assert content["flags"] == {"proposed": True}
    assert content["imageData"] is None
    assert content["shapes"][0].keys() == {
        *("label", "points", "group_id", "description", "shape_type", "flags", "mask"),
    }


def test_equal_shapes_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        written(tmp_path / f"{name}.json", Shape("building", "polygon", SQUARE, holes=(ring(8, 8, 4),)))

    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_pictures_are_named_from_the_folder_of_the_file():
    assert labelme_writer.relative_picture("data/images/x/a.png", "data/annotations/x/a.json") == "../../images/x/a.png"
    assert labelme_writer.relative_picture("data/a.png", "data/a.json") == "a.png"


def test_an_ellipse_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ellipse"):
        written(tmp_path / "a.json", Shape("road", "ellipse", SQUARE[:3]))
