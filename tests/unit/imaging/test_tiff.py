"""TIFF files of every compression and layout are read alike whole and in windows."""

import base64
import json
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.imaging.images import (
    ImageError,
    image_header,
    open_windows,
    read_bands,
    read_image,
    read_values,
    read_window,
)
from maskmill.imaging.tiff import tiff_windows
from tests.unit.volume_data import write_geotiff

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 255, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65535, (20, 30, 3), dtype=np.uint16)


def assert_reads(path, expected):
    pixels = read_image(path)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)
    assert image_header(path) == (pixels.shape[1], pixels.shape[0], pixels.shape[2], pixels.dtype.name)


GEOTIFFS = {
    "lzw": (DEEP, {"compress": "lzw", "predictor": 2}),
    "lzw, bands apart": (DEEP, {"compress": "lzw", "interleave": "band"}),
    "deflate, floats": (DEEP.astype(np.float32), {"compress": "deflate", "predictor": 3}),
    "zstd": (DEEP.astype(np.int16), {"compress": "zstd"}),
    "zstd, grey": (RGB[:, :, :1], {"compress": "zstd"}),
    "lerc": (DEEP.astype(np.float64), {"compress": "lerc"}),
    "webp": (RGB, {"compress": "webp", "webp_lossless": True}),
    "eleven bits": (DEEP % 2048, {"nbits": 11}),
    "six bands": (np.concatenate([DEEP, DEEP + 1], axis=2), {"compress": "lzw"}),
}


@pytest.mark.parametrize(("stored", "options"), GEOTIFFS.values(), ids=GEOTIFFS)
def test_compressed_geotiffs(tmp_path, stored, options):
    write_geotiff(tmp_path / "a.tif", stored, **options)
    assert_reads(tmp_path / "a.tif", stored)


@pytest.mark.parametrize("bits", [4, 8, 12])
def test_white_is_zero_at_any_depth(tmp_path, bits):
    stored = (DEEP[:, :, :1] % 2**bits).astype(np.uint8 if bits <= 8 else np.uint16)
    write_geotiff(tmp_path / "a.tif", stored, nbits=bits, photometric="miniswhite")
    assert_reads(tmp_path / "a.tif", 2**bits - 1 - stored)
    np.testing.assert_array_equal(read_window(tmp_path / "a.tif", 3, 4, 5, 6), 2**bits - 1 - stored[3:8, 4:10])


def test_colour_differences_without_compression(tmp_path):
    Image.fromarray(RGB).convert("YCbCr").save(tmp_path / "a.tif")
    pixels = read_image(tmp_path / "a.tif")
    assert np.abs(pixels.astype(int) - RGB).max() <= 4
    np.testing.assert_array_equal(read_window(tmp_path / "a.tif", 3, 4, 5, 6), pixels[3:8, 4:10])


def test_jpeg_in_colour_differences(tmp_path):
    smooth = cv2.GaussianBlur(RGB.repeat(4, axis=0).repeat(4, axis=1), (0, 0), 8)
    write_geotiff(tmp_path / "a.tif", smooth, compress="jpeg", photometric="ycbcr", jpeg_quality=95)
    pixels = read_image(tmp_path / "a.tif")
    assert np.abs(pixels.astype(int) - smooth).max() <= 8
    np.testing.assert_array_equal(read_window(tmp_path / "a.tif", 10, 20, 30, 40), pixels[10:40, 20:60])


def test_an_embedded_tiff_that_only_gdal_decodes(tmp_path):
    write_geotiff(tmp_path / "a.tif", DEEP, compress="lzw")
    data = base64.b64encode((tmp_path / "a.tif").read_bytes()).decode()
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [], "imageData": data}))
    assert_reads(tmp_path / "a.json", DEEP)


def test_bilevel_tiff_keeps_its_values_where_asked(tmp_path):
    Image.fromarray(GREY > 99).save(tmp_path / "b.tif", compression="group4")
    np.testing.assert_array_equal(read_values(tmp_path / "b.tif")[:, :, 0], GREY > 99)


WINDOWED = {
    **{
        np.dtype(dtype).name: (DEEP.astype(dtype), {"photometric": "rgb"})
        for dtype in ("i1", "i2", "i4", "u1", "u2", "u4", "f2", "f4", "f8")
    },
    "tiles": (DEEP, {"tile": (16, 16), "compression": "zlib", "photometric": "rgb"}),
    "tiles, bigtiff, big endian": (DEEP, {"tile": (16, 32), "bigtiff": True, "byteorder": ">", "photometric": "rgb"}),
    "strips": (DEEP, {"rowsperstrip": 7, "compression": "zlib", "predictor": 2, "photometric": "rgb"}),
    "planar": (DEEP.transpose(2, 0, 1), {"planarconfig": "separate", "photometric": "rgb", "tile": (16, 16)}),
    "pages as bands": (DEEP.transpose(2, 0, 1), {"photometric": "minisblack"}),
    "ome channels": (DEEP.transpose(2, 0, 1), {"ome": True, "metadata": {"axes": "CYX"}, "compression": "zlib"}),
    "pages": (np.stack([GREY] * 7), {"photometric": "minisblack"}),
    "white is zero": (GREY, {"photometric": "miniswhite"}),
    "bilevel": (GREY > 99, {}),
    "palette": (GREY, {"photometric": "palette", "colormap": RNG.integers(0, 65535, (3, 256), dtype=np.uint16)}),
    "alpha": (np.dstack([RGB, GREY]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
}


@pytest.mark.parametrize(("stored", "options"), WINDOWED.values(), ids=WINDOWED)
def test_windows_are_parts_of_the_picture(tmp_path, stored, options):
    path = tmp_path / "ä b#c!.tif"
    tifffile.imwrite(path, stored, **options)
    whole = read_image(path)
    with tiff_windows(path) as read:
        assert read is not None
    with open_windows(path) as read:
        for top, left, height, width in ((0, 0, 20, 30), (3, 5, 9, 11), (19, 29, 1, 1), (15, 15, 4, 15)):
            part = read(top, left, height, width)
            assert part.dtype == whole.dtype
            np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


@given(st.data())
def test_any_window(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "windows.tif"
    if not path.exists():
        write_geotiff(path, DEEP, compress="lzw")
    top, left = data.draw(st.integers(0, 19)), data.draw(st.integers(0, 29))
    height, width = data.draw(st.integers(1, 20 - top)), data.draw(st.integers(1, 30 - left))
    np.testing.assert_array_equal(
        read_window(path, top, left, height, width), DEEP[top : top + height, left : left + width]
    )


def test_windows_of_pictures_that_are_decoded_whole(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "turned.tif", exif=exif)
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(RGB).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "one.tif", DEEP[..., :2].transpose(2, 0, 1), photometric="minisblack", truncate=True)
    for name in ("turned.tif", "cmyk.tif", "a.png", "one.tif"):
        path = tmp_path / name
        np.testing.assert_array_equal(read_window(path, 3, 4, 5, 6), read_image(path)[3:8, 4:10])


def test_a_window_of_a_slice(tmp_path):
    stack = RNG.integers(0, 255, (7, 20, 30), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    np.testing.assert_array_equal(read_window(f"{tmp_path}/a.tif#page=5", 3, 4, 5, 6)[..., 0], stack[5, 3:8, 4:10])


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 21, 5), (0, 26, 5, 5), (0, 0, 0, 5)])
def test_windows_beyond_the_picture_are_refused(tmp_path, window):
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    with pytest.raises(ValueError, match="does not lie in the picture"):
        read_window(tmp_path / "a.tif", *window)


def test_a_window_of_a_truncated_file_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEEP, tile=(16, 16), compression="zlib", photometric="rgb")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) * 3 // 4])
    assert read_window(tmp_path / "a.tif", 0, 0, 8, 8).shape == (8, 8, 3)
    with pytest.raises(ImageError, match=r"a\.tif: it is"):
        read_window(tmp_path / "a.tif", 17, 17, 3, 3)


MEASURE = """
import resource, sys
from maskmill.imaging.images import image_header, read_window
image_header(sys.argv[1]), read_window(sys.argv[2], 0, 0, 8, 8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = read_window(sys.argv[1], 9000, 11000, 512, 512)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, int(pixels.sum()))
"""


def test_a_window_of_a_large_picture_takes_little_memory(tmp_path):
    tile = zlib.compress(np.full((512, 512, 3), 7, np.uint8).tobytes())
    side, tiles = 20_000, 40 * 40
    options = {"tile": (512, 512), "photometric": "rgb", "bigtiff": True, "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", (tile for _ in range(tiles)), shape=(side, side, 3), dtype=np.uint8, **options)
    tifffile.imwrite(tmp_path / "small.tif", RGB, photometric="rgb", compression="zlib")
    command = [sys.executable, "-c", MEASURE, tmp_path / "a.tif", tmp_path / "small.tif"]
    kilobytes, total = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert total == 512 * 512 * 3 * 7
    assert kilobytes < 100_000


def test_bands_are_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("maskmill.imaging.images._BAND_BYTES", 1)
    monkeypatch.setattr("maskmill.imaging.images._BAND_STEP", 8)
    write_geotiff(tmp_path / "a.tif", DEEP, compress="lzw")
    bands = list(read_bands(tmp_path / "a.tif"))
    assert [len(band) for band in bands] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate(bands), DEEP)
    monkeypatch.setattr("maskmill.imaging.images._BAND_BYTES", 10**6)
    assert len(list(read_bands(tmp_path / "a.tif"))) == 1


@pytest.mark.parametrize("photometric", [3, 5, 6, 8], ids=["palette", "CMYK", "YCbCr", "CIELAB"])
def test_colours_of_many_samples_are_refused_by_the_header(tmp_path, photometric):
    """What becomes three channels may not be hundreds in the file, which a limit on pixels would not see."""
    pixels = np.zeros((4, 5, 300), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(photometric)

    with pytest.raises(ImageError, match="300 samples a pixel"):
        image_header(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_numbers_are_refused(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 5), dtype))

    for read in (read_image, image_header):
        with pytest.raises(ImageError, match=r"complex numbers .* save their magnitude"):
            read(tmp_path / "a.tif")
