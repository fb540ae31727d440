"""What the audit says of single objects, on hand-made pictures whose figures can be counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.annotations.shapes import Annotation, Shape
from maskmill.audit.objects import AuditOptions, audit_objects, count_remarks, shape_area
from maskmill.classes import Classes
from maskmill.labels.rasterize import rasterize_annotation, rasterize_instances

CLASSES = Classes.from_config(["building", "road"])
OPTIONS = AuditOptions(scale=1.0, patch=32, minimum_areas=[0, 50], vertex_spacing=5)


def polygon(*points, label="building", group=None, holes=()):
    return Shape(label, "polygon", np.array(points, dtype=float), group, holes=tuple(np.array(h, float) for h in holes))


def rectangle(left, top, right, bottom, label="building", group=None):
    return Shape(label, "rectangle", np.array([[left, top], [right, bottom]], dtype=float), group)


def regular(corners, radius, centre=(30, 30)):
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return polygon(*(np.array(centre) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)))


def audit(*shapes, height=60, width=80, options=OPTIONS):
    annotation = Annotation(height, width, shapes)
    labels = rasterize_annotation(annotation, CLASSES)
    return audit_objects("a", annotation, labels, CLASSES, "rest", options)


def test_figures_of_a_square():
    (row,) = audit(rectangle(10, 10, 19, 19))
    assert row == {
        "id": "a",
        "class": "building",
        "object": 1,
        "kind": "rectangle",
        "left": 10,
        "top": 10,
        "right": 20,
        "bottom": 20,
        "annotated_area": 81.0,
        "drawn_pixels": 100,
        "visible_pixels": 100,
        "trained_pixels": 100,
        "extent": 10,
        "patches": 1,
        "vertices": None,
        "spacing": None,
        "outside_share": 0.0,
        "remarks": "",
    }


def test_vertices_and_spacing_of_an_outline_count_holes_in():
    (row,) = audit(polygon([10, 10], [30, 10], [30, 30], [10, 30], holes=[[[15, 15], [25, 15], [25, 25], [15, 25]]]))
    assert (row["vertices"], row["spacing"], row["annotated_area"]) == (8, 15.0, 300.0)
    assert row["drawn_pixels"] == 21 * 21 - 11 * 11


def test_parts_of_one_group_are_one_object():
    rows = audit(rectangle(0, 0, 4, 4, group=7), rectangle(20, 20, 24, 24, group=7), rectangle(30, 0, 34, 4))
    assert [row["drawn_pixels"] for row in rows] == [50, 25]
    assert rows[0]["extent"] == 25


def test_what_later_objects_cover():
    rows = audit(rectangle(10, 10, 19, 19), rectangle(10, 10, 19, 16, "road"), rectangle(40, 40, 50, 50))
    assert [row["visible_pixels"] for row in rows] == [30, 70, 121]
    assert [row["remarks"] for row in rows] == ["mostly covered", "", ""]
    rows = audit(rectangle(10, 10, 19, 19), rectangle(5, 5, 30, 30))
    assert rows[0]["remarks"] == "covered altogether"


def test_what_is_left_at_the_training_size():
    options = AuditOptions(scale=0.25, patch=8, minimum_areas=[], vertex_spacing=5)
    rows = audit(rectangle(1, 1, 1, 1), rectangle(8, 8, 55, 23), options=options)
    assert (rows[0]["trained_pixels"], rows[0]["remarks"]) == (0, "tiny, gone at training size")
    assert (rows[1]["trained_pixels"], rows[1]["extent"], rows[1]["remarks"]) == (48, 12, "larger than a patch")


@pytest.mark.parametrize(
    ("patch", "remark"),
    [(16, "larger than a patch"), ("auto", ""), ([16, 24], ""), ([32, 16, 16], "larger than a patch")],
)
def test_what_is_larger_than_a_patch_that_is_decided(patch, remark):
    options = AuditOptions(scale=1.0, patch=patch, minimum_areas=[], vertex_spacing=5)
    assert audit(rectangle(8, 8, 27, 15), options=options)[0]["remarks"] == remark


def test_outline_that_crosses_itself():
    (row,) = audit(polygon([10, 10], [30, 30], [30, 10], [10, 30]))
    assert (row["remarks"], row["annotated_area"]) == ("crosses itself", None)


def test_outline_that_touches_itself_does_not_cross():
    neck = polygon([10, 10], [20, 10], [20, 20], [30, 20], [30, 30], [20, 30], [20, 20], [10, 20])
    spike = polygon([10, 10], [20, 10], [30, 10], [20, 10], [20, 20], [10, 20])
    assert [audit(shape)[0]["remarks"] for shape in (neck, spike)] == ["", ""]


@pytest.mark.parametrize(
    ("shape", "share", "remark"),
    [
        (rectangle(-10, 0, 10, 9), 0.5, "reaches outside"),
        (polygon([70, 10], [90, 10], [90, 30], [70, 30]), 0.5, "reaches outside"),
        (polygon([-30, -30], [-10, -30], [-10, -10]), 1.0, "outside the picture"),
        (polygon([-0.5, 0], [20, 0], [20, 20]), 0.0, ""),
    ],
)
def test_what_lies_outside_the_picture(shape, share, remark):
    (row,) = audit(shape)
    assert (row["outside_share"], row["remarks"]) == (share, remark)


def test_coarse_outline_is_a_curve_with_few_vertices():
    assert audit(regular(8, 15))[0]["remarks"] == "coarse outline"
    assert audit(regular(40, 15))[0]["remarks"] == ""
    corner = polygon([10, 10], [50, 10], [50, 30], [30, 30], [30, 50], [10, 50])
    assert audit(corner)[0]["remarks"] == "larger than a patch"


def test_points_and_lines_are_drawn_wider_than_they_are():
    (row,) = audit(Shape("road", "point", np.array([[30.0, 30.0]])))
    assert (row["annotated_area"], row["drawn_pixels"], row["remarks"]) == (None, 97, "point drawn wide")


def test_ignored_shapes_are_no_objects():
    rows = audit(rectangle(0, 0, 9, 9), rectangle(0, 0, 9, 4, "__ignore__"))
    assert [(row["class"], row["visible_pixels"]) for row in rows] == [("building", 50)]


def test_objects_of_a_mask_are_its_regions():
    values = np.zeros((60, 80), np.uint8)
    values[10:20, 10:20], values[40:43, 40:43] = 1, 2
    rows = audit_objects("a", Annotation(60, 80, label_values=values), values, CLASSES, "rest", OPTIONS)
    assert [(row["class"], row["visible_pixels"], row["remarks"]) for row in rows] == [
        ("building", 100, ""),
        ("road", 9, "tiny"),
    ]


def test_objects_of_a_volume_are_resized_slice_by_slice():
    values = np.zeros((5, 60, 80), np.uint8)
    values[1:3, 8:24, 8:24] = 1
    options = AuditOptions(scale=0.5, patch=32, minimum_areas=[], vertex_spacing=5)
    (row,) = audit_objects("a", Annotation(60, 80, label_values=values), values, CLASSES, "rest", options)
    assert (row["visible_pixels"], row["trained_pixels"], row["extent"]) == (512, 128, 8)


def test_areas_by_geometry():
    assert shape_area(rectangle(1, 2, 4, 7)) == 15
    assert shape_area(Shape("a", "circle", np.array([[0.0, 0], [3, 4]]))) == pytest.approx(25 * np.pi)
    assert shape_area(Shape("a", "ellipse", np.array([[0.0, 0], [3, 0], [0, 2]]))) == pytest.approx(6 * np.pi)
    assert shape_area(Shape("a", "mask", np.zeros((2, 2)), mask=np.eye(4, dtype=bool))) == 4
    assert shape_area(Shape("a", "line", np.zeros((2, 2)))) is None


@given(
    st.lists(
        st.tuples(st.integers(-20, 90), st.integers(-20, 70), st.integers(0, 40), st.integers(0, 40)),
        min_size=1,
        max_size=6,
    )
)
def test_pixels_of_objects_agree_with_drawing_them(boxes):
    shapes = [rectangle(left, top, left + width, top + height) for left, top, width, height in boxes]
    rows = audit(*shapes)
    numbers = rasterize_instances(Annotation(60, 80, tuple(shapes)), CLASSES)
    for row, shape in zip(rows, shapes, strict=True):
        assert row["drawn_pixels"] == (rasterize_annotation(Annotation(60, 80, (shape,)), CLASSES) == 1).sum()
        assert row["visible_pixels"] == (numbers == row["object"]).sum() <= row["drawn_pixels"]


def test_remarks_are_counted():
    assert count_remarks([{"remarks": "tiny, coarse outline"}, {"remarks": "tiny"}, {"remarks": ""}]) == {
        "coarse outline": 1,
        "tiny": 2,
    }


@pytest.mark.parametrize(
    ("box", "scale", "patch", "patches"),
    [
        ((0, 0, 31, 31), 1, 32, 1),  # up to the border
        ((0, 0, 32, 31), 1, 32, 2),
        ((30, 30, 33, 33), 1, 32, 4),
        ((30, 30, 33, 33), 1, [64, 32], 2),
        ((30, 30, 33, 33), 1, [8, 32, 64], 2),
        ((30, 30, 33, 33), 0.5, 32, 1),
        ((0, 0, 65, 10), 0.5, 32, 2),
        ((0, 0, 79, 10), 1, 32, 3),
        ((30, 30, 33, 33), 1, "auto", None),
    ],
)
def test_patches_that_an_object_lies_in(box, scale, patch, patches):
    options = AuditOptions(scale=scale, patch=patch, minimum_areas=[0], vertex_spacing=5)
    (row,) = audit(rectangle(*box), options=options)
    assert row["patches"] == patches


def test_an_object_that_is_covered_lies_in_no_patch():
    covered, _ = audit(rectangle(30, 30, 33, 33), rectangle(20, 20, 40, 40, "road"))
    assert covered["patches"] is None
