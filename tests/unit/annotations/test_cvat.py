"""CVAT's XML files are read with every kind of shape; broken ones are refused with everything that is wrong."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskmill.annotations import cvat
from maskmill.annotations.shapes import AnnotationError
from maskmill.classes import Classes
from maskmill.imaging.images import image_header
from maskmill.labels.rasterize import rasterize_annotation

SQUARE = "2.00,2.00;9.00,2.00;9.00,9.00;2.00,9.00"
META = "<meta><task><labels><label><name>bird</name><color>#404040</color></label></labels></task></meta>"


def element(tag="polygon", inner="", **attributes):
    """One shape, labelled "bird" unless told otherwise; an attribute of None is left out."""
    stated = {"label": "bird", "source": "manual", "occluded": "0"} | attributes
    if tag == "polygon":
        stated = {"points": SQUARE} | stated
    listed = " ".join(f'{key}="{value}"' for key, value in stated.items() if value is not None)
    return f"<{tag} {listed}>{inner}</{tag}>"


def image(*shapes, name="a.jpg", number=0, width=30, height=20, **other):
    extra = "".join(f' {key}="{value}"' for key, value in other.items())
    return f'<image id="{number}" name="{name}" width="{width}" height="{height}"{extra}>{"".join(shapes)}</image>'


def document(*images, version="1.1"):
    start = '<?xml version="1.0" encoding="utf-8"?>\n'
    return f"{start}<annotations><version>{version}</version>{META}{''.join(images)}</annotations>"


def write(path, *images):
    path.write_text(document(*images), encoding="utf-8")
    return path


def read_one(tmp_path, *shapes):
    return cvat.read(write(tmp_path / "c.xml", image(*shapes)), "a.jpg")


def read_shape(tmp_path, tag, **attributes):
    (shape,) = read_one(tmp_path, element(tag, **attributes)).shapes
    return shape


def findings(tmp_path, *shapes):
    with pytest.raises(AnnotationError) as caught:
        read_one(tmp_path, *shapes)
    assert all(finding.remedy for finding in caught.value.findings)
    return [(finding.kind, finding.detail) for finding in caught.value.findings]


def test_polygon(tmp_path):
    read = read_one(tmp_path, element(group_id="3", inner='<attribute name="age">old</attribute>'))
    assert (read.height, read.width, read.picture, read.label_values) == (20, 30, "a.jpg", None)
    (shape,) = read.shapes
    assert (shape.label, shape.kind, shape.group_id) == ("bird", "polygon", 3)
    np.testing.assert_array_equal(shape.points, [[2, 2], [9, 2], [9, 9], [2, 9]])


@pytest.mark.parametrize(("tag", "kind"), [("polyline", "linestrip"), ("points", "points")])
def test_polyline_and_points(tmp_path, tag, kind):
    shape = read_shape(tmp_path, tag, points="1.5,2;-3,4.25")
    assert (shape.kind, shape.group_id) == (kind, None)
    np.testing.assert_array_equal(shape.points, [[1.5, 2], [-3, 4.25]])


def test_box_and_turned_box(tmp_path):
    corners = {"xtl": "4", "ytl": "6", "xbr": "12", "ybr": "10"}
    shape = read_shape(tmp_path, "box", **corners)
    assert shape.kind == "rectangle"
    np.testing.assert_array_equal(shape.points, [[4, 6], [12, 10]])
    shape = read_shape(tmp_path, "box", **corners, rotation="30.00")
    assert shape.kind == "oriented_rectangle"
    np.testing.assert_allclose(shape.points.mean(axis=0), [8, 8])
    side = shape.points[1] - shape.points[0]
    np.testing.assert_allclose(side, [8 * np.cos(np.pi / 6), 8 * np.sin(np.pi / 6)])  # downwards: clockwise
    np.testing.assert_allclose(np.linalg.norm(np.diff(shape.points, axis=0), axis=1), [8, 4, 8])


def test_ellipse_and_turned_ellipse(tmp_path):
    sizes = {"cx": "10", "cy": "8", "rx": "6", "ry": "-3"}
    shape = read_shape(tmp_path, "ellipse", **sizes)
    assert shape.kind == "ellipse"
    np.testing.assert_array_equal(shape.points, [[10, 8], [16, 8], [10, 11]])
    shape = read_shape(tmp_path, "ellipse", **sizes, rotation="90")
    np.testing.assert_allclose(shape.points, [[10, 8], [10, 14], [7, 8]])


def test_mask_goes_along_the_rows_and_starts_with_background(tmp_path):
    shape = read_shape(tmp_path, "mask", rle="1, 2, 1, 0, 0, 4", left="5", top="7", width="4", height="2")
    np.testing.assert_array_equal(shape.mask, [[0, 1, 1, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(shape.points, [[5, 7], [8, 8]])


def test_mask_loses_its_empty_margins(tmp_path):
    shape = read_shape(tmp_path, "mask", rle="5, 1, 3", left="5", top="7", width="3", height="3")
    np.testing.assert_array_equal(shape.mask, [[True]])
    np.testing.assert_array_equal(shape.points, [[7, 8], [7, 8]])


@given(
    pixels=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any),
    left=st.integers(0, 8),
    top=st.integers(0, 6),
)
def test_mask_is_taken_exactly(tmp_path_factory, pixels, left, top):
    height, width = pixels.shape
    changes = np.flatnonzero(np.diff(np.r_[False, pixels.ravel()]))
    runs = np.diff(np.r_[0, changes, pixels.size])
    stored = element("mask", rle=", ".join(map(str, runs)), left=left, top=top, width=width, height=height)
    read = read_one(tmp_path_factory.mktemp("mask"), stored)
    expected = np.zeros((20, 30), dtype=bool)
    expected[top : top + height, left : left + width] = pixels
    np.testing.assert_array_equal(rasterize_annotation(read, Classes.from_config(["bird"])) == 1, expected)


def test_drawn_by_z_order_then_by_place_and_not_if_outside(tmp_path):
    stored = [
        element(label=label, z_order=z, outside=outside)
        for label, z, outside in (
            ("a", "2", None),
            ("b", "-1", "0"),
            ("c", "0", None),
            ("d", None, None),
            ("gone", "0", "1"),
            ("e", "10", None),
            ("f", "2", None),
        )
    ]
    assert [shape.label for shape in read_one(tmp_path, *stored).shapes] == ["b", "c", "d", "a", "f", "e"]


def test_tags_and_empty_images_have_no_shapes(tmp_path):
    path = write(tmp_path / "c.xml", image(element("tag", label="bright")), image(name="b.jpg"))
    assert [cvat.read(path, entry.key).shapes for entry in cvat.list_entries(path)] == [(), ()]


def test_entries_are_the_images_of_the_file(tmp_path):
    names = ["b\\1.jpg", "图片/é &amp; 2.jpg", "x.rf.1.jpg", "a.jpg"]
    path = write(tmp_path / "c.xml", *(image(name=name) for name in names))
    pictures = [entry.picture for entry in cvat.list_entries(path)]
    assert pictures == ["b/1.jpg", "图片/é & 2.jpg", "x.rf.1.jpg", "a.jpg"]
    assert cvat.read(path, "b/1.jpg").picture == "b/1.jpg"


def test_pictures_of_one_name_in_two_subsets_are_told_apart(tmp_path):
    images = [
        image(element(label=label), name=name, subset=subset, task_id=1)
        for label, name, subset in (("x", "a.jpg", "Train"), ("y", "a.jpg", "Test"), ("z", "b.jpg", "Test"))
    ]
    path = write(tmp_path / "c.xml", *images)
    found = {entry.picture: cvat.read(path, entry.key).shapes[0].label for entry in cvat.list_entries(path)}
    assert found == {"Train/a.jpg": "x", "Test/a.jpg": "y", "b.jpg": "z"}


def test_image_without_size(tmp_path):
    path = write(tmp_path / "c.xml", '<image id="0" name="a.jpg"/>')
    read = cvat.read(path, "a.jpg")
    assert (read.height, read.width) == (None, None)


def digest(tmp_path, *images):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.xml"
    return {entry.picture: entry.digest for entry in cvat.list_entries(write(path, *images))}["a.jpg"]


def test_digest_changes_with_what_is_drawn_only(tmp_path):
    before = digest(tmp_path, image(element(), element("polyline", points="1,2;3,4")))
    line = element("polyline", points="1,2;3,4", source="auto", occluded="1")
    assert digest(tmp_path, image(name="b.jpg"), image(element(inner="<attribute/>"), line, number=7)) == before
    other = [
        image(line, element()),
        image(element(label="fish"), line),
        image(element(z_order="1"), line),
        image(element(group_id="1"), line),
        image(element(outside="1"), line),
        image(element(), element("points", points="1,2;3,4")),
        image(element(), line, width=31),
    ]
    digests = {digest(tmp_path, stored) for stored in other}
    assert len(digests) == len(other)
    assert before not in digests


def test_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "c.xml", image(element()))
    assert len(cvat.read(path, "a.jpg").shapes) == 1
    write(path, image(element(), element()))
    os.utime(path, ns=(1, 1))
    assert len(cvat.read(path, "a.jpg").shapes) == 2


BOX = {"xtl": "1", "ytl": "2", "xbr": "5", "ybr": "6"}
ELLIPSE = {"cx": "9", "cy": "9", "rx": "4", "ry": "3"}
MASK = {"rle": "1, 2, 1", "left": "0", "top": "0", "width": "2", "height": "2"}

BAD_SHAPES = {
    "no label": (element(label=None), "broken_annotation", "has no label"),
    "no points": (element(points=None), "broken_annotation", "has no points"),
    "empty points": (element(points=""), "broken_annotation", "has no points"),
    "two points": (element(points="1,2;3,4"), "degenerate_shape", "has 2 points where a polygon needs at least 3"),
    "one point of a line": (element("polyline", points="1,2"), "degenerate_shape", "has 1 point where a linestrip"),
    "missing coordinate": (element(points="1,2;3;5,6"), "broken_annotation", 'points that are not "x,y;x,y;..."'),
    "third coordinate": (element(points="1,2,3;4,5,6;7,8,9"), "broken_annotation", "points that are not"),
    "open end": (element(points=f"{SQUARE};"), "broken_annotation", "points that are not"),
    "words": (element(points="a,b;c,d;e,f"), "broken_annotation", "points that are not"),
    "NaN": (element(points="nan,2;3,4;5,6"), "degenerate_shape", "a coordinate that is no number"),
    "far outside": (element(points="1e9,2;3,4;5,6"), "degenerate_shape", "far outside of any picture"),
    "box without edge": (element("box", **BOX | {"xbr": None}), "broken_annotation", "has a xbr that is no number"),
    "box of words": (element("box", **BOX | {"ytl": "top"}), "broken_annotation", "ytl that is no number or lies far"),
    "box of NaN": (element("box", **BOX | {"ytl": "nan"}), "broken_annotation", "has a ytl that is no number"),
    "huge box": (element("box", **BOX | {"xbr": "1e300"}), "broken_annotation", "far outside of any picture"),
    "flat box": (element("box", **BOX | {"xbr": "1"}), "degenerate_shape", "is a box of 0 × 4 pixels"),
    "box inside out": (element("box", **BOX | {"xbr": "0"}), "degenerate_shape", "is a box of -1 × 4 pixels"),
    "rotation of words": (element("box", **BOX, rotation="left"), "broken_annotation", "rotation that is no number"),
    "ellipse without axis": (element("ellipse", **ELLIPSE | {"rx": None}), "broken_annotation", "has a rx that is no"),
    "flat ellipse": (element("ellipse", **ELLIPSE | {"ry": "0.00"}), "degenerate_shape", "half-axes 4 and 0"),
    "mask without runs": (element("mask", **MASK | {"rle": None}), "broken_annotation", "has no rle"),
    "mask of words": (
        element("mask", **MASK | {"rle": "1, x"}),
        "broken_annotation",
        "rle that is not a list of whole",
    ),
    "broken runs": (element("mask", **MASK | {"rle": "1.5, 2.5"}), "broken_annotation", "list of whole numbers"),
    "negative run": (element("mask", **MASK | {"rle": "-1, 5"}), "broken_annotation", "whole numbers from 0 on"),
    "short mask": (element("mask", **MASK | {"rle": "1, 2"}), "broken_annotation", "cover 3 pixels of 2 × 2 = 4"),
    "long mask": (element("mask", **MASK | {"rle": "1, 9"}), "broken_annotation", "cover 10 pixels"),
    "mask without place": (element("mask", **MASK | {"left": None}), "broken_annotation", "left that is no whole"),
    "mask in between": (element("mask", **MASK | {"top": "0.5"}), "broken_annotation", "top that is no whole number"),
    "mask far outside": (element("mask", **MASK | {"top": 10**30}), "degenerate_shape", "far outside of any picture"),
    "flat mask": (element("mask", **MASK | {"width": "0"}), "degenerate_shape", "is a mask of 0 × 2 pixels"),
    "empty mask": (element("mask", **MASK | {"rle": "4"}), "degenerate_shape", "is a mask without pixels"),
    "endless mask": (element("mask", **MASK | {"width": 10**10}), "broken_annotation", "more than can be read"),
    "broken z-order": (element(z_order="top"), "broken_annotation", 'z_order that is no whole number: "top"'),
    "broken group": (element(group_id="1a"), "broken_annotation", "group_id that is no whole number"),
    "cuboid": (element("cuboid", xtl1="1", ytl1="2"), "unsupported_shape", "is of a kind that has no area"),
    "skeleton": (element("skeleton", inner="<points/>"), "unsupported_shape", "is of a kind that has no area"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_bad_shape_is_refused(tmp_path, case):
    stored, kind, detail = BAD_SHAPES[case]
    ((found_kind, found),) = findings(tmp_path, element(), stored)
    assert (found_kind, detail in found, found.startswith("shape 2 (<")) == (kind, True, True), found


def test_all_bad_shapes_of_a_picture_are_found(tmp_path):
    found = findings(tmp_path, *(case[0] for case in BAD_SHAPES.values()))
    assert [detail.split(" (<")[0] for _, detail in found] == [f"shape {n}" for n in range(1, len(BAD_SHAPES) + 1)]


@pytest.mark.parametrize("size", ["wide", "-30", "30.5", ""])
def test_bad_size_of_an_image_is_refused(tmp_path, size):
    with pytest.raises(AnnotationError, match="states the picture's width"):
        cvat.read(write(tmp_path / "c.xml", image(width=size)), "a.jpg")


BOMB = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><annotations><image name="&y;"/></annotations>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "{}">]><annotations><image name="&x;"/></annotations>'
VIDEO = document('<track id="0" label="bird"><box frame="0" xtl="1" ytl="2" xbr="5" ybr="6"/></track>')

BAD_FILES = {
    "not XML": ("{}", "broken_annotation", "not valid XML"),
    "empty": ("", "broken_annotation", "not valid XML"),
    "cut off": (document(image())[:-20], "broken_annotation", "not valid XML"),
    "undefined entity": (document("&x;", image()), "broken_annotation", "undefined entity"),
    "unknown encoding": (
        '<?xml version="1.0" encoding="klingon"?><annotations/>',
        "broken_annotation",
        "not valid XML",
    ),
    "entities": (BOMB, "broken_annotation", "document type declaration"),
    "external entity": (OUTSIDE, "broken_annotation", "document type declaration"),
    "Pascal VOC": ("<annotation><filename>a</filename></annotation>", "broken_annotation", "root is <annotation>"),
    "video": (VIDEO, "broken_annotation", "the export of a video"),
    "other version": (document(image(), version="2.0"), "broken_annotation", "of version 2.0"),
    "no images": (document(), "broken_annotation", "lists no image"),
    "no name": (document(image(), '<image id="3"/>', image(name="")), "broken_annotation", "(2) image 2, image 3"),
    "name twice": (document(image(), image(number=1)), "duplicate_id", "listed twice: (1) a.jpg"),
    "name twice in a subset": (
        document(image(subset="Train"), image(subset="Train", number=1)),
        "duplicate_id",
        "listed twice: (1) Train/a.jpg",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_refused(tmp_path, case):
    stored, kind, detail = BAD_FILES[case]
    path, secret = tmp_path / "c.xml", tmp_path / "secret.txt"
    secret.write_text("secret")
    path.write_text(stored.replace("{}", secret.as_uri()) if case == "external entity" else stored)
    for look in (cvat.list_entries, lambda path: cvat.read(path, "a.jpg")):
        with pytest.raises(AnnotationError) as caught:
            look(path)
        (finding,) = caught.value.findings
        assert (finding.kind, detail in finding.detail, "secret" in finding.detail) == (kind, True, False), finding
        assert "CVAT" in finding.remedy or kind == "duplicate_id"


def test_missing_file_and_missing_entry_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read"):
        cvat.list_entries(tmp_path / "none.xml")
    with pytest.raises(AnnotationError, match=r'does not list the picture "b\.jpg"'):
        cvat.read(write(tmp_path / "c.xml", image()), "b.jpg")


@pytest.mark.real
def test_real_export_has_all_its_shapes(real_data):
    folder = real_data / "one_scene_many_formats"
    path = folder / "cvat1.1" / "annotations.xml"
    read = {entry.picture: cvat.read(path, entry.key) for entry in cvat.list_entries(path)}
    kinds = {name: sorted(shape.kind for shape in annotation.shapes) for name, annotation in read.items()}
    assert kinds == {
        "birds.jpg": ["polygon", "polygon"],
        "crack.jpeg": ["linestrip"],
        "shapes.jpg": ["ellipse", "ellipse", "linestrip", "polygon", "rectangle"],
        "strawberry.jpg": ["rectangle"] * 17,
    }
    for name, annotation in read.items():
        assert image_header(folder / "labelme" / name)[:2] == (annotation.width, annotation.height)
        assert all(shape.defect() is None for shape in annotation.shapes)
