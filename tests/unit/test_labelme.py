"""labelme files of every version are read alike; broken ones are refused with everything that is wrong."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from maskmill.annotations import labelme
from maskmill.annotations.shapes import AnnotationError, Shape
from tests.unit.label_data import SQUARE, shape, write_labelme


def test_file_of_version_5(tmp_path):
    stored = shape("road", SQUARE, "polygon", group_id=3)
    annotation = labelme.read(write_labelme(tmp_path / "a.json", stored, imagePath="..\\images\\a.png"))
    assert (annotation.height, annotation.width, annotation.picture) == (20, 30, "../images/a.png")
    assert annotation.label_values is None
    (read,) = annotation.shapes
    assert (read.label, read.kind, read.group_id) == ("road", "polygon", 3)
    np.testing.assert_array_equal(read.points, SQUARE)
    assert read.points.dtype == np.float64


def test_old_file_without_version_size_kind_and_group(tmp_path):
    content = {"shapes": [{"label": "不导电", "points": SQUARE}], "lineColor": [0, 255, 0, 128]}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(content, ensure_ascii=False), encoding="utf-8")
    annotation = labelme.read(tmp_path / "a.json")
    assert (annotation.height, annotation.width, annotation.picture) == (None, None, None)
    assert [(s.label, s.kind, s.group_id) for s in annotation.shapes] == [("不导电", "polygon", None)]


def test_null_shape_type_is_a_polygon(tmp_path):
    annotation = labelme.read(write_labelme(tmp_path / "a.json", shape(kind=None)))
    assert annotation.shapes[0].kind == "polygon"


def test_mask_shape(tmp_path):
    pixels = np.array([[0, 1, 1], [1, 0, 1]], dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    stored = shape(points=[[4, 5], [6, 6]], kind="mask", mask=base64.b64encode(file.getvalue()).decode())
    (read,) = labelme.read(write_labelme(tmp_path / "a.json", stored)).shapes
    np.testing.assert_array_equal(read.mask, pixels == 1)


def test_all_defects_of_a_file_are_found(tmp_path):
    path = write_labelme(
        tmp_path / "a.json",
        shape(),
        shape(kind="blob"),
        {"points": SQUARE},
        shape(points=[[1, 2, 3]]),
        shape(points="none"),
        shape(label=7),
        shape(points=[[1, 1], [2, 2]], kind="mask", mask="!"),
        "text",
    )
    with pytest.raises(AnnotationError) as caught:
        labelme.read(path)
    assert {finding.kind for finding in caught.value.findings} == {"broken_annotation"}
    details = [finding.detail for finding in caught.value.findings]
    assert [detail.split(":")[0] for detail in details] == [f"shape {number}" for number in range(2, 9)]
    assert 'shape_type "blob" is unknown' in details[0]
    assert "has no label" in details[1]
    assert "not a list of [x, y] pairs" in details[2]
    assert "not a base64 PNG" in details[5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not valid JSON"),
        ("", "not valid JSON"),
        ("[1]", "not a labelme file"),
        ('{"shapes": 1}', "not a labelme"),
    ],
)
def test_what_is_no_labelme_file_is_refused(tmp_path, content, reason):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(AnnotationError, match=reason):
        labelme.read(tmp_path / "a.json")


def test_file_in_another_encoding_or_missing_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes('{"shapes": [], "label": "不"}'.encode("gbk"))
    with pytest.raises(AnnotationError, match="utf-8"):
        labelme.read(tmp_path / "a.json")
    with pytest.raises(AnnotationError, match="cannot be read"):
        labelme.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("kind", "points", "reason"),
    [
        ("polygon", SQUARE[:2], "has 2 points where a polygon needs at least 3"),
        ("polygon", np.empty((0, 2)), "has 0 points"),
        ("rectangle", SQUARE, "has 4 points where a rectangle needs 2"),
        ("circle", SQUARE[:1], "has 1 points"),
        ("polygon", [[0, 0], [1, np.nan], [2, 2]], "no number"),
        ("circle", [[0, 0], [1e9, 0]], "far outside"),
        ("mask", SQUARE[:2], "mask without pixels"),
    ],
)
def test_defect_of_a_shape_is_named(kind, points, reason):
    assert reason in Shape("a", kind, np.asarray(points, dtype=np.float64)).defect()


def test_shape_that_can_be_drawn_has_no_defect():
    assert Shape("a", "polygon", np.asarray(SQUARE, dtype=np.float64)).defect() is None


@pytest.mark.real
def test_real_files_of_many_versions_are_read(real_data):
    files = [
        file
        for folder in ("labelme_examples", "labelme_nuts", "labelme_devices", "labelme_oddities", "labelme_old_chinese")
        for file in sorted((real_data / folder).rglob("*.json"))
        if file.name != "annotations.json"  # COCO
    ]
    annotations = {file: labelme.read(file) for file in files}
    assert len(annotations) > 50
    assert all(s.defect() is None for annotation in annotations.values() for s in annotation.shapes)
    kinds = {s.kind for annotation in annotations.values() for s in annotation.shapes}
    assert kinds == {"polygon", "rectangle", "circle", "line", "linestrip", "point", "mask"}
    chinese = {s.label for file, a in annotations.items() if "chinese" in str(file) for s in a.shapes}
    assert chinese == {"不导电", "角位漏底"}
    backslash = next(a for file, a in annotations.items() if file.name == "backslash.json")
    assert backslash.picture == "parent/stem.jpg"
