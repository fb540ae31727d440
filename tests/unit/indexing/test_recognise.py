"""`format: auto` recognises what lies in the folder, says what it saw, and refuses to guess."""

import json

import numpy as np
import pytest
from PIL import Image

from maskmill.annotations.formats import FORMATS
from maskmill.errors import MaskmillError
from maskmill.indexing.recognise import recognise
from tests.unit.label_data import shape, write_labelme, write_mask, write_picture


@pytest.fixture
def source(tmp_path):
    """Three pictures and an empty folder for their annotations."""
    for name in "abc":
        write_picture(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "annotations").mkdir()
    return {"images": f"{tmp_path}/images", "annotations": f"{tmp_path}/annotations"}


def write(tmp_path, name, text):
    path = tmp_path / "annotations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


CONTENTS = {
    "coco": ("all.json", {"images": [], "annotations": [], "categories": []}),
    "eiseg": ("a.json", [{"name": "roof", "labelIdx": 1, "color": [1, 2, 3], "points": []}]),
    "geojson": ("map.geojson", {"type": "FeatureCollection", "features": []}),
    "cvat": ("annotations.xml", "<annotations><version>1.1</version><image id='0' name='a.jpg'/></annotations>"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_text_formats_are_told_by_what_they_hold(tmp_path, source, name):
    write(tmp_path, *CONTENTS[name])
    found, saw = recognise(source, ["nucleus"])
    assert found == name
    assert saw.startswith(FORMATS[name].title)


def test_labelme_beside_its_pictures(tmp_path, source):
    for name in "abc":
        write_labelme(tmp_path / "images" / f"{name}.json", shape())
    source["annotations"] = source["images"]
    found, saw = recognise(source, ["nucleus"])
    assert found == "labelme"
    assert "3 of 6 files" in saw


def test_annotations_may_be_one_file(tmp_path, source):
    write(tmp_path, *CONTENTS["coco"])
    assert recognise(source | {"annotations": f"{tmp_path}/annotations/all.json"}, ["nucleus"])[0] == "coco"


BLOCKS = np.kron(np.arange(24).reshape(4, 6), np.ones((4, 4), int))
"""Numbers from 0 to 23, each in one block."""


def write_masks(tmp_path, *masks):
    """Grey masks for the pictures a, b and c."""
    for name, values in zip("abc", masks, strict=True):
        write_mask(tmp_path / "annotations" / f"{name}.png", values)


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        (np.arange(12) // 4, ["a", "b"], "png"),
        (np.arange(12) * 20, ["a"], "png"),
        (np.arange(12) % 2 * 255, ["a"], "png"),
        (np.arange(12) % 3, ["a"], "png"),
        (np.arange(12), {"a": "#030303"}, "png"),
        (np.arange(12), ["a", "b"], "png"),
    ],
)
def test_masks_of_values_that_number_no_objects(tmp_path, source, values, classes, expected):
    write_masks(tmp_path, *[values.reshape(3, 4)] * 3)
    assert recognise(source, classes)[0] == expected


def test_masks_are_object_numbers_where_one_class_has_many_values_each_in_one_place(tmp_path, source):
    write_masks(tmp_path, BLOCKS, BLOCKS * (BLOCKS < 15), BLOCKS * (BLOCKS < 2))
    assert recognise(source, ["a"])[0] == "instances"


@pytest.mark.parametrize(
    ("masks", "values"),
    [
        ([BLOCKS % 5] * 3, "from 0 to 4 in 3 of 3 files"),
        ([BLOCKS * (BLOCKS < 5), BLOCKS * (BLOCKS < 8), BLOCKS * (BLOCKS < 3)], "from 0 to 7 in 2 of 3 files"),
        ([BLOCKS, BLOCKS, BLOCKS], "from 0 to 23 in 3 of 3 files"),
        ([np.arange(96).reshape(8, 12) % number for number in (12, 16, 24)], "from 0 to 23 in 3 of 3 files"),
    ],
    ids=["classes", "few objects", "one range in all", "scattered"],
)
def test_values_that_may_be_indices_of_unlisted_classes_are_refused(tmp_path, source, masks, values):
    write_masks(tmp_path, *masks)
    with pytest.raises(MaskmillError, match=f"{values} looked at, but dataset.classes has one.*list all.*instances"):
        recognise(source, ["a"])


@pytest.mark.parametrize("classes", [["building"], {"building": "#3c1098"}])
@pytest.mark.parametrize("palette", [True, False])
def test_colours_are_no_object_numbers(tmp_path, source, palette, classes):
    for name in "abc":
        mask = Image.fromarray((BLOCKS % 6).astype(np.uint8), "P")
        mask.putpalette([0, 0, 0, 60, 16, 152, 254, 221, 58, 226, 169, 41, 132, 41, 246, 110, 193, 228])
        (mask if palette else mask.convert("RGB")).save(tmp_path / "annotations" / f"{name}.png")
    assert recognise(source, classes)[0] == "png"


def test_one_mask_an_object_in_folders_called_like_the_pictures(tmp_path, source):
    for name in "abc":
        for number in range(3):
            write_mask(tmp_path / "annotations" / name / "masks" / f"{number}.png", np.eye(4) * 255)
    assert recognise(source, ["nucleus"])[0] == "instances"


DSB = {"image_pattern": "{case}/images/{case}.png", "annotation_pattern": "{case}/masks/{object}.png"}


def write_cases(root):
    """Two pictures with two object masks each, laid out as in the Data Science Bowl of 2018; the source of both."""
    for case in "ab":
        write_picture(root / "stage1_train" / case / "images" / f"{case}.png")
        for number in range(2):
            write_mask(root / "stage1_train" / case / "masks" / f"{number}.png", np.eye(4) * 255)
    return {"images": f"{root}/stage1_train", "annotations": f"{root}/stage1_train"}


def test_patterns_tell_one_mask_an_object_from_the_pictures_in_the_same_folder(tmp_path):
    source = write_cases(tmp_path)
    found, saw = recognise(source | DSB, ["nucleus"])
    assert found == "instances"
    assert "4 of 4 files" in saw
    assert recognise(source | DSB | {"annotation_pattern": "{case}/masks/0.png"}, ["nucleus"])[0] == "png"
    assert recognise(source, ["nucleus"])[0] == "png", "pairing then asks for patterns"


def test_files_that_do_not_match_the_pattern_are_not_looked_at(tmp_path, source):
    write(tmp_path, "classes.json", {"images": [], "categories": []})
    write_masks(tmp_path, *[BLOCKS % 2] * 3)
    patterns = {"image_pattern": "{stem}.jpg", "annotation_pattern": "{stem}.png"}
    assert recognise(source | patterns, ["a"])[0] == "png"
    with pytest.raises(MaskmillError, match=r'none of 4 files below .* matches .*annotation_pattern "\{stem\}.tif"'):
        recognise(source | patterns | {"annotation_pattern": "{stem}.tif"}, ["a"])


@pytest.mark.parametrize("masks", [[BLOCKS, BLOCKS * (BLOCKS < 20)]])
def test_grey_pictures_without_masks_are_no_object_numbers(tmp_path, masks):
    for number, values in enumerate(masks):
        write_mask(tmp_path / f"{number}.png", values)
    assert recognise({"images": str(tmp_path), "annotations": str(tmp_path)}, ["a"])[0] == "png"


def test_colour_masks_with_a_label_map(tmp_path, source):
    Image.new("RGB", (4, 4), (128, 0, 0)).save(tmp_path / "annotations" / "a.png")
    write(tmp_path, "labelmap.txt", "# label:color_rgb:parts:actions\nroof:128,0,0::\n")
    assert recognise(source, ["nucleus"])[0] == "voc"


def test_boxes_beside_colour_masks_do_no_harm(tmp_path, source):
    write(tmp_path, "Annotations/a.xml", "<annotation><filename>a.jpg</filename></annotation>")
    (tmp_path / "annotations" / "SegmentationClass").mkdir()
    Image.new("RGB", (4, 4), (128, 0, 0)).save(tmp_path / "annotations" / "SegmentationClass" / "a.png")
    write(tmp_path, "labelmap.txt", "roof:128,0,0::\n")
    assert recognise(source, ["nucleus"])[0] == "voc"


def test_foreign_files_beside_annotations_are_mentioned(tmp_path, source):
    write_masks(tmp_path, *[BLOCKS % 2] * 3)
    write(tmp_path, "a.xml", "<annotation><filename>a.jpg</filename><object><polygon/></object></annotation>")
    found, saw = recognise(source, ["a"])
    assert found == "png"
    assert "left aside: 1 × XML of the old LabelMe web page (export it as labelme JSON or COCO)" in saw


def test_label_volumes(tmp_path, source):
    write(tmp_path, "a.nii.gz", "")
    assert recognise(source, ["nucleus"])[0] == "nifti"


def test_several_formats_in_one_folder_are_refused(tmp_path, source):
    for name in ("coco", "eiseg"):
        write(tmp_path, *CONTENTS[name])
    with pytest.raises(MaskmillError, match=r"several formats: 1 × COCO JSON, 1 × EISeg; say which"):
        recognise(source, ["nucleus"])


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("a.xml", "<annotation><filename>a.jpg</filename><object><bndbox/></object></annotation>", "boxes in XML"),
        ("a.xml", "<annotation><filename>a.jpg</filename><object><polygon/></object></annotation>", "LabelMe web page"),
        ("a.xml", "<annotations><track id='0'/></annotations>", "CVAT XML of a video"),
        ("a.txt", "0 0.5 0.5 1 1", "1 file with suffix .txt; 1 × YOLO text files, which are not read"),
        ("a.txt", "see the other folder", "1 file with suffix .txt; say which"),
        ("a.json", '{"some": "thing"}', "1 file with suffix .json"),
        ("a.json", "{", "1 file with suffix .json"),
    ],
)
def test_what_is_not_known_is_named(tmp_path, source, file, text, reason):
    write(tmp_path, file, text)
    with pytest.raises(MaskmillError, match=f"no annotation format was recognised.*{reason}"):
        recognise(source, ["nucleus"])


@pytest.mark.parametrize("suffix", [".jpg", ".GIF"])
def test_masks_of_formats_that_change_values(tmp_path, source, suffix):
    write(tmp_path, f"a{suffix}", "")
    with pytest.raises(
        MaskmillError, match=rf"found 1 file with suffix {suffix.lower()}; if these are masks, save them as PNG"
    ):
        recognise(source, ["nucleus"])


def test_an_empty_folder(source):
    with pytest.raises(MaskmillError, match="found no file"):
        recognise(source, ["nucleus"])


def test_a_missing_folder(tmp_path, source):
    with pytest.raises(MaskmillError, match=r"no folder or file of annotations .*nowhere; correct dataset.source"):
        recognise(source | {"annotations": f"{tmp_path}/nowhere"}, ["nucleus"])
