"""Masks as TIFF files: where their picture lies, in its blocks, and 255 where it has no data."""

import warnings

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning

from maskmill.classes import Classes
from maskmill.imaging import geotiff
from maskmill.imaging.geotiff import write_label_tiff
from maskmill.imaging.images import ImageError, read_image
from tests.unit.full_disk import limited_files
from tests.unit.imaging.virtual_picture import virtual_picture

CLASSES = Classes.from_config({"roof": "#e69f00", "road": "#56b4e9"})
HEIGHT, WIDTH = 150, 230
MASK = np.random.default_rng(0).integers(0, 3, (HEIGHT, WIDTH)).astype(np.uint8)
TRANSFORM = rasterio.Affine(0.31, 0.02, 123456.7, -0.01, -0.29, 5_000_000)
BASE = {"driver": "GTiff", "dtype": "uint8", "count": 3, "height": HEIGHT, "width": WIDTH}


def write_picture(path, alpha=None, **options):
    """A GeoTIFF whose upper left corner is 0 in all bands; alpha: a fourth band."""
    pixels = np.random.default_rng(1).integers(1, 255, (3, HEIGHT, WIDTH)).astype(np.uint8)
    pixels[:, :40, :50] = 0
    bands = pixels if alpha is None else np.concatenate([pixels, alpha[None]])
    with rasterio.open(path, "w", **{**BASE, "count": len(bands), **options}) as target:
        target.write(bands)
        if alpha is not None:
            target.colorinterp = [*target.colorinterp[:3], rasterio.enums.ColorInterp.alpha]
    return path


def placed(**options):
    return {"crs": "EPSG:32632", "transform": TRANSFORM, **options}


@pytest.mark.parametrize(
    "blocks",
    [
        {"tiled": True, "blockxsize": 128, "blockysize": 64},
        {"tiled": True, "blockxsize": 512, "blockysize": 512},
        {"tiled": False, "blockysize": 7},
        {"tiled": False, "blockysize": 1},
    ],
)
def test_the_place_and_the_blocks_are_those_of_the_picture(tmp_path, monkeypatch, blocks):
    monkeypatch.setattr(geotiff, "_BAND_PIXELS", 64 * WIDTH)
    picture = write_picture(tmp_path / "a.tif", **placed(**blocks))

    write_label_tiff(tmp_path / "out/mask.tif", MASK, CLASSES, picture)

    with rasterio.open(picture) as source, rasterio.open(tmp_path / "out/mask.tif") as mask:
        assert np.array_equal(mask.read(1), MASK)
        assert (mask.crs, mask.transform) == (source.crs, source.transform)
        assert mask.block_shapes == source.block_shapes[:1]
        assert (mask.nodata, mask.count, mask.dtypes) == (None, 1, ("uint8",))
        assert mask.compression.name == "deflate"
        assert [mask.colormap(1)[value][:3] for value in (0, 1, 2)] == [(0, 0, 0), *CLASSES.colours]


def test_pixels_without_data_are_255(tmp_path):
    picture = write_picture(tmp_path / "a.tif", **placed(nodata=0))

    write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, picture)

    expected = MASK.copy()
    expected[:40, :50] = 255
    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.nodata == 255
        assert np.array_equal(mask.read(1), expected)


def test_transparent_pixels_have_no_data(tmp_path):
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, 200:] = 0
    picture = write_picture(tmp_path / "a.tif", alpha, **placed())

    write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, picture)

    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert (mask.read(1)[:, 200:] == 255).all()
        assert np.array_equal(mask.read(1)[:, :200], MASK[:, :200])


def test_a_damaged_mask_is_an_error_of_the_picture(tmp_path):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        picture = write_picture(tmp_path / "a.tif", **placed())
        with rasterio.open(picture, "r+") as target:
            target.write_mask(MASK > 0)
    with tifffile.TiffFile(picture) as tiff:
        place, count = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
    content = bytearray(picture.read_bytes())
    content[place : place + count] = b"\xff" * count
    picture.write_bytes(content)
    assert read_image(picture).shape == (HEIGHT, WIDTH, 3)

    with pytest.raises(ImageError, match=r"a\.tif: it is damaged"):
        write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, picture)


def test_a_picture_with_a_world_file_lies_where_it_says(tmp_path):
    Image.fromarray(MASK * 80).save(tmp_path / "a.png")
    (tmp_path / "a.pgw").write_text("0.5\n0\n0\n-0.5\n1000.25\n1999.75\n", encoding="ascii")

    write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, tmp_path / "a.png")

    with rasterio.open(tmp_path / "mask.tif") as mask:
        assert mask.transform == rasterio.Affine(0.5, 0, 1000, 0, -0.5, 2000)
        assert mask.block_shapes == [(512, 512)]
        assert np.array_equal(mask.read(1), MASK)


def test_the_mask_of_a_turned_picture_lies_where_the_picture_does(tmp_path):
    stored = np.zeros((WIDTH, HEIGHT), np.uint8)
    place = [
        (33550, "d", 3, (2.0, 2.0, 0.0), True),
        (33922, "d", 6, (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), True),
    ]
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[*place, (274, "H", 1, 6, True)])

    write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, tmp_path / "a.tif")

    with rasterio.open(tmp_path / "mask.tif") as mask:
        corners = {mask.transform @ corner for corner in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT))}
    assert corners == {
        (1000, 2000),
        (1000 + 2 * HEIGHT, 2000),
        (1000, 2000 - 2 * WIDTH),
        (1000 + 2 * HEIGHT, 2000 - 2 * WIDTH),
    }


def test_a_picture_that_lies_nowhere_has_a_mask_in_tiles(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", MASK)

    write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, tmp_path / "a.tif")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "mask.tif") as mask:
            assert mask.crs is None
            assert np.array_equal(mask.read(1), MASK)


def test_equal_masks_are_equal_files(tmp_path):
    picture = write_picture(tmp_path / "a.tif", **placed())
    for name in ("one", "two"):
        write_label_tiff(tmp_path / f"{name}.tif", MASK, CLASSES, picture)

    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "two.tif").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.95, 0.999])
def test_a_full_disk_is_an_error(tmp_path, share):
    picture = write_picture(tmp_path / "picture.tif", **placed())
    write_label_tiff(tmp_path / "whole.tif", MASK, CLASSES, picture)
    size = (tmp_path / "whole.tif").stat().st_size

    with limited_files(int(share * size)), pytest.raises((OSError, rasterio.errors.RasterioError, CPLE_BaseError)):
        write_label_tiff(tmp_path / "mask.tif", MASK, CLASSES, picture)


def test_a_file_that_names_others_tells_nothing_of_them(tmp_path):
    other, mask = np.zeros((512, 768), np.uint8), np.ones((512, 768), np.uint8)
    other[100:200] = 255
    Image.fromarray(other).save(tmp_path / "other.png")
    (tmp_path / "a.tif").write_bytes(virtual_picture(tmp_path / "other.png"))

    write_label_tiff(tmp_path / "mask.tif", mask, CLASSES, tmp_path / "a.tif")

    assert np.array_equal(tifffile.imread(tmp_path / "mask.tif"), mask)
