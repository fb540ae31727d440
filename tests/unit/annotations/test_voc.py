"""VOC masks: colours become classes by the list beside the masks, and what no list explains is a finding."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.annotations import voc
from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.shapes import AnnotationError

# From the table in the documentation of the VOC 2012 development kit.
DEVKIT = {
    0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 5: (128, 0, 128),
    6: (0, 128, 128), 7: (128, 128, 128), 8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192),
}  # fmt: skip

PALETTE = [DEVKIT.get(i, (i, i, 7)) for i in range(256)]
LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:10,20,30::\ntree house:40,50,60:a,b:c\n"


def save(path, values, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values, dtype=np.uint8))
    if palette:
        image.putpalette([channel for colour in palette for channel in colour])
    image.save(path)
    return path


def colours(*codes):
    return [list(codes)]


def read(path, *classes, background="rest", instances=False):
    return voc.read(path, LabelOptions(classes, background, instances=instances))


def findings(path, *classes, background="rest", instances=False):
    with pytest.raises(AnnotationError) as caught:
        read(path, *classes, background=background, instances=instances)
    return caught.value.findings


def code(colour):
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def test_colour_map_is_that_of_the_development_kit():
    assert voc.colour_map(np.array(list(DEVKIT))).tolist() == [code(colour) for colour in DEVKIT.values()]


@given(st.lists(st.integers(0, 2**24 - 1), min_size=1))
def test_every_colour_has_an_index(indices):
    assert voc.colour_index(voc.colour_map(np.array(indices))).tolist() == indices
    assert voc.colour_map(voc.colour_index(np.array(indices))).tolist() == indices


def test_voc_2012_from_palette_colours_and_indices(tmp_path):
    values = np.array([[0, 15, 20, 255]])
    expected = [[0, 1, 2, 255]]
    pictures = [
        save(tmp_path / "palette.png", values, PALETTE),
        save(tmp_path / "colours.png", [[DEVKIT[v] for v in values[0]]]),
        save(tmp_path / "grey.png", values),
    ]
    for path in pictures:
        annotation = read(path, "person", "tvmonitor")
        np.testing.assert_array_equal(annotation.label_values, expected)
        assert (annotation.height, annotation.width, annotation.label_values.dtype) == (1, 4, np.uint8)
        assert annotation.object_values is None


def test_names_that_are_not_wanted_are_background_with_rest(tmp_path):
    path = save(tmp_path / "a.png", colours(DEVKIT[1], DEVKIT[15], DEVKIT[3]))
    np.testing.assert_array_equal(read(path, "person").label_values, [[0, 1, 0]])


def test_names_that_are_listed_as_background_and_no_others(tmp_path):
    path = save(tmp_path / "a.png", colours(DEVKIT[0], DEVKIT[1], DEVKIT[15]))
    np.testing.assert_array_equal(read(path, "person", background=["aeroplane"]).label_values, [[0, 0, 1]])
    (found,) = findings(path, "person", background=["bicycle"])
    assert found.kind == "unknown_label"
    assert 'label "aeroplane" (#800000, 1 px)' in found.detail


def test_label_map_in_a_folder_above(tmp_path):
    (tmp_path / "labelmap.txt").write_text(LABEL_MAP)
    path = save(tmp_path / "SegmentationClass" / "site" / "a.png", colours((10, 20, 30), (0, 0, 0), (40, 50, 60)))
    np.testing.assert_array_equal(read(path, "tree house", "road").label_values, [[2, 0, 1]])
    far = save(tmp_path / "1" / "2" / "3" / "a.png", colours(DEVKIT[1]))
    np.testing.assert_array_equal(read(far, "aeroplane").label_values, [[1]])


def test_palette_masks_with_a_label_map_go_by_their_colours(tmp_path):
    (tmp_path / "labelmap.txt").write_text(LABEL_MAP)
    path = save(tmp_path / "a.png", [[0, 1]], [(40, 50, 60), (10, 20, 30)])
    np.testing.assert_array_equal(read(path, "road").label_values, [[0, 1]])


def test_void_and_black_need_no_line_but_may_have_one(tmp_path):
    path = save(tmp_path / "a.png", colours((224, 224, 192), (0, 0, 0), (1, 2, 3)))
    (tmp_path / "labelmap.txt").write_text("road:1,2,3")
    np.testing.assert_array_equal(read(path, "road").label_values, [[255, 0, 1]])
    (tmp_path / "labelmap.txt").write_text("road:0,0,0\nsky:224,224,192\nrest:1,2,3\n__ignore__:9,9,9\n")
    np.testing.assert_array_equal(read(path, "road", "sky").label_values, [[2, 1, 0]])
    save(tmp_path / "a.png", colours((9, 9, 9)))
    np.testing.assert_array_equal(read(path, "road").label_values, [[255]])


def test_class_names_of_labelme(tmp_path):
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\ncup\n\nred plate\n", encoding="utf-8")
    path = save(tmp_path / "SegmentationClass" / "a.png", [[0, 1, 3, 255]], PALETTE)
    np.testing.assert_array_equal(read(path, "red plate", "cup").label_values, [[0, 2, 1, 255]])


def test_a_label_without_colour_has_no_pixels(tmp_path):
    (tmp_path / "labelmap.txt").write_text(LABEL_MAP + "cloud:::\n")
    path = save(tmp_path / "a.png", colours((10, 20, 30)))
    np.testing.assert_array_equal(read(path, "cloud", "road").label_values, [[2]])


def shorten_palette(path, colours):
    """Cut the palette of a PNG to so many colours, as if it ended before some of the values."""
    content = path.read_bytes()
    start = content.index(b"PLTE")
    chunk = b"PLTE" + content[start + 4 : start + 4 + 3 * colours]
    chunk = struct.pack(">I", 3 * colours) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(content[: start - 4] + chunk + content[start + 4 + 768 + 4 :])
    return path


def object_masks(tmp_path, classes="SegmentationClass", objects="SegmentationObject"):
    path = save(tmp_path / classes / "a.png", colours(DEVKIT[15], DEVKIT[15], DEVKIT[0], DEVKIT[255], DEVKIT[1]))
    save(tmp_path / objects / "a.png", colours(DEVKIT[1], DEVKIT[2], DEVKIT[0], DEVKIT[255], DEVKIT[3]))
    return path


@pytest.mark.parametrize("names", [("SegmentationClass", "SegmentationObject"), ("SegmentationClassPNG",) * 2])
def test_objects_of_the_classes_wanted(tmp_path, names):
    path = object_masks(tmp_path, names[0], names[1].replace("Class", "Object"))
    annotation = read(path, "person", instances=True)
    np.testing.assert_array_equal(annotation.label_values, [[1, 1, 0, 255, 0]])
    np.testing.assert_array_equal(annotation.object_values, [[1, 2, 0, 0, 0]])
    assert annotation.object_values.dtype == np.int32
    assert read(path, "person").object_values is None


def test_without_a_file_of_objects_there_are_none(tmp_path):
    path = save(tmp_path / "SegmentationClass" / "a.png", colours(DEVKIT[15]))
    assert read(path, "person", instances=True).object_values is None


def test_companions_are_the_files_that_change_the_label(tmp_path):
    path = object_masks(tmp_path)
    assert voc.companions(path) == [str(tmp_path / "SegmentationObject" / "a.png")]
    (tmp_path / "labelmap.txt").write_text(LABEL_MAP)
    assert voc.companions(path)[1] == str(tmp_path / "labelmap.txt")
    assert voc.companions(save(tmp_path / "x" / "y" / "z" / "b.png", [[0]])) == []


BAD = {
    "colour of no class": (colours((1, 2, 3), (1, 2, 3)), None, ["aeroplane"], ["#010203 (2 px)", "labelmap.txt"]),
    "colour not in the list": (colours(DEVKIT[1]), LABEL_MAP, ["road"], ["labelmap.txt does not have: #800000"]),
    "misspelt class": (colours(DEVKIT[15]), None, ["person", "areoplane"], ['did you mean "aeroplane"?']),
    "other case": (colours((10, 20, 30)), LABEL_MAP, ["Road", "tree house"], ['did you mean "road"?']),
    "none of the classes": (colours(DEVKIT[15]), None, ["ship"], ["none of dataset.classes (ship) is in VOC 2012"]),
    "line without colour": (colours(DEVKIT[0]), "road 1 2 3", ["road"], ["line 1 is not label:r,g,b", '"road 1 2 3"']),
    "colour above 255": (colours(DEVKIT[0]), "road:1,2,300::", ["road"], ["line 1 is not label:r,g,b"]),
    "one colour twice": (colours(DEVKIT[0]), "a:1,2,3\nb:1,2,3", ["a"], ["a and b have the same colour #010203"]),
    "grey with label map": ([[0, 1]], LABEL_MAP, ["road"], ["#010101 (1 px)"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_no_list_explains(tmp_path, case):
    pixels, label_map, classes, words = BAD[case]
    path = save(tmp_path / "SegmentationClass" / "a.png", pixels)
    if label_map:
        (tmp_path / "labelmap.txt").write_text(label_map)
    (found,) = findings(path, *classes)
    assert found.kind in ("unknown_label", "unexpected_value", "broken_annotation")
    assert [word for word in words if word not in f"{found.detail}; {found.remedy}"] == []


def test_other_damage(tmp_path):
    path = shorten_palette(save(tmp_path / "a.png", [[0, 3, 9]], PALETTE), 3)
    assert "beyond the 3 colours of its palette: 3 (1 px), 9 (1 px)" in findings(path, "person")[0].detail
    Image.fromarray(np.array([[0, 1]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert "uint16 where 8-bit colours" in findings(path, "person")[0].detail
    path.write_bytes(b"no picture")
    assert findings(path, "person")[0].kind == "broken_annotation"
    (tmp_path / "labelmap.txt").write_bytes(b"\xff\xfe\x00a")
    assert "labelmap.txt: cannot be read" in findings(save(path, [[0]]), "person")[0].detail


def test_objects_of_another_size(tmp_path):
    path = object_masks(tmp_path)
    save(tmp_path / "SegmentationObject" / "a.png", colours(DEVKIT[1]))
    (found,) = findings(path, "person", instances=True)
    assert found.kind == "size_mismatch"
    assert "has 1 × 1 pixels, the classes have 5 × 1" in found.detail


def test_everything_wrong_is_said_at_once(tmp_path):
    path = save(tmp_path / "a.png", colours(DEVKIT[1], DEVKIT[2], (1, 2, 3)))
    kinds = [found.kind for found in findings(path, "person", background=[])]
    assert kinds == ["unknown_label", "unknown_label", "unexpected_value"]


@pytest.mark.real
def test_cvat_export(real_data):
    root = real_data / "one_scene_many_formats" / "voc1.1"
    path = root / "SegmentationClass" / "shapes.png"
    with Image.open(path) as image:
        ellipses = (np.asarray(image) == (0, 0, 128)).all(axis=2)
    annotation = read(path, "ellipse", "circle", instances=True)
    np.testing.assert_array_equal(annotation.label_values, ellipses)
    assert np.unique(annotation.object_values).tolist() == [0, 1, 2]
    with Image.open(root / "SegmentationObject" / "shapes.png") as image:
        first = (np.asarray(image) == (128, 0, 0)).all(axis=2)
    np.testing.assert_array_equal(annotation.object_values == 1, first)
    assert voc.companions(path)[1].endswith("voc1.1/labelmap.txt")


@pytest.mark.real
@pytest.mark.parametrize("example", ["semantic_segmentation", "instance_segmentation"])
def test_labelme_exports_equal_their_arrays(real_data, example):
    root = real_data / "labelme_examples" / example / "data_dataset_voc"
    names = (root / "class_names.txt").read_text().splitlines()
    paths = sorted((root / "SegmentationClass").glob("*.png"))
    assert len(paths) == 3
    for path in paths:
        annotation = read(path, *names[1:], instances=True)
        expected = np.load(root / "SegmentationClassNpy" / f"{path.stem}.npy")
        np.testing.assert_array_equal(annotation.label_values, np.where(expected == -1, 255, expected))
        if example == "instance_segmentation":
            objects = np.load(root / "SegmentationObjectNpy" / f"{path.stem}.npy")
            np.testing.assert_array_equal(annotation.object_values, np.where(expected > 0, objects, 0))
        else:
            assert annotation.object_values is None


@pytest.mark.real
def test_labelme_video_export(real_data):
    root = real_data / "labelme_examples" / "video_annotation" / "data_dataset_voc"
    names = (root / "class_names.txt").read_text().splitlines()
    expected = np.load(root / "SegmentationClass" / "00000100.npy")
    labels = read(root / "SegmentationClassPNG" / "00000100.png", *names[1:]).label_values
    np.testing.assert_array_equal(labels, expected)
