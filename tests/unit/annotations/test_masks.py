"""Mask pictures mean what the options say, and what they do not say is a finding with the values and their counts."""

import io

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from maskmill.annotations import masks
from maskmill.annotations.shapes import AnnotationError
from maskmill.classes import Classes, parse_colour
from maskmill.errors import MaskmillError
from maskmill.imaging.geotiff import write_label_tiff
from maskmill.imaging.images import write_label_png
from tests.unit.label_data import write_mask

COLOURS = {"building": "#3c1098", "road": "#6ec1e4"}
WHITE = {"building": "#ffffff"}


def colour_mask(path, *colours):
    return write_mask(path, np.array([[parse_colour(colour) for colour in colours]]))


def finding(path, classes, background="rest"):
    with pytest.raises(AnnotationError) as caught:
        masks.read(path, classes, background)
    (only,) = caught.value.findings
    return only


def values_of(path, classes, background="rest"):
    annotation = masks.read(path, classes, background)
    assert annotation.label_values.dtype == np.uint8
    assert (annotation.height, annotation.width) == annotation.label_values.shape[-2:]
    return annotation.label_values


def disc(colour=255, ground=0, size=80):
    """A filled disc drawn without smoothing, as an image."""
    mode = "L" if isinstance(colour, int) else "RGB"
    image = Image.new(mode, (size, size), ground)
    ImageDraw.Draw(image).ellipse([size // 5, size // 5, 4 * size // 5, 4 * size // 5], fill=colour)
    return image


def box():
    """A filled box; what JPEG makes of its straight edges has few values near white."""
    image = Image.new("RGB", (160, 120))
    ImageDraw.Draw(image).rectangle([20, 20, 79, 59], fill="white")
    return image


def as_jpeg(image, quality=75):
    """The picture after a round trip through JPEG, in memory."""
    memory = io.BytesIO()
    image.save(memory, "JPEG", quality=quality)
    return Image.open(memory)


def smoothed(image, by=Image.Resampling.LANCZOS):
    """The picture at a quarter of its size with blended edges."""
    return image.resize((image.width // 4, image.height // 4), by)


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
        np.testing.assert_array_equal(values_of(tmp_path / "a.png", ["a"]), values)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int16, np.int32, np.float32])
def test_indices_of_tiff_pictures(tmp_path, dtype):
    values = np.array([[0, 1, 1], [1, 0, 0]])
    tifffile.imwrite(tmp_path / "a.tif", values.astype(dtype), photometric="minisblack")
    np.testing.assert_array_equal(values_of(tmp_path / "a.tif", ["a"]), values)


@pytest.mark.parametrize("value", [0, 1, 2])
def test_one_index_all_over_the_mask(tmp_path, value):
    path = write_mask(tmp_path / "a.png", np.full((3, 4), value))
    np.testing.assert_array_equal(values_of(path, ["a", "b"]), np.full((3, 4), value))


def test_ignore_beside_classes(tmp_path):
    path = write_mask(tmp_path / "a.png", [[0, 1, 255]])
    np.testing.assert_array_equal(values_of(path, ["a"]), [[0, 1, 255]])


def test_colours_are_classes_and_the_rest_background(tmp_path):
    path = colour_mask(tmp_path / "a.png", "#6ec1e4", "#3c1098", "#123456", "#3c1099")
    np.testing.assert_array_equal(values_of(path, COLOURS), [[2, 1, 0, 0]])


def test_colours_with_background_colours_only(tmp_path):
    path = colour_mask(tmp_path / "a.png", "#6ec1e4", "#000000")
    np.testing.assert_array_equal(values_of(path, COLOURS, ["#000000"]), [[2, 0]])


def test_black_may_be_the_class(tmp_path):
    path = write_mask(tmp_path / "a.png", [[0, 255]])
    np.testing.assert_array_equal(values_of(path, {"membrane": "#000000"}, ["#ffffff"]), [[1, 0]])


def test_one_colour_all_over_the_mask(tmp_path):
    for value, label in ((255, 1), (0, 0)):
        path = write_mask(tmp_path / "a.png", np.full((3, 4), value))
        np.testing.assert_array_equal(values_of(path, WHITE), np.full((3, 4), label))


def test_palette_colours_are_resolved(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    palette.putpalette([*parse_colour("#6ec1e4"), *parse_colour("#3c1098")] + [0] * 762)
    palette.save(tmp_path / "a.png")
    np.testing.assert_array_equal(values_of(tmp_path / "a.png", COLOURS, []), [[2, 1]])


def test_alpha_does_not_matter_where_class_pixels_are_seen(tmp_path):
    pixels = np.array([[[0, 203, 255, 153], [0, 0, 0, 0], [0, 203, 255, 255]]], dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(values_of(tmp_path / "a.png", {"a": "#00cbff"}), [[1, 0, 1]])


def test_classes_painted_over_a_photograph(tmp_path):
    noise = np.random.default_rng(0).integers(0, 200, (80, 80, 3), dtype=np.uint8)
    region = np.asarray(disc()) > 0
    noise[region] = (255, 0, 255)
    path = write_mask(tmp_path / "a.png", noise)
    np.testing.assert_array_equal(values_of(path, {"a": "#ff00ff"}), region)


def test_pages_and_volumes(tmp_path):
    stack = np.random.default_rng(0).integers(0, 3, (5, 7, 9), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(values_of(tmp_path / "a.tif", ["a", "b"]), stack)
    np.testing.assert_array_equal(values_of(f"{tmp_path}/a.tif#page=3", ["a", "b"]), stack[3])


def transparent_class(colours=((255, 0, 0, 255), (255, 0, 0, 0))):
    return Image.fromarray(np.array([colours], dtype=np.uint8))


def transparent_palette():
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8))
    image.putpalette([0, 0, 0, 9, 9, 9] + [0] * 762)
    image.info["transparency"] = 1
    return image


def noisy_grey():
    """A black-and-white picture whose channels JPEG made slightly different."""
    pixels = np.asarray(disc((255, 255, 255), (0, 0, 0))).astype(int)
    noise = np.random.default_rng(0).integers(-9, 10, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def grey(*values, dtype=np.uint8):
    return np.array([values], dtype=dtype)


PURPLE, SKY = parse_colour("#3c1098"), parse_colour("#6ec1e4")
JPEG = "smoothing or JPEG"

BAD = {
    "0/255": (grey(0, 255), ["house"], "rest", ["0/255 mask where class indices", '{house: "#ffffff"}']),
    "255 alone": (grey(255, 255), ["building"], "rest", ["0/255 mask", '{building: "#ffffff"}']),
    "0/255, black or white": (
        grey(0, 0, 0, 255),
        ["a"],
        "rest",
        ["25.0 % of the pixels are white, 75.0 % black", 'or "#000000" if the class is black'],
    ),
    "0/255 with classes": (grey(0, 255), ["a", "b"], "rest", ["0/255 mask", "no class is on it"]),
    "0/255 in 16 bits": (grey(0, 255, dtype=np.uint16), ["a"], "rest", ["0/255 mask", "with 8 bits"]),
    "0/65535": (grey(0, 65535, dtype=np.uint16), ["a"], "rest", ["0/65535 mask", "with 8 bits"]),
    "0/255 in RGB": (disc((255, 255, 255), (0, 0, 0)), ["a"], "rest", ["0/255 mask"]),
    "missing classes": (grey(0, 1, 7, 7, 3), ["a", "b"], "rest", ["7 (2 px), 3 (1 px)", "0 to 2 and 255"]),
    "object numbers": (grey(0, 300, dtype=np.uint16), ["a"], "rest", ["300 (1 px)", '"format: instances"']),
    "grey levels": (grey(0, 128, 255, 1), ["a"], "rest", ["128 (1 px)", "map the names to colours"]),
    "RITM": (
        grey(0, 127, 254),
        ["a"],
        "rest",
        ["evenly spread up to 254: ", '"format: ritm"', '{building: "#fefefe"}'],
    ),
    "JPEG": (as_jpeg(disc()), ["a"], "rest", [JPEG, "export it anew", '{a: "#ffffff"}']),
    "smoothed": (smoothed(disc(size=320)), ["a", "b"], "rest", [JPEG, "beside black and white"]),
    "JPEG in colour": (noisy_grey(), ["a"], "rest", [JPEG, "close to grey"]),
    "colours": (grey(PURPLE, (0, 0, 0), PURPLE), ["a"], "rest", ["#3c1098 (2 px), #000000 (1 px)", "as a mapping"]),
    "transparent index": (transparent_palette(), ["a"], "rest", ["1 wholly transparent pixels"]),
    "transparent colour": (transparent_class(), {"a": "#ff0000"}, "rest", ["1 wholly transparent", "without transpa"]),
    "indices for colours": (grey(0, 1, 2), COLOURS, "rest", ["class indices (1, 2)", "[building, road]"]),
    "indices, ignore": (grey(1, 255), {"a": "#ff0000"}, "rest", ["class indices (1)"]),
    "JPEG colours": (as_jpeg(disc(PURPLE, SKY)), COLOURS, "rest", [JPEG, "close to that of building, #3c1098"]),
    "JPEG of a box": (as_jpeg(box()), {"a": "#ffffff"}, "rest", [JPEG, "colours close to that of a, #ffffff"]),
    "mild JPEG": (grey(255, 254, 253, 0), {"a": "#ffffff"}, "rest", [JPEG, "2 colours close to that of a, #ffffff"]),
    "smoothed colours": (smoothed(disc(PURPLE, "white", 320)), COLOURS, "rest", [JPEG, "close to that of building"]),
    "blended edges": (
        smoothed(disc(PURPLE, "white", 320), Image.Resampling.BOX),
        COLOURS,
        "rest",
        [JPEG, "along the edges"],
    ),
    "smoothed, listed": (smoothed(disc(PURPLE, "white", 320)), COLOURS, ["#ffffff"], [JPEG]),
    "other colours": (
        grey(SKY, (1, 1, 1), (1, 1, 1), (255, 255, 255)),
        COLOURS,
        ["#000000"],
        ["neither a class nor background: #010101 (2 px), #ffffff (1 px)", '"background: rest"'],
    ),
    "16 bits for colours": (grey(0, 1, dtype=np.uint16), COLOURS, "rest", ["uint16 where 8-bit colours"]),
}

BAD_TIFF = {
    "0 is white": (np.array([[True, False]]), ["a"], ["0 is white: viewers show the inverse", "save it as PNG"]),
    "NaN": (grey(0, np.nan, dtype=np.float32), ["a"], ["nan (1 px)"]),
    "fractions": (grey(0, 0.5, 1, dtype=np.float32), ["a"], ["0.5 (1 px)"]),
    "below zero": (grey(-1, 0, 1, dtype=np.int16), ["a"], ["-1 (1 px)"]),
    "five channels": (np.arange(40, dtype=np.uint8).reshape(2, 4, 5), ["a"], ["5 channels of uint8", "one channel"]),
    "colours of 16 bits": (np.arange(24, dtype=np.uint16).reshape(2, 4, 3), ["a"], ["3 channels of uint16"]),
    "five bands for colours": (np.zeros((2, 4, 5), np.uint8), COLOURS, ["5 channels of uint8 where 8-bit colours"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_the_options_do_not_explain(tmp_path, case):
    picture, classes, background, words = BAD[case]
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(tmp_path / "a.png", **{key: value for key, value in image.info.items() if key == "transparency"})
    found = finding(tmp_path / "a.png", classes, background)
    assert found.kind == "unexpected_value"
    assert [word for word in words if word not in f"{found.detail}; {found.remedy}"] == []


@pytest.mark.parametrize("case", BAD_TIFF)
def test_what_the_options_do_not_explain_in_tiff(tmp_path, case):
    pixels, classes, words = BAD_TIFF[case]
    layout = {"photometric": "minisblack", "planarconfig": "contig"} if pixels.ndim == 3 else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **layout)
    found = finding(tmp_path / "a.tif", classes)
    assert found.kind == "unexpected_value"
    assert [word for word in words if word not in f"{found.detail}; {found.remedy}"] == []


def test_listed_colours_are_not_among_the_unexpected(tmp_path):
    found = finding(colour_mask(tmp_path / "a.png", "#6ec1e4", "#010101"), COLOURS, ["#000000"])
    assert "#6ec1e4" not in found.detail


def test_unreadable_masks(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    found = finding(tmp_path / "a.png", ["a"])
    assert (found.kind, found.detail) == ("broken_annotation", "it is no picture in a known format")
    disc().save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    assert finding(tmp_path / "cut.png", ["a"]).kind == "broken_annotation"
    assert "no such file" in finding(tmp_path / "none.png", ["a"]).detail


def test_background_that_is_no_colour_is_an_error_of_the_option(tmp_path):
    path = colour_mask(tmp_path / "a.png", "#6ec1e4")
    with pytest.raises(MaskmillError, match="not a colour"):
        masks.read(path, COLOURS, ["grass"])


@given(arrays(np.uint8, (4, 5, 3), elements=st.sampled_from([0, 30, 60, 255])))
def test_colours_against_a_loop(tmp_path_factory, pixels):
    path = write_mask(tmp_path_factory.mktemp("m") / "a.png", pixels)
    classes = {"a": "#000000", "b": "#3c1eff", "c": "#ffffff"}
    meaning = {parse_colour(colour): value for value, colour in enumerate(classes.values(), 1)}
    expected = [[meaning.get(tuple(pixel), 0) for pixel in row] for row in pixels.tolist()]
    np.testing.assert_array_equal(values_of(path, classes), expected)


@given(arrays(st.sampled_from([np.uint8, np.uint16, np.int16]), (3, 7), elements=st.integers(0, 120)))
def test_counted_is_unique(values):
    for found, expected in zip(masks.counted(values), np.unique(values, return_counts=True), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.real
def test_massachusetts_masks_of_zeros_and_ones(real_data):
    patches = sorted((real_data / "massachusetts_patches" / "PatchesGroundTruth").glob("*.tif"))
    assert len(patches) == 4
    for path in patches:
        with Image.open(path) as image:
            expected = np.asarray(image)
        np.testing.assert_array_equal(values_of(path, ["building"]), expected)
        assert 0.15 < expected.mean() < 0.65


@pytest.mark.real
def test_massachusetts_tiles_as_indices_and_as_colours(real_data):
    tiles = sorted((real_data / "massachusetts_patches" / "GroundTruth_tiles_without_images").glob("*.tif"))
    for path in tiles[:2]:
        red = values_of(path.with_suffix(".png"), {"building": "#ff0000"})
        np.testing.assert_array_equal(values_of(path, ["building"]), red)
        assert red.any()
        assert "#ff0000" in finding(path.with_suffix(".png"), ["building"]).detail
        assert "class indices (1)" in finding(path, {"building": "#ff0000"}).detail


HOUSES = {"house": "#ffffff"}
GAPS = np.array([[0, 255, 0], [0, 0, 255]], np.uint8)


def georeferenced(path, values, nodata=None):
    """A GeoTIFF of these values, written by GDAL."""
    height, width = values.shape
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(2, 0, 9, 0, -2, 9), "nodata": nodata}
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": height, "width": width}
    with rasterio.open(path, "w", **options, **place) as target:
        target.write(values, 1)
    return path


@pytest.mark.parametrize("classes", [["house"], HOUSES])
def test_a_label_image_without_a_class_is_no_mask_in_black_and_white(tmp_path, classes):
    write_label_png(tmp_path / "a.png", GAPS, Classes.from_config(HOUSES))
    assert np.array_equal(values_of(tmp_path / "a.png", classes), GAPS)

    picture = georeferenced(tmp_path / "picture.tif", np.where(GAPS, np.uint8(9), np.uint8(1)), nodata=9)
    write_label_tiff(tmp_path / "a.tif", np.zeros_like(GAPS), Classes.from_config(HOUSES), picture)
    assert np.array_equal(values_of(tmp_path / "a.tif", classes, ["#000000"]), GAPS)


def test_what_a_file_says_is_nodata_is_no_white(tmp_path):
    path = georeferenced(tmp_path / "a.tif", GAPS, nodata=255)

    assert np.array_equal(values_of(path, ["house"]), GAPS)
    assert np.array_equal(values_of(path, HOUSES), GAPS // 255)
    for nodata in (None, 0):
        assert "0/255 mask" in finding(georeferenced(path, GAPS, nodata), ["house"]).detail


@pytest.mark.parametrize("others", [[1, 1, 1, 254, 254, 254], [0, 0, 0, 0, 0, 0]], ids=["ramp", "black and white"])
def test_colour_tables_of_masks_in_black_and_white_are_none_of_label_images(tmp_path, others):
    image = Image.fromarray(GAPS)
    image.putpalette([0, 0, 0, *others[:3], *[0] * 756, *others[3:], 255, 255, 255])
    image.save(tmp_path / "a.png")

    assert "0/255 mask" in finding(tmp_path / "a.png", ["house"]).detail
    assert np.array_equal(values_of(tmp_path / "a.png", HOUSES), GAPS // 255)


@pytest.mark.real
def test_isbi_black_is_the_class(real_data):
    path = real_data / "isbi2012_membrane" / "train" / "label" / "0.png"
    with Image.open(path) as image:
        expected = np.asarray(image) == 0
    np.testing.assert_array_equal(values_of(path, {"membrane": "#000000"}, ["#ffffff"]), expected)
    assert "0/255 mask" in finding(path, ["membrane"]).detail


@pytest.mark.real
def test_dubai_colours_of_palettes_and_rgb(real_data):
    classes = {"Building": "#3C1098", "Land": "#8429F6", "Road": "#6EC1E4", "Vegetation": "#FEDD3A", "Water": "#E2A929"}
    modes = set()
    for path in sorted((real_data / "dubai_aerial").glob("*/Tile [1-5]/masks/image_part_001.png")):
        with Image.open(path) as image:
            modes.add(image.mode)
            pixels = np.asarray(image.convert("RGB"))
        labels = values_of(path, classes, ["#9B9B9B"])
        for value, colour in enumerate(classes.values(), 1):
            np.testing.assert_array_equal(labels == value, (pixels == parse_colour(colour)).all(axis=2))
    assert modes == {"P", "RGB"}
