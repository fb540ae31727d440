"""EISeg's files: what its code writes is read back, whichever of a picture's files is at hand."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.annotations import eiseg
from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.shapes import AnnotationError
from maskmill.classes import Classes
from maskmill.labels.rasterize import rasterize_annotation

LIST = "1 building 60 16 152 \n2 paved road 110 193 228 \n3 tree 1 2 3 \n"
SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5]]


def polygon(name="building", index=1, points=SQUARE, **other):
    return {"name": name, "labelIdx": index, "color": [60, 16, 152], "points": points} | other


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def save(path, values, dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=dtype)).save(path)
    return path


def read(path, *classes, background="rest"):
    return eiseg.read(path, LabelOptions(classes or ("building", "paved road"), background))


def drawn(path, classes=("building", "paved road")):
    """Label image of 8 × 8 pixels."""
    annotation = read(path, *classes)
    return rasterize_annotation(dataclasses.replace(annotation, height=8, width=8), Classes.from_config(list(classes)))


def test_polygons_and_their_names(tmp_path):
    path = write_json(tmp_path / "a.json", [polygon(), polygon("paved road", 2, [[0.5, 0], [7, 0], [7, 2.25]])])
    annotation = read(path)
    assert (annotation.height, annotation.width, annotation.picture) == (None, None, None)
    assert [(shape.label, shape.kind) for shape in annotation.shapes] == [
        ("building", "polygon"),
        ("paved road", "polygon"),
    ]
    np.testing.assert_array_equal(annotation.shapes[1].points, [[0.5, 0], [7, 0], [7, 2.25]])


@pytest.mark.parametrize("seed", range(5))
def test_drawn_polygons_are_the_masks_of_eiseg_but_for_pixels_that_touch_an_edge(tmp_path, seed):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 25))
    points = 100 + random.uniform(40, 90, 25)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    annotation = read(write_json(tmp_path / "a.json", [polygon(points=points.tolist())]))
    sized = dataclasses.replace(annotation, height=200, width=200)
    ours = rasterize_annotation(sized, Classes.from_config(["building"]))
    theirs, edges = np.zeros((2, 200, 200), np.uint8)
    cv2.fillPoly(theirs, pts=points[None].astype(np.int32), color=1)
    cv2.polylines(edges, points[None].astype(np.int32), isClosed=True, color=1)
    lost = ours < theirs
    assert not (ours > theirs).any()
    assert not (lost & (cv2.dilate(edges, np.ones((3, 3), np.uint8)) == 0)).any()
    assert 0 < lost.sum() < 0.02 * theirs.sum()


def test_a_picture_without_polygons(tmp_path):
    assert read(write_json(tmp_path / "a.json", [])).shapes == ()


def test_labels_further_down_in_the_list_cover_those_above(tmp_path):
    path = write_json(tmp_path / "a.json", [polygon("paved road", 2), polygon("building", 1)])
    assert drawn(path)[3, 3] == 2
    (tmp_path / "autosave_label.txt").write_text("2 paved road 1 1 1\n1 building 2 2 2\n")
    assert drawn(path)[3, 3] == 1
    assert read(write_json(tmp_path / "a.json", [polygon("building", None)])).shapes[0].label == "building"


def test_labelme_json_of_newer_versions(tmp_path):
    content = {
        "version": "1.1",
        "flags": {},
        "shapes": [{"label": "building", "points": SQUARE, "group_id": None, "shape_type": "polygon", "flags": {}}],
        "imagePath": "D:\\pictures\\site 1\\a.jpg",
        "imageData": None,
        "imageHeight": 8,
        "imageWidth": 9,
    }
    annotation = read(write_json(tmp_path / "a.json", content))
    assert (annotation.height, annotation.width, annotation.picture) == (8, 9, "a.jpg")
    assert annotation.shapes[0].label == "building"
    assert read(write_json(tmp_path / "a.json", content | {"imagePath": "/home/me/a.jpg"})).picture == "a.jpg"


@pytest.mark.parametrize("place", [".", "label", ".."])
def test_grey_masks_go_by_the_list(tmp_path, place):
    folder = tmp_path / "out"
    path = save(folder / "a.png", [[0, 1, 2]])
    (folder / place).mkdir(exist_ok=True)
    (folder / place / "autosave_label.txt").write_text(LIST)
    np.testing.assert_array_equal(read(path, "paved road", "building").label_values, [[0, 2, 1]])


def test_grey_masks_without_a_list_hold_class_indices(tmp_path):
    path = save(tmp_path / "a.png", [[0, 1, 2]])
    annotation = read(path)
    np.testing.assert_array_equal(annotation.label_values, [[0, 1, 2]])
    assert (annotation.height, annotation.width, annotation.label_values.dtype) == (1, 3, np.uint8)
    coloured = eiseg.read(path, LabelOptions({"a": "#ff0000", "b": "#00ff00"}))
    np.testing.assert_array_equal(coloured.label_values, [[0, 1, 2]])


def test_masks_of_geotiff_pictures(tmp_path):
    tifffile.imwrite(tmp_path / "a_mask.tif", np.array([[0, 2, 1]], dtype=np.uint8))
    (tmp_path / "autosave_label.txt").write_text(LIST)
    np.testing.assert_array_equal(read(tmp_path / "a_mask.tif").label_values, [[0, 2, 1]])


def test_colour_masks(tmp_path):
    path = save(tmp_path / "a_pseudo.png", [[[0, 0, 0], [60, 16, 152], [110, 193, 228]]])
    by_options = eiseg.read(path, LabelOptions({"x": "#6ec1e4", "y": "#3c1098"}))
    np.testing.assert_array_equal(by_options.label_values, [[0, 2, 1]])
    (tmp_path / "autosave_label.txt").write_text(LIST)
    np.testing.assert_array_equal(read(path).label_values, [[0, 1, 2]])


def test_labels_that_are_background(tmp_path):
    path = save(tmp_path / "a.png", [[0, 1, 3]])
    (tmp_path / "autosave_label.txt").write_text("0 background 0 0 0\n" + LIST)
    np.testing.assert_array_equal(read(path, background=["tree"]).label_values, [[0, 1, 0]])


def test_companions_are_the_list_of_labels(tmp_path):
    path = write_json(tmp_path / "label" / "a.json", [])
    assert eiseg.companions(path) == []
    (tmp_path / "autosave_label.txt").write_text(LIST)
    assert eiseg.companions(path) == [str(tmp_path / "autosave_label.txt")]


BAD_JSON = {
    "no JSON": ("[{", ["not valid JSON"]),
    "COCO": ({"images": [], "annotations": [], "categories": []}, ['take "format: coco"']),
    "an object": ({"name": "a"}, ["no list of polygons", "correct dataset.source"]),
    "no name": ([{"labelIdx": 1, "points": SQUARE}], ["polygon 1: it has no name"]),
    "no points": ([{"labelIdx": 1, "name": "a"}], ["polygon 1: it has no points"]),
    "name that is no text": ([polygon(name=7)], ["polygon 1: its name 7 is not text"]),
    "numbers for points": ([polygon(points=[1, 2, 3])], ["polygon 1: its points are not a list"]),
    "null for points": ([polygon(points=None)], ["polygon 1: its points are not a list"]),
    "three coordinates": ([polygon(points=[[1, 2, 3]] * 3)], ["polygon 1: its points are not a list"]),
    "polygon that is no object": ([polygon(), 5], ["polygon 2: it is not an object"]),
    "labelme shape without label": ({"shapes": [{"points": SQUARE}]}, ["shape 1: it has no label"]),
}

BAD_MASKS = {
    "unlisted index": ("a.png", [[0, 1, 9]], LIST, ["autosave_label.txt does not list: 9 (1 px)"]),
    "label of no class": ("a.png", [[0, 3, 3]], LIST, ['label "tree" (3, 2 px)', "known are building, paved road"]),
    "unlisted colour": ("a_pseudo.png", [[[9, 9, 9]]], LIST, ["does not list: #090909 (1 px)"]),
    "colour of no class": ("a_pseudo.png", [[[1, 2, 3]]], LIST, ['label "tree" (#010203, 1 px)']),
    "colours without list": ("a_pseudo.png", [[[1, 2, 3]]], None, ["meaning is written nowhere", "autosave_label.txt"]),
    "damaged list": ("a.png", [[0]], "building 1\n", ["line 1 is not", '"building 1"']),
    "colour twice": ("a_pseudo.png", [[[9, 9, 9]]], "1 a 9 9 9\n2 b 9 9 9\n", ["a and b have the same colour"]),
    "index twice": ("a.png", [[1]], "1 a 9 9 9\n1 b 8 8 8\n", ["a and b have the same index"]),
    "colours for indices": ("a.png", [[[1, 2, 3]]], LIST, ["colours where indices of labels are expected"]),
    "index without list": ("a.png", [[0, 1, 7]], None, ["no class index: 7 (1 px)"]),
    "0/255": ("a.png", [[0, 255]], None, ["0/255 mask where class indices"]),
}


def found_wrong(path, words):
    with pytest.raises(AnnotationError) as caught:
        read(path)
    text = " ".join(f"{found.detail}; {found.remedy}" for found in caught.value.findings)
    assert [word for word in words if word not in text] == []
    return caught.value.findings


@pytest.mark.parametrize("case", BAD_JSON)
def test_broken_json(tmp_path, case):
    content, words = BAD_JSON[case]
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    (found,) = found_wrong(path, words)
    assert found.kind == "broken_annotation"


@pytest.mark.parametrize("case", BAD_MASKS)
def test_masks_that_nothing_explains(tmp_path, case):
    name, values, label_list, words = BAD_MASKS[case]
    path = save(tmp_path / name, values)
    if label_list:
        (tmp_path / "autosave_label.txt").write_text(label_list)
    found_wrong(path, words)


def test_everything_wrong_is_said_at_once(tmp_path):
    path = write_json(tmp_path / "a.json", [polygon(points=5), polygon(), polygon(name=None)])
    assert len(found_wrong(path, ["polygon 1", "polygon 3"])) == 2
    path = save(tmp_path / "a.png", [[3, 9]])
    (tmp_path / "autosave_label.txt").write_text(LIST)
    assert [found.kind for found in found_wrong(path, [])] == ["unknown_label", "unexpected_value"]
    found_wrong(tmp_path / "none.json", ["cannot be read: No such file"])


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["a.json", "a.png", "a_pseudo.png", "a_cutout.png"], {"a": "a.json"}),
        (["a.png", "a_pseudo.png", "b_pseudo.png"], {"a": "a.png", "b": "b_pseudo.png"}),
        (["a_mask.tif", "a_pseudo.png", "a.shp"], {"a": "a_mask.tif"}),
        (["A.JSON", "b_MASK.TIFF"], {"A": "A.JSON", "b": "b_MASK.TIFF"}),
        (["annotations.json", "x/annotations.json", "autosave_label.txt", "a_grid_saved.json"], {}),
        (["a.jpg.json", "b.c.json"], {"a": "a.jpg.json", "b.c": "b.c.json"}),
        (["label/a.json", "label/autosave_label.txt"], {"a": "label/a.json"}),
        (["x/label/a.json", "y/label/a.png"], {"x/a": "x/label/a.json", "y/a": "y/label/a.png"}),
        (["x/a.png", "x/b.png", "x/label/a.png"], {"x/a": "x/label/a.png"}),
        (["label/labelme/a.json", "label/a.png"], {"a": "label/labelme/a.json"}),
        (["a.jpg", "a.tif", "a_foreground.png", "a_data_0_1.tif"], {}),
    ],
)
def test_one_file_a_sample(files, chosen):
    assert eiseg.sample_files(files) == chosen
    assert eiseg.sample_files(files[::-1]) == chosen


@given(st.lists(st.lists(st.integers(0, 7), min_size=2, max_size=2), min_size=3, max_size=9))
def test_json_gives_the_points_written(tmp_path_factory, points):
    path = write_json(tmp_path_factory.mktemp("e") / "a.json", [polygon(points=points)])
    np.testing.assert_array_equal(read(path).shapes[0].points, points)
