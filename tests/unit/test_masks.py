"""Mask pictures mean what the options say, and what they do not say is a finding with the values and their counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from maskmill.annotations import masks
from maskmill.annotations.shapes import AnnotationError
from maskmill.classes import parse_colour
from maskmill.errors import MaskmillError
from tests.unit.label_data import write_mask

COLOURS = {"building": "#3c1098", "road": "#6ec1e4"}


def colour_mask(path, *colours):
    return write_mask(path, np.array([[parse_colour(colour) for colour in colours]]))


def finding(path, classes, background="rest"):
    with pytest.raises(AnnotationError) as caught:
        masks.read(path, classes, background)
    (only,) = caught.value.findings
    return only


def test_indices_are_taken_as_they_are(tmp_path):
    path = write_mask(tmp_path / "a.png", [[0, 1, 2, 255]])
    annotation = masks.read(path, ["building", "road"], "rest")
    assert (annotation.height, annotation.width, annotation.shapes) == (1, 4, ())
    assert annotation.label_values.dtype == np.uint8
    np.testing.assert_array_equal(annotation.label_values, [[0, 1, 2, 255]])


def test_indices_of_palette_bilevel_deep_and_repeated_pictures(tmp_path):
    values = np.array([[0, 1, 1]], dtype=np.uint8)
    palette = Image.fromarray(values)
    palette.putpalette([0, 0, 0, 200, 10, 20] + [0] * 762)
    pictures = [
        palette,
        Image.fromarray(values == 1),
        Image.fromarray(values.astype(np.uint16)),
        Image.fromarray(values),
    ]
    pictures.append(Image.fromarray(np.repeat(values[:, :, None], 3, axis=2)))
    for picture in pictures:
        picture.save(tmp_path / "a.png")
        np.testing.assert_array_equal(masks.read(tmp_path / "a.png", ["a"], "rest").label_values, values)


@pytest.mark.parametrize("values", [[0, 255], [255, 255]])
def test_0_255_mask_where_indices_are_expected(tmp_path, values):
    found = finding(write_mask(tmp_path / "a.png", [values]), ["building"])
    assert found.kind == "unexpected_value"
    assert "0/255 mask where class indices are expected" in found.detail
    assert '{building: "#ffffff"}' in found.remedy


def test_empty_index_mask_is_all_background(tmp_path):
    np.testing.assert_array_equal(
        masks.read(write_mask(tmp_path / "a.png", [[0, 0]]), ["a"], "rest").label_values, [[0, 0]]
    )


def test_values_without_class_are_listed_with_counts(tmp_path):
    found = finding(write_mask(tmp_path / "a.png", [[0, 1, 7, 7, 3]]), ["a", "b"])
    assert "7 (2 px), 3 (1 px)" in found.detail
    assert "0 to 2 and 255" in found.detail


def test_colours_where_indices_are_expected(tmp_path):
    found = finding(colour_mask(tmp_path / "a.png", "#3c1098", "#000000", "#3c1098"), ["a"])
    assert found.kind == "unexpected_value"
    assert "#3c1098 (2 px), #000000 (1 px)" in found.detail


def test_colours_are_classes_and_the_rest_background(tmp_path):
    path = colour_mask(tmp_path / "a.png", "#6ec1e4", "#3c1098", "#123456", "#3c1099")
    np.testing.assert_array_equal(masks.read(path, COLOURS, "rest").label_values, [[2, 1, 0, 0]])


def test_colours_with_background_colours_only(tmp_path):
    path = colour_mask(tmp_path / "a.png", "#6ec1e4", "#000000")
    np.testing.assert_array_equal(masks.read(path, COLOURS, ["#000000"]).label_values, [[2, 0]])
    found = finding(colour_mask(tmp_path / "a.png", "#6ec1e4", "#010101", "#010101", "#ffffff"), COLOURS, ["#000000"])
    assert found.kind == "unexpected_value"
    assert "#010101 (2 px), #ffffff (1 px)" in found.detail
    assert "#6ec1e4" not in found.detail


def test_black_may_be_the_class(tmp_path):
    path = write_mask(tmp_path / "a.png", [[0, 255]])
    np.testing.assert_array_equal(masks.read(path, {"membrane": "#000000"}, ["#ffffff"]).label_values, [[1, 0]])


def test_palette_colours_are_resolved(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    palette.putpalette([*parse_colour("#6ec1e4"), *parse_colour("#3c1098")] + [0] * 762)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(masks.read(tmp_path / "a.png", COLOURS, []).label_values, [[2, 1]])


def test_sixteen_bits_are_no_colours(tmp_path):
    Image.fromarray(np.array([[0, 1]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert "uint16 where 8-bit colours are expected" in finding(tmp_path / "a.png", COLOURS).detail


def test_unreadable_mask(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    found = finding(tmp_path / "a.png", ["a"])
    assert (found.kind, found.detail) == ("broken_annotation", "it is no picture in a known format")


def test_background_that_is_no_colour_is_an_error_of_the_option(tmp_path):
    path = colour_mask(tmp_path / "a.png", "#6ec1e4")
    with pytest.raises(MaskmillError, match="not a colour"):
        masks.read(path, COLOURS, ["grass"])


@given(arrays(np.uint8, (4, 5, 3), elements=st.sampled_from([0, 1, 60, 255])))
def test_colours_against_a_loop(tmp_path_factory, pixels):
    path = write_mask(tmp_path_factory.mktemp("m") / "a.png", pixels)
    classes = {"a": "#000000", "b": "#3c01ff", "c": "#ffffff"}
    meaning = {parse_colour(colour): value for value, colour in enumerate(classes.values(), 1)}
    expected = [[meaning.get(tuple(pixel), 0) for pixel in row] for row in pixels.tolist()]
    np.testing.assert_array_equal(masks.read(path, classes, "rest").label_values, expected)
