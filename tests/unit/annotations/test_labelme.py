"""labelme files of every version are read alike; broken ones are refused with everything that is wrong."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from maskmill.annotations import labelme
from maskmill.annotations.shapes import Annotation, AnnotationError, Shape
from maskmill.classes import Classes
from maskmill.labels.rasterize import rasterize_annotation
from tests.unit.label_data import SQUARE, shape, write_labelme

WIDE = [[0, 0], [29, 0], [29, 19], [0, 19]]
RING = [[4, 4], [7, 4], [7, 7], [4, 7]]


def encoded(image, kind="PNG"):
    """The base64 text of a picture file."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


def read(tmp_path, *shapes, **other):
    return labelme.read(write_labelme(tmp_path / "a.json", *shapes, **other))


def test_file_of_version_5(tmp_path):
    annotation = read(tmp_path, shape("road", SQUARE, "polygon", group_id=3), imagePath="..\\images\\a.png")
    assert (annotation.height, annotation.width, annotation.picture) == (20, 30, "../images/a.png")
    assert annotation.label_values is None
    (found,) = annotation.shapes
    assert (found.label, found.kind, found.group_id, found.holes) == ("road", "polygon", 3, ())
    np.testing.assert_array_equal(found.points, SQUARE)
    assert found.points.dtype == np.float64


VERSIONS = {
    "before 3": {"label": "road", "points": SQUARE},
    "3": {"label": "road", "points": SQUARE, "line_color": None, "fill_color": None, "shape_type": "polygon"},
    "4": {"label": "road", "points": SQUARE, "group_id": None, "shape_type": "polygon", "flags": {}},
    "5": {"label": "road", "points": SQUARE, "description": "", "shape_type": "polygon", "flags": {}, "mask": None},
    "7": {"label": "road", "points": SQUARE, "flags": {}, "shape_type": "polygon", "locked": True, "confidence": 0.9},
    "X-AnyLabeling": {"label": "road", "points": SQUARE, "shape_type": "polygon", "score": None, "kie_linking": []},
    "null": {"label": "road", "points": SQUARE, "shape_type": None, "flags": None, "group_id": None},
}


@pytest.mark.parametrize("version", VERSIONS)
def test_shape_of_every_version(tmp_path, version):
    (found,) = read(tmp_path, VERSIONS[version]).shapes
    assert (found.label, found.kind, found.group_id, found.mask) == ("road", "polygon", None, None)
    np.testing.assert_array_equal(found.points, SQUARE)


def test_old_file_without_version_size_kind_and_group(tmp_path):
    content = {"shapes": [{"label": "不导电", "points": SQUARE}], "lineColor": [0, 255, 0, 128]}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(content, ensure_ascii=False), encoding="utf-8")
    annotation = labelme.read(tmp_path / "a.json")
    assert (annotation.height, annotation.width, annotation.picture) == (None, None, None)
    assert [(s.label, s.kind, s.group_id) for s in annotation.shapes] == [("不导电", "polygon", None)]


@pytest.mark.parametrize(
    ("name", "points", "kind"),
    [
        ("polygon", SQUARE, "polygon"),
        ("rectangle", SQUARE[::2], "rectangle"),
        ("oriented_rectangle", [[5, 0], [10, 5], [5, 10], [0, 5]], "oriented_rectangle"),
        ("rotation", [[5, 0], [10, 5], [5, 10], [0, 5]], "oriented_rectangle"),
        ("quadrilateral", [[5, 0], [10, 5], [5, 10], [0, 5]], "polygon"),
        ("circle", SQUARE[:2], "circle"),
        ("line", SQUARE[:2], "line"),
        ("linestrip", SQUARE, "linestrip"),
        ("point", SQUARE[:1], "point"),
        ("points", SQUARE, "points"),
    ],
)
def test_every_type_of_shape(tmp_path, name, points, kind):
    (found,) = read(tmp_path, shape(points=points, kind=name)).shapes
    assert found.kind == kind
    assert found.defect() is None
    np.testing.assert_array_equal(found.points, points)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("turn", [1, -1])
def test_rectangle_of_four_corners_in_any_order(tmp_path, first, turn):
    corners = np.roll([[2, 3], [9.5, 3], [9.5, 8], [2, 8]], first, axis=0)[::turn]
    (found,) = read(tmp_path, shape(points=corners.tolist(), kind="rectangle")).shapes
    assert found.defect() is None
    np.testing.assert_array_equal(found.points, [[2, 3], [9.5, 8]])


@pytest.mark.parametrize("corners", [[[2, 3], [9, 8]], [[9, 8], [2, 3]], [[9, 3], [2, 8]], [[2, 8], [9, 3]]])
def test_rectangle_of_two_corners_in_any_order(tmp_path, corners):
    annotation = read(tmp_path, shape(points=corners, kind="rectangle"))
    labels = rasterize_annotation(annotation, Classes.from_config(["building"]))
    assert labels.sum() == labels[3:9, 2:10].sum() == 48


@pytest.mark.parametrize(
    "corners", [[[4, 5], [6, 6]], [[6, 6], [4, 5]], [[4.4, 5.3], [6.4, 6.3]], [[4.9, 5], [6.2, 6]]]
)
@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_mask_shape(tmp_path, corners, dtype):
    pixels = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    annotation = read(tmp_path, shape(points=corners, kind="mask", mask=encoded(pixels)))
    labels = rasterize_annotation(annotation, Classes.from_config(["building"]))
    np.testing.assert_array_equal(labels[5:7, 4:7], pixels)
    assert labels.sum() == 4


@pytest.mark.parametrize("size", [(20, 30), ("20", "30"), (20.0, 30.0), (" 20 ", "30.0")])
def test_size_as_number_or_text(tmp_path, size):
    annotation = read(tmp_path, height=size[0], width=size[1])
    assert (annotation.height, annotation.width) == (20, 30)
    assert type(annotation.height) is int


def test_what_is_not_used_may_be_anything(tmp_path):
    stored = shape(flags=[1], description=7, score=float("nan"), other={"deep": [None]})
    assert len(read(tmp_path, stored, version=3, flags=None, imagePath=5, imageData=1).shapes) == 1


def test_labels_with_instance_numbers_are_kept(tmp_path):
    labels = ["square_1", "triangle-2", "square", " spaced "]
    assert [s.label for s in read(tmp_path, *map(shape, labels)).shapes] == labels


def drawn(annotation: Annotation) -> np.ndarray:
    return rasterize_annotation(annotation, Classes.from_config(["building", "road"]))


class TestHoles:
    def test_belong_to_the_nearest_polygon_that_contains_them(self, tmp_path):
        annotation = read(
            tmp_path,
            shape("road", WIDE),
            shape("building", SQUARE),
            shape("building", [[12, 2], [19, 2], [19, 9], [12, 9]]),
            shape("building", RING, flags={"hole": True}),
        )
        assert [len(s.holes) for s in annotation.shapes] == [0, 1, 0]
        labels = drawn(annotation)
        assert (labels[4:8, 4:8] == 2).all()
        assert (labels == 1).sum() == 2 * 64 - 16

    def test_belong_to_the_later_of_two_polygons_around_them(self, tmp_path):
        annotation = read(tmp_path, shape(points=WIDE), shape(), shape(points=RING, flags={"hole": True}))
        assert [len(s.holes) for s in annotation.shapes] == [0, 1]
        assert (drawn(annotation) == 1).all()

    def test_with_a_group_belong_to_its_polygons(self, tmp_path):
        annotation = read(
            tmp_path,
            shape(points=WIDE, group_id=1),
            shape(group_id=2),
            shape(points=[[20, 10], [25, 10], [25, 15]], group_id=1),
            shape(points=RING, group_id=1, flags={"hole": True}),
        )
        assert [len(s.holes) for s in annotation.shapes] == [1, 0, 0]

    def test_without_a_group_may_belong_to_a_polygon_with_one(self, tmp_path):
        annotation = read(tmp_path, shape(group_id=4), shape(points=RING, flags={"hole": True}))
        assert len(annotation.shapes[0].holes) == 1

    def test_with_a_group_may_stick_out(self, tmp_path):
        ring = [[5, 5], [12, 5], [12, 12], [5, 12]]
        annotation = read(
            tmp_path, shape(group_id=1), shape(points=WIDE), shape(points=ring, group_id=1, flags={"hole": True})
        )
        assert [len(s.holes) for s in annotation.shapes] == [1, 0]

    def test_may_be_several_and_touch_the_outline(self, tmp_path):
        second = [[2, 8], [3, 8], [3, 9], [2, 9]]
        annotation = read(
            tmp_path, shape(), shape(points=RING, flags={"hole": True}), shape(points=second, flags={"hole": True})
        )
        (found,) = annotation.shapes
        assert [hole.tolist() for hole in found.holes] == [RING, second]

    def test_may_lie_in_a_polygon_that_crosses_itself(self, tmp_path):
        bow = [[0, 0], [20, 18], [20, 0], [0, 18]]
        ring = [[2, 8], [4, 8], [4, 10], [2, 10]]
        annotation = read(tmp_path, shape(points=bow), shape(points=ring, flags={"hole": True}))
        assert len(annotation.shapes[0].holes) == 1

    def test_flag_that_is_not_set(self, tmp_path):
        annotation = read(tmp_path, shape(), shape(points=RING, flags={"hole": False, "other": True}))
        assert [len(s.holes) for s in annotation.shapes] == [0, 0]


def one(**other):
    """The text of a file with one polygon, changed as said."""
    return json.dumps({"shapes": [shape(**other)], "imageHeight": 20, "imageWidth": 30}, ensure_ascii=False)


def boxed(corners, mask):
    return one(points=corners, kind="mask", mask=mask)


GREY = np.ones((2, 3), dtype=np.uint8)
BROKEN = "broken_annotation"

BAD_FILES = {
    "empty": (b"", BROKEN, "is empty", "annotate the picture anew"),
    "blank": (b"\xef\xbb\xbf \n", BROKEN, "is empty", "anew"),
    "zeros": (bytes(4096), BROKEN, r"nothing but zero bytes \(4096\)", "restore the file"),
    "truncated": (one()[:-30], BROKEN, r"breaks off after \d+ characters", "open the file in labelme"),
    "truncated in a text": (one()[:20], BROKEN, "breaks off after 20 characters", "restore it from a copy"),
    "two files in one": (one() + one(), BROKEN, "not valid JSON: Extra data", "labelme"),
    "comma": (one().replace("}]", "},]"), BROKEN, "not valid JSON: .* line 1 column", "labelme"),
    "XML": ("<annotation></annotation>", BROKEN, "not valid JSON: Expecting value", "labelme"),
    "deeply nested": ("[" * 100_000, BROKEN, "not valid JSON", "labelme"),
    "a number of 5000 digits": ('{"shapes": [' + "1" * 5000 + "]}", BROKEN, "not valid JSON: Exceeds", "labelme"),
    "UTF-16": (one(label="建筑").encode("utf-16"), BROKEN, "its text is UTF-16, not UTF-8", "save it as UTF-8"),
    "UTF-16 without mark": (one().encode("utf-16-le"), BROKEN, "zero bytes, as text in UTF-16", "save it as UTF-8"),
    "GBK": (one(label="不导电").encode("gbk"), BROKEN, "not UTF-8 .byte 0xb2 at position", "iconv -f GBK"),
    "Latin-1": (one(label="Straße").encode("latin-1"), BROKEN, "not UTF-8 .byte 0xdf", "save it as UTF-8"),
    "key twice": (
        '{"shapes": [], "shapes": [], "version": "5"}',
        BROKEN,
        r"key twice .*\(\"shapes\"\)",
        "keep the right",
    ),
    "key twice in a shape": (one().replace('"label"', '"points": 1, "label"'), BROKEN, r"\(\"points\"\)", ""),
    "list": ("[1]", BROKEN, 'not a labelme file: it has no list "shapes"', "move files that are no annotations"),
    "null": ("null", BROKEN, "not a labelme file", "move files"),
    "no shapes": ('{"imagePath": "a.png"}', BROKEN, 'no list "shapes"', "correct dataset.source"),
    "shapes is no list": ('{"shapes": {}}', BROKEN, 'no list "shapes"', "correct dataset.source"),
    "EISeg": ('[{"name": "a", "labelIdx": 1, "points": []}]', BROKEN, "list, as EISeg writes", "source.format: eiseg"),
    "COCO": ('{"images": [], "annotations": [], "categories": []}', BROKEN, "a COCO file", "source.format: coco"),
    "GeoJSON": ('{"type": "FeatureCollection", "features": []}', BROKEN, "GeoJSON", "source.format: geojson"),
    "height is a word": ('{"shapes": [], "imageHeight": "tall"}', BROKEN, "imageHeight is 'tall'", "labelme"),
    "width is 0": ('{"shapes": [], "imageWidth": 0}', BROKEN, "imageWidth is 0, which is no number of pixels", ""),
    "width is true": ('{"shapes": [], "imageWidth": true}', BROKEN, "imageWidth is True", ""),
    "width is 30.5": ('{"shapes": [], "imageWidth": 30.5}', BROKEN, "imageWidth is 30.5", ""),
    "width is infinite": ('{"shapes": [], "imageWidth": Infinity}', BROKEN, "imageWidth is inf", ""),
    "shape is text": ('{"shapes": ["text"]}', BROKEN, "shape 1: it is not an object", ""),
    "no label": ('{"shapes": [{"points": []}]}', BROKEN, "shape 1: it has no label", ""),
    "label is a number": (one(label=7), BROKEN, "its label 7 is not text", ""),
    "no points": ('{"shapes": [{"label": "a"}]}', BROKEN, "shape 1: it has no points", ""),
    "points is text": (one(points="none"), BROKEN, "points are not a list", ""),
    "points is flat": (one(points=[1, 2, 3, 4, 5, 6]), BROKEN, "wrong: 1, 2, 3, 4, 5, 6; the first is 1", ""),
    "three coordinates": (one(points=[*SQUARE, [1, 2, 3]]), BROKEN, r"wrong: 5; the first is \[1, 2, 3\]", ""),
    "truth": (one(points=[*SQUARE, [True, 2]]), BROKEN, r"wrong: 5; the first is \[True, 2\]", ""),
    "text for a number": (one(points=[*SQUARE, ["3", 2]]), BROKEN, r"wrong: 5; the first is \['3', 2\]", ""),
    "NaN": (one(points=[*SQUARE, [float("nan"), 2]]), BROKEN, r"finite numbers .wrong: 5; the first is \[nan, 2\]", ""),
    "infinite": (one(points=[[0, float("-inf")], *SQUARE]), BROKEN, r"wrong: 1; the first is \[0, -inf\]", ""),
    "beyond a float": (one(points=[*SQUARE, [10**400, 2]]), BROKEN, "wrong: 5; the first is", ""),
    "null coordinate": (one(points=[*SQUARE, [None, 2]]), BROKEN, "wrong: 5", ""),
    "unknown type": (one(kind="blob"), BROKEN, 'shape_type "blob" is unknown .known: polygon, rectangle', ""),
    "type is a list": (one(kind=["polygon"]), BROKEN, "shape_type .* is unknown", ""),
    "group is text": (one(group_id="1"), BROKEN, "its group_id '1' is not a whole number", ""),
    "group is truth": (one(group_id=True), BROKEN, "its group_id True is not a whole number", ""),
    "four corners askew": (one(points=[[5, 0], [9, 5], [5, 9], [0, 5]], kind="rectangle"), BROKEN, "no upright", ""),
    "mask is no base64": (boxed([[4, 5], [6, 6]], "!"), BROKEN, "not a base64 PNG", ""),
    "mask is a list": (boxed([[4, 5], [6, 6]], [[1]]), BROKEN, "not a base64 PNG", ""),
    "mask is a JPEG": (boxed([[4, 5], [6, 6]], encoded(GREY, "JPEG")), BROKEN, "not a base64 PNG", ""),
    "mask breaks off": (boxed([[4, 5], [6, 6]], encoded(GREY)[:64]), BROKEN, "not a base64 PNG", ""),
    "mask has colours": (boxed([[4, 5], [6, 6]], encoded(Image.new("RGB", (3, 2)))), BROKEN, "colours .RGB.", ""),
    "mask of another size": (boxed([[4, 5], [7, 6]], encoded(GREY)), BROKEN, "has 3 × 2 pixels, but its box 4 × 2", ""),
    "mask turned": (boxed([[4, 5], [5, 7]], encoded(GREY)), BROKEN, "has 3 × 2 pixels, but its box 2 × 3", ""),
    "hole is a word": (one(flags={"hole": "yes"}), BROKEN, "flag \"hole\" is 'yes', neither true nor false", ""),
    "hole is a circle": (
        one(points=SQUARE[:2], kind="circle", flags={"hole": True}),
        BROKEN,
        "it is a circle with",
        "",
    ),
    "hole alone": (
        one(flags={"hole": True}),
        "hole_without_object",
        "shape 1 .* is a hole, but",
        "list the hole after",
    ),
    "hole of two points": (one(points=SQUARE[:2], flags={"hole": True}), "degenerate_shape", "has 2 points", "anew"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file_is_refused(tmp_path, name):
    content, kind, detail, remedy = BAD_FILES[name]
    (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AnnotationError) as caught:
        labelme.read(tmp_path / "a.json")
    (finding,) = caught.value.findings
    assert finding.kind == kind
    assert re.search(detail, finding.detail)
    assert re.search(remedy, finding.remedy)
    assert len(finding.detail) < 300


@pytest.mark.parametrize(
    "hole",
    [
        shape("road", RING, flags={"hole": True}),
        shape(points=[[15, 4], [17, 4], [17, 7]], flags={"hole": True}),
        shape(points=RING, group_id=1, flags={"hole": True}),
    ],
)
def test_hole_without_its_polygon(tmp_path, hole):
    """Another label; outside of the polygon; another group. No other kind of shape has holes, nor a later one."""
    others = shape(points=WIDE, kind="oriented_rectangle"), shape(points=SQUARE[:2])
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path, shape(), *others, hole, shape(points=WIDE))
    assert [finding.kind for finding in caught.value.findings] == ["hole_without_object"]


def test_all_defects_of_a_file_are_found(tmp_path):
    with pytest.raises(AnnotationError) as caught:
        read(
            tmp_path,
            shape(),
            shape(kind="blob"),
            {"points": SQUARE},
            shape(points=[[1, 2, 3]]),
            shape("road", RING, flags={"hole": True}),
            "text",
            height="tall",
        )
    starts = [finding.detail.split(":")[0] for finding in caught.value.findings]
    assert starts == [
        "its imageHeight is 'tall', which is no number of pixels",
        *(f"shape {number}" for number in (2, 3, 4, 6)),
        'shape 5 ("road") is a hole, but no polygon of its label before it contains it',
    ]


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read: No such file"):
        labelme.read(tmp_path / "none.json")
    with pytest.raises(AnnotationError, match="cannot be read: Is a directory"):
        labelme.read(tmp_path)


@pytest.mark.parametrize(
    ("kind", "points", "reason"),
    [
        ("polygon", SQUARE[:2], "has 2 points where a polygon needs at least 3"),
        ("polygon", [], "has 0 points"),
        ("rectangle", SQUARE[:3], "has 3 points where a rectangle needs 2"),
        ("circle", SQUARE[:1], "has 1 point where"),
        ("circle", [[0, 0], [1e9, 0]], "far outside"),
        ("mask", SQUARE[:2], "mask without pixels"),
    ],
)
def test_defect_of_a_shape_is_named(tmp_path, kind, points, reason):
    """Such a file can be read; what checks its shapes says which of them cannot be drawn."""
    (found,) = read(tmp_path, shape(points=points, kind=kind)).shapes
    assert reason in found.defect()


def test_shape_that_can_be_drawn_has_no_defect():
    assert Shape("a", "polygon", np.asarray(SQUARE, dtype=np.float64)).defect() is None


@pytest.mark.real
def test_real_files_of_many_versions_are_read(real_data):
    folders = ["labelme_examples", "labelme_nuts", "labelme_devices", "labelme_oddities", "labelme_old_chinese"]
    files = [
        file
        for folder in (*folders, "one_scene_many_formats/labelme")
        for file in sorted((real_data / folder).rglob("*.json"))
        if file.name != "annotations.json"  # COCO
    ]
    annotations = {file: labelme.read(file) for file in files}
    assert len(annotations) > 55
    assert all(s.defect() is None for annotation in annotations.values() for s in annotation.shapes)
    kinds = {s.kind for annotation in annotations.values() for s in annotation.shapes}
    assert kinds == {"polygon", "rectangle", "circle", "line", "linestrip", "point", "mask"}
    chinese = {s.label for file, a in annotations.items() if "chinese" in str(file) for s in a.shapes}
    assert chinese == {"不导电", "角位漏底"}
    backslash = next(a for file, a in annotations.items() if file.name == "backslash.json")
    assert backslash.picture == "parent/stem.jpg"


@pytest.mark.real
def test_other_formats_of_real_data_are_named(real_data):
    scene = real_data / "one_scene_many_formats" / "coco1.0" / "annotations" / "instances_default.json"
    example = real_data / "labelme_examples" / "instance_segmentation" / "data_dataset_coco" / "annotations.json"
    for file in (scene, example):
        with pytest.raises(AnnotationError, match=r"it is a COCO file; set dataset.source.format: coco"):
            labelme.read(file)
