"""Polygons of masks: drawn anew they are the mask, holes are kept, and simplifying stays within its tolerance."""

import cv2
import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from pyogrio.errors import DataSourceError, FeatureError
from rasterio import features

from maskmill.classes import Classes
from maskmill.imaging.georeference import read_georeference
from maskmill.imaging.geotiff import write_label_tiff
from maskmill.imaging.images import write_label_png
from maskmill.imaging.polygons import trace_polygons, write_polygons
from tests.unit.full_disk import limited_files

CLASSES = Classes.from_config(["roof", "road"])


def blobs(height=120, width=160):
    """A mask of smooth regions of two classes, some with holes, some within others."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((height, width)), (0, 0), 4)
    levels = np.quantile(noise, (0.4, 0.7))
    return np.digitize(noise, levels).astype(np.uint8)


def draw(polygons, values, size, transform=None):
    if not len(polygons):
        return np.zeros(size, np.uint8)
    extra = {"transform": transform} if transform else {}
    return features.rasterize(zip(polygons, values.tolist(), strict=True), size, dtype="uint8", **extra)


masks = st_numpy.arrays(
    np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.sampled_from([0, 1, 2, 255])
)


@settings(max_examples=60)
@given(masks)
def test_polygons_in_pixels_are_the_mask(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("mask") / "mask.png"
    write_label_png(path, mask, CLASSES)

    polygons, values = trace_polygons(path, CLASSES, 0)

    assert shapely.is_valid(polygons).all()
    assert np.array_equal(draw(polygons, values, mask.shape), np.where(mask == 255, 0, mask))


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_polygons_on_the_map_are_drawn_as_the_mask(tmp_path, suffix, caplog):
    caplog.set_level("INFO")
    mask, transform = blobs(), rasterio.Affine(0.31, 0.02, 123456.7, -0.01, -0.29, 5_000_000)
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": 120, "width": 160, "crs": "EPSG:32632"}
    with rasterio.open(tmp_path / "a.tif", "w", transform=transform, **profile) as target:
        target.write(np.ones_like(mask), 1)
    write_label_tiff(tmp_path / "mask.tif", mask, CLASSES, tmp_path / "a.tif")

    place = read_georeference(tmp_path / "a.tif")
    write_polygons(tmp_path / f"out/a.{suffix}", tmp_path / "mask.tif", CLASSES, place, 0)
    assert not caplog.records

    meta, _, geometries, (names, values) = pyogrio.raw.read(tmp_path / f"out/a.{suffix}")
    polygons = shapely.from_wkb(geometries)
    assert meta["crs"] == "EPSG:32632"
    assert meta["fields"].tolist() == ["class", "value"]
    assert [CLASSES.index(name) for name in names] == values.tolist()
    assert any(shapely.get_num_interior_rings(polygons))
    assert np.array_equal(draw(polygons, values, mask.shape, transform), mask)


@pytest.mark.parametrize("tolerance", [0.5, 1, 3])
def test_outlines_are_simplified_within_the_tolerance(tmp_path, tolerance):
    write_label_png(tmp_path / "mask.png", blobs(), CLASSES)
    exact, values = trace_polygons(tmp_path / "mask.png", CLASSES, 0)

    simple, same = trace_polygons(tmp_path / "mask.png", CLASSES, tolerance)

    assert np.array_equal(values, same)
    assert shapely.is_valid(simple).all()
    assert shapely.get_num_coordinates(simple).sum() < 0.9 * shapely.get_num_coordinates(exact).sum()
    distances = shapely.hausdorff_distance(shapely.boundary(exact), shapely.boundary(simple), densify=0.2)
    assert distances.max() <= 1.1 * tolerance
    assert shapely.get_num_interior_rings(simple).sum() > 0


def test_a_picture_that_lies_nowhere_has_polygons_in_pixels(tmp_path):
    mask = np.zeros((9, 12), np.uint8)
    mask[2:7, 3:10] = 2
    mask[4, 5] = 0
    write_label_png(tmp_path / "mask.png", mask, CLASSES)

    for suffix in ("gpkg", "geojson"):
        write_polygons(tmp_path / f"a.{suffix}", tmp_path / "mask.png", CLASSES, None, 0)
        _, _, geometries, (names, values) = pyogrio.raw.read(tmp_path / f"a.{suffix}")
        (polygon,) = shapely.from_wkb(geometries)
        assert polygon.equals(shapely.box(3, 2, 10, 7) - shapely.box(5, 4, 6, 5))
        assert (names.tolist(), values.tolist()) == (["road"], [2])


def test_an_empty_mask_has_no_polygon(tmp_path):
    write_label_png(tmp_path / "mask.png", np.zeros((5, 5), np.uint8), CLASSES)

    write_polygons(tmp_path / "a.gpkg", tmp_path / "mask.png", CLASSES, None, 1)

    assert len(pyogrio.raw.read(tmp_path / "a.gpkg")[2]) == 0


@pytest.mark.parametrize(("suffix", "share"), [("gpkg", 0.3), ("geojson", 0.3), ("geojson", 0.9), ("geojson", 0.999)])
def test_a_full_disk_is_an_error(tmp_path, suffix, share):
    write_label_png(tmp_path / "mask.png", blobs(), CLASSES)
    write_polygons(tmp_path / f"whole.{suffix}", tmp_path / "mask.png", CLASSES, None, 0)
    size = int(share * (tmp_path / f"whole.{suffix}").stat().st_size)

    with limited_files(size), pytest.raises((OSError, DataSourceError, FeatureError)):
        write_polygons(tmp_path / f"short.{suffix}", tmp_path / "mask.png", CLASSES, None, 0)
