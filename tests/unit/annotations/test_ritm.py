"""RITM's click masks: object numbers come back from the scaled values its demo saves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.annotations import ritm
from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.shapes import AnnotationError
from maskmill.errors import MaskmillError


def save(path, values, dtype=np.uint8):
    Image.fromarray(np.asarray(values, dtype=dtype)).save(path)
    return path


def as_demo(objects):
    """What the demo makes of object numbers: scaled in 8 bits if there are fewer than 256, else as they are."""
    if objects.max() < 256:
        return objects.astype(np.uint8) * np.uint8(255 // max(objects.max(), 1))
    return objects.astype(np.uint16)


def read(path, classes=("cell",)):
    return ritm.read(path, LabelOptions(classes))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 17, 51, 85, 126, 127, 256, 300])
def test_object_numbers_come_back(tmp_path, count):
    objects = np.arange(count + 1)[None].repeat(2, axis=0)
    annotation = read(save(tmp_path / "a.png", as_demo(objects), None))
    np.testing.assert_array_equal(annotation.object_values, objects)
    np.testing.assert_array_equal(annotation.label_values, objects > 0)
    assert (annotation.height, annotation.width) == (2, count + 1)
    assert (annotation.label_values.dtype, annotation.object_values.dtype) == (np.uint8, np.int32)


@given(st.integers(1, 127), st.data())
def test_objects_that_others_cover_change_nothing(tmp_path_factory, count, data):
    seen = data.draw(st.sets(st.integers(0, count), max_size=count)) | {count}
    objects = np.array([sorted(seen)])
    annotation = read(save(tmp_path_factory.mktemp("r") / "a.png", as_demo(objects)))
    np.testing.assert_array_equal(annotation.label_values, objects > 0)
    assert len(np.unique(annotation.object_values)) == len(seen)


def test_bitmap_and_repeated_channels(tmp_path):
    objects = np.array([[0, 1, 2]])
    save(tmp_path / "a.bmp", as_demo(objects))
    np.testing.assert_array_equal(read(tmp_path / "a.bmp").object_values, objects)
    save(tmp_path / "a.png", as_demo(objects)[:, :, None].repeat(3, axis=2))
    np.testing.assert_array_equal(read(tmp_path / "a.png").object_values, objects)


BAD = {
    "no multiples": ([[0, 85, 254]], np.uint8, "not multiples of 255 // n"),
    "a class index": ([[0, 1]], np.uint8, "not multiples"),
    "smoothed": ([list(range(256))], np.uint8, "not multiples"),
    "200 objects": ([list(range(201))], np.uint8, "not multiples"),
    "colours": ([[[0, 0, 0], [255, 0, 0]]], np.uint8, "colours where RITM's object values are expected"),
    "fractions": ([[0, 0.5]], np.float32, "float32 values where"),
}


@pytest.mark.parametrize("case", BAD)
def test_other_values(tmp_path, case):
    values, dtype, words = BAD[case]
    path = save(tmp_path / ("a.tif" if dtype == np.float32 else "a.png"), values, dtype)
    with pytest.raises(AnnotationError) as caught:
        read(path)
    (found,) = caught.value.findings
    assert found.kind == "unexpected_value"
    assert words in found.detail
    assert '"format: instances"' in found.remedy


def test_several_classes_cannot_be_told_apart(tmp_path):
    path = save(tmp_path / "a.png", [[0, 255]])
    with pytest.raises(MaskmillError, match="has 2; name the one class"):
        read(path, ("cell", "nucleus"))


def test_unreadable_mask(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(AnnotationError, match="no picture in a known format"):
        read(tmp_path / "a.png")
