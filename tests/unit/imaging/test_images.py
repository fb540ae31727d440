"""Pictures of every kind are read the right way up, as stored, and agree with their header."""

import base64
import json
import random
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageOps

from maskmill.classes import Classes
from maskmill.imaging.images import (
    ImageError,
    image_header,
    read_image,
    read_label_png,
    read_values,
    read_window,
    split_page,
    write_jpeg,
    write_label_png,
)
from tests.unit.full_disk import limited_files
from tests.unit.imaging.virtual_picture import virtual_picture
from tests.unit.volume_data import write_geotiff

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65535, (20, 30, 3), dtype=np.uint16)


def assert_reads(path, expected):
    pixels = read_image(path)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected.reshape(*expected.shape[:2], -1))
    assert image_header(path) == (pixels.shape[1], pixels.shape[0], pixels.shape[2], pixels.dtype.name)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_eight_bits(tmp_path, suffix, pixels):
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    assert_reads(tmp_path / f"a.{suffix}", pixels)


def test_alpha_is_dropped_without_blending(tmp_path):
    Image.fromarray(np.dstack([RGB, GREY])).save(tmp_path / "rgba.png")
    assert_reads(tmp_path / "rgba.png", RGB)
    Image.fromarray(np.dstack([GREY, GREY]), mode=None).save(tmp_path / "la.png")
    assert_reads(tmp_path / "la.png", GREY)
    tifffile.imwrite(tmp_path / "rgba.tif", np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unassalpha"])
    assert_reads(tmp_path / "rgba.tif", RGB)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette_becomes_rgb_but_keeps_its_values_where_asked(tmp_path, suffix):
    image = Image.fromarray(GREY % 3)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90] + [0] * 759)
    image.save(tmp_path / f"p.{suffix}")
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], dtype=np.uint8)
    assert_reads(tmp_path / f"p.{suffix}", colours[GREY % 3])
    np.testing.assert_array_equal(read_values(tmp_path / f"p.{suffix}")[:, :, 0], GREY % 3)


@pytest.mark.filterwarnings("default")
def test_palette_with_transparency_becomes_rgb(tmp_path):
    image = Image.fromarray(GREY % 2)
    image.putpalette([10, 20, 30, 40, 50, 60] + [0] * 762)
    image.save(tmp_path / "p.png", transparency=bytes([0, 128]))
    colours = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)
    assert_reads(tmp_path / "p.png", colours[GREY % 2])


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_bilevel_becomes_0_and_255_but_keeps_its_values_where_asked(tmp_path, suffix):
    Image.fromarray(GREY > 99).save(tmp_path / f"b.{suffix}")
    assert_reads(tmp_path / f"b.{suffix}", ((GREY > 99) * 255).astype(np.uint8))
    if suffix != "bmp":  # stored with a palette there
        np.testing.assert_array_equal(read_values(tmp_path / f"b.{suffix}")[:, :, 0], GREY > 99)


def test_cmyk_becomes_rgb(tmp_path):
    for name in ("c.jpg", "c.tif"):
        Image.fromarray(RGB).convert("CMYK").save(tmp_path / name)
        with Image.open(tmp_path / name) as image:
            expected = np.asarray(image.convert("RGB"))
        assert_reads(tmp_path / name, expected)


@pytest.mark.parametrize(
    ("name", "channels"), [("deep.png", 1), ("deep.png", 3), ("deep.png", 4), ("lzw.tif", 1), ("lzw.tif", 3)]
)
def test_sixteen_bits_are_kept(tmp_path, name, channels):
    stored = np.dstack([DEEP[:, :, ::-1], DEEP[:, :, :1]])[:, :, :channels]
    cv2.imwrite(str(tmp_path / name), stored)
    assert_reads(tmp_path / name, stored[:, :, 2::-1] if channels > 1 else stored)


@pytest.mark.parametrize(
    ("stored", "options", "expected"),
    [
        (DEEP, {}, DEEP),
        (DEEP.transpose(2, 0, 1), {"photometric": "minisblack"}, DEEP),
        (DEEP.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}, DEEP),
        (DEEP.transpose(2, 0, 1), {"imagej": True, "metadata": {"axes": "CYX"}}, DEEP),
        (np.concatenate([DEEP, DEEP[:, :, :1]], axis=2).transpose(2, 0, 1), {"photometric": "minisblack"}, None),
        (np.stack([GREY] * 7), {"photometric": "minisblack"}, GREY),
        (np.stack([RGB] * 2), {"photometric": "rgb"}, RGB),
        (DEEP.astype(np.float32), {"photometric": "rgb"}, DEEP.astype(np.float32)),
        (DEEP[:, :, 0], {"compression": "zlib", "predictor": True}, DEEP[:, :, 0]),
        (RGB, {"byteorder": ">"}, RGB),
        (DEEP, {"byteorder": ">"}, DEEP),
        (RNG.random((20, 30, 6), dtype=np.float32), {"photometric": "minisblack", "planarconfig": "contig"}, None),
    ],
    ids=[
        "rgb16",
        "chw",
        "planar",
        "imagej",
        "four-bands",
        "stack",
        "pages",
        "float",
        "zlib",
        "be8",
        "be16",
        "six-bands",
    ],
)
def test_tiff_layouts(tmp_path, stored, options, expected):
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    if expected is None:
        expected = stored.transpose(1, 2, 0) if stored.shape[0] == 4 else stored
    assert_reads(tmp_path / "a.tif", expected)


def test_tiff_with_white_as_zero_is_inverted(tmp_path):
    tifffile.imwrite(tmp_path / "w.tif", GREY, photometric="miniswhite")
    assert_reads(tmp_path / "w.tif", 255 - GREY)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "group4"])
def test_tiff_compressed_so_that_tifffile_alone_cannot_read_it(tmp_path, compression):
    image = Image.fromarray(GREY > 99) if compression == "group4" else Image.fromarray(RGB)
    image.save(tmp_path / "c.tif", compression=compression)
    with Image.open(tmp_path / "c.tif") as stored:
        expected = np.asarray(stored.convert("L") if compression == "group4" else stored)
    assert_reads(tmp_path / "c.tif", expected)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(tmp_path / f"o.{suffix}", exif=exif)
    with Image.open(tmp_path / f"o.{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert_reads(tmp_path / f"o.{suffix}", expected)


def test_exif_orientation_behind_the_pixels_of_a_png_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"eXIf") - 4
    length = int.from_bytes(content[start : start + 4], "big") + 12
    chunk, end = content[start : start + length], content.index(b"IEND") - 4
    (tmp_path / "b.png").write_bytes(content[:start] + content[start + length : end] + chunk + content[end:])
    assert_reads(tmp_path / "b.png", np.rot90(RGB, -1))


def test_embedded_picture_of_a_labelme_file(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    data = base64.b64encode((tmp_path / "a.png").read_bytes()).decode()
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [], "imageData": data}))
    assert_reads(tmp_path / "a.json", RGB)
    (tmp_path / "b.json").write_text(json.dumps({"shapes": [], "imageData": None}))
    with pytest.raises(ImageError, match=r"b.json: no picture is embedded"):
        read_image(tmp_path / "b.json")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.95])
def test_truncated_picture_is_refused_with_its_name(tmp_path, suffix, kept):
    Image.fromarray(RGB.repeat(5, axis=0)).save(tmp_path / f"whole.{suffix}")
    content = (tmp_path / f"whole.{suffix}").read_bytes()
    (tmp_path / f"cut.{suffix}").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError, match=rf"cut.{suffix}: it is .*; replace the file"):
        read_image(tmp_path / f"cut.{suffix}")


def test_truncated_deep_and_compressed_pictures_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), DEEP)
    tifffile.imwrite(tmp_path / "zlib.tif", DEEP, compression="zlib")
    for name in ("deep.png", "zlib.tif"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)


def test_missing_file_and_no_picture(tmp_path):
    with pytest.raises(ImageError, match="there is no such file"):
        image_header(tmp_path / "none.png")
    with pytest.raises(ImageError, match="cannot be opened: Is a directory"):
        image_header(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ImageError, match="no picture in a known format"):
        image_header(tmp_path / "text.png")


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_label_image_comes_back_as_written(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("labels") / "a" / "b.png"
    write_label_png(path, labels, Classes.from_config(["building", "road"]))
    np.testing.assert_array_equal(read_label_png(path), labels)


def test_label_image_has_the_colours_of_the_classes_and_the_same_bytes_every_time(tmp_path):
    classes = Classes.from_config({"building": "#3c1098"})
    labels = np.array([[0, 1, 255]], dtype=np.uint8)
    for name in ("a.png", "b.png"):
        write_label_png(tmp_path / name, labels, classes)
    assert zlib.crc32((tmp_path / "a.png").read_bytes()) == zlib.crc32((tmp_path / "b.png").read_bytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[0, 0, 0], [0x3C, 0x10, 0x98], [255, 255, 255]]])


def test_colours_are_no_label_image(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="one class index a pixel"):
        read_label_png(tmp_path / "a.png")
    with pytest.raises(ValueError, match="uint8"):
        write_label_png(tmp_path / "b.png", GREY.astype(np.int64), Classes.from_config(["building"]))


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a/b.nii.gz#page=12", ("a/b.nii.gz", 12)),
        ("series#page=0", ("series", 0)),
        ("a#page=1.tif", ("a#page=1.tif", None)),
        ("a.png", ("a.png", None)),
        ("a#page=x", ("a#page=x", None)),
    ],
)
def test_the_slice_that_a_path_names(path, parts):
    assert split_page(path) == parts


def png(width, height, bits=8, colour=0, size=100):
    """A PNG file whose header promises more than its data hold."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0),
        b"IDAT": zlib.compress(bytes(size)),
        b"IEND": b"",
    }
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def animated(path, form):
    first, *others = [Image.fromarray(np.full((5, 6, 3), value, np.uint8)) for value in (0, 90, 200)]
    first.save(path, format=form, save_all=True, append_images=others)


def tiff_of_size(path, height, width):
    """A TIFF file whose header promises another size than its data have."""
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib")
    content = path.read_bytes()
    for tag, true, stated in ((256, 30, width), (257, 20, height)):
        content = content.replace(struct.pack("<HHII", tag, 4, 1, true), struct.pack("<HHII", tag, 4, 1, stated))
    path.write_bytes(content)


BAD_PICTURES = {
    "bomb": (
        lambda path: path.write_bytes(png(65_000, 65_000)),
        r"65,000 × 65,000 pixels, .* convert it to a tiled TIFF",
    ),
    "bomb of 16 bits": (lambda path: path.write_bytes(png(65_000, 65_000, 16, 2)), "convert it to a tiled TIFF"),
    "giant TIFF": (lambda path: tiff_of_size(path, 2**30, 2**30), "it does not fit into memory"),
    "wide, 16 bits": (
        lambda path: path.write_bytes(png(2**20 + 1, 1, 16, 2, size=6 * 2**20 + 7)),
        "wider than the 1,048,576 pixels that OpenCV reads",
    ),
    "no pixels": (lambda path: path.write_bytes(png(0, 5)), "no picture in a known format"),
    "empty TIFF": (lambda path: tiff_of_size(path, 0, 5), "it has no pixels"),
    "animated PNG": (lambda path: animated(path, "PNG"), r"it is animated \(3 pictures\); save the one"),
    "animated WebP": (lambda path: animated(path, "WEBP"), "it is animated"),
    "animated GIF": (lambda path: animated(path, "GIF"), "it is animated"),
    "no data": (lambda path: path.write_bytes(png(50, 50)), "it is damaged"),
    "no bytes": (lambda path: path.write_bytes(b""), "no picture in a known format"),
    "text": (lambda path: path.write_text("no picture"), "no picture in a known format"),
    "virtual": (lambda path: path.write_bytes(virtual_picture("other.png")), "no picture in a known format"),
    "TIFF head": (lambda path: path.write_bytes(b"II*\0"), "it is damaged"),
    "channels of a TIFF": (
        lambda path: tifffile.imwrite(
            path, np.zeros((2, 2, 4097), np.uint8), photometric="minisblack", planarconfig="contig"
        ),
        "4,097 channels, more than the 4,096",
    ),
    "endless TIFF": (lambda path: path.write_bytes(b"II*\0\x08\0\0\0\0\0\x08\0\0\0"), "it has no pixels"),
    "TIFF without directory": (lambda path: path.write_bytes(b"II*\0\xff\0\0\0"), "list of pages breaks off"),
    "TIFF of a wrong kind": (lambda path: path.write_bytes(b"MM\0+" + bytes(20)), "it is"),
    "JPEG without data": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "it is"),
}


@pytest.mark.parametrize(("write", "message"), BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_what_is_no_picture_says_why(tmp_path, write, message):
    write(tmp_path / "a.png")
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["bomb", "bomb of 16 bits", "animated PNG", "animated WebP", "empty TIFF"])
def test_the_header_tells_already(tmp_path, name):
    write, message = BAD_PICTURES[name]
    write(tmp_path / "a.png")
    with pytest.raises(ImageError, match=message):
        image_header(tmp_path / "a.png")


def test_a_photograph_with_a_preview_behind_it_is_no_animation(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::2, ::2])
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second])
    assert image_header(tmp_path / "a.jpg") == (30, 20, 3, "uint8")
    assert read_image(tmp_path / "a.jpg").shape == (20, 30, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "deep.png", "a.tif", "tiles.tif", "lzw.tif"])
def test_damaged_bytes_never_end_in_another_error(tmp_path, name):
    if name == "deep.png":
        cv2.imwrite(str(tmp_path / name), DEEP)
    elif name == "tiles.tif":
        tifffile.imwrite(tmp_path / name, DEEP, tile=(16, 16), compression="zlib", photometric="rgb")
    elif name == "lzw.tif":
        write_geotiff(tmp_path / name, DEEP, compress="lzw")
    else:
        Image.fromarray(RGB).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(30):
        damaged = bytearray(content)
        for place in chance.choices(range(min(len(content), 400)), k=2):
            damaged[place] = chance.choice([0, 255, chance.randrange(256)])
        (tmp_path / name).write_bytes(damaged)
        for read in (read_image, image_header, lambda path: read_window(path, 0, 0, 1, 1)):
            try:
                read(tmp_path / name)
            except ImageError:
                refused += 1
    assert refused


def test_jpeg_is_that_of_pillow_and_a_full_disk_is_an_error(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "theirs.jpg", quality=85)

    write_jpeg(tmp_path / "ours.jpg", picture, quality=85)

    assert (tmp_path / "ours.jpg").read_bytes() == (tmp_path / "theirs.jpg").read_bytes()
    for missing in (1, 1000):
        with limited_files((tmp_path / "theirs.jpg").stat().st_size - missing), pytest.raises(OSError, match="large"):
            write_jpeg(tmp_path / "short.jpg", picture, quality=85)
