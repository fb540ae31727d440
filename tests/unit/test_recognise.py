"""`format: auto` recognises what lies in the folder, says what it saw, and refuses to guess."""

import json

import numpy as np
import pytest
from PIL import Image

from maskmill.annotations.formats import FORMATS
from maskmill.errors import MaskmillError
from maskmill.recognise import recognise
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
    found, saw = recognise(source, 1)
    assert found == name
    assert saw.startswith(FORMATS[name].title)


def test_labelme_beside_its_pictures(tmp_path, source):
    for name in "abc":
        write_labelme(tmp_path / "images" / f"{name}.json", shape())
    source["annotations"] = source["images"]
    found, saw = recognise(source, 1)
    assert found == "labelme"
    assert "3 of 6 files" in saw


def test_annotations_may_be_one_file(tmp_path, source):
    write(tmp_path, *CONTENTS["coco"])
    assert recognise(source | {"annotations": f"{tmp_path}/annotations/all.json"}, 1)[0] == "coco"


@pytest.mark.parametrize(
    ("values", "classes", "expected"),
    [
        (np.arange(12) // 4, 2, "png"),
        (np.arange(12), 1, "instances"),
        (np.arange(12) * 20, 1, "png"),
        (np.arange(12) % 2 * 255, 1, "png"),
    ],
)
def test_masks_are_object_numbers_where_one_class_has_many_small_values(tmp_path, source, values, classes, expected):
    for name in "abc":
        write_mask(tmp_path / "annotations" / f"{name}.png", values.reshape(3, 4))
    assert recognise(source, classes)[0] == expected


def test_one_mask_an_object_in_folders_called_like_the_pictures(tmp_path, source):
    for name in "abc":
        for number in range(3):
            write_mask(tmp_path / "annotations" / name / "masks" / f"{number}.png", np.eye(4) * 255)
    assert recognise(source, 1)[0] == "instances"


def test_colour_masks_with_a_label_map(tmp_path, source):
    Image.new("RGB", (4, 4), (128, 0, 0)).save(tmp_path / "annotations" / "a.png")
    write(tmp_path, "labelmap.txt", "# label:color_rgb:parts:actions\nroof:128,0,0::\n")
    assert recognise(source, 1)[0] == "voc"


def test_boxes_beside_colour_masks_do_no_harm(tmp_path, source):
    write(tmp_path, "Annotations/a.xml", "<annotation><filename>a.jpg</filename></annotation>")
    (tmp_path / "annotations" / "SegmentationClass").mkdir()
    Image.new("RGB", (4, 4), (128, 0, 0)).save(tmp_path / "annotations" / "SegmentationClass" / "a.png")
    write(tmp_path, "labelmap.txt", "roof:128,0,0::\n")
    assert recognise(source, 1)[0] == "voc"


def test_label_volumes(tmp_path, source):
    write(tmp_path, "a.nii.gz", "")
    assert recognise(source, 1)[0] == "nifti"


def test_several_formats_in_one_folder_are_refused(tmp_path, source):
    for name in ("coco", "eiseg"):
        write(tmp_path, *CONTENTS[name])
    with pytest.raises(MaskmillError, match=r"several formats: 1 × COCO JSON, 1 × EISeg; say which"):
        recognise(source, 1)


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("a.xml", "<annotation><filename>a.jpg</filename><object><bndbox/></object></annotation>", "boxes in XML"),
        ("a.xml", "<annotation><filename>a.jpg</filename><object><polygon/></object></annotation>", "LabelMe web page"),
        ("a.xml", "<annotations><track id='0'/></annotations>", "CVAT XML of a video"),
        ("a.txt", "0 0.5 0.5 1 1", "1 files with suffix .txt"),
        ("a.json", '{"some": "thing"}', "1 files with suffix .json"),
        ("a.json", "{", "1 files with suffix .json"),
    ],
)
def test_what_is_not_known_is_named(tmp_path, source, file, text, reason):
    write(tmp_path, file, text)
    with pytest.raises(MaskmillError, match=f"no annotation format was recognised.*{reason}"):
        recognise(source, 1)


def test_an_empty_folder(source):
    with pytest.raises(MaskmillError, match="found no file"):
        recognise(source, 1)
