"""Areas of pixels on the ground against pyproj-free knowledge: UTM, Web Mercator and degrees of one place."""

import numpy as np
import pytest
import rasterio
from rasterio import Affine

from maskmill.imaging.pixel_area import pixel_area
from tests.unit.volume_data import turned_affine, write_nifti


def write_geotiff(path, crs, west, north, side, rows=200, columns=300):
    transform = Affine(side, 0, west, 0, -side, north)
    options = {"driver": "GTiff", "width": columns, "height": rows, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **options, crs=crs, transform=transform) as file:
        file.write(np.zeros((1, rows, columns), np.uint8))
    return path


def test_a_projected_picture(tmp_path):
    # UTM 32N near its central meridian, where lengths are 0.9996 of those on the ground
    path = write_geotiff(tmp_path / "a.tif", "EPSG:32632", 500_000, 5_300_000, 0.3)

    assert pixel_area(path, False) == pytest.approx(0.09 / 0.9996**2, rel=1e-4)


def test_web_mercator_is_not_taken_at_its_word(tmp_path):
    # at 60 degrees north Web Mercator doubles lengths: 4 of its square metres are about 1
    path = write_geotiff(tmp_path / "a.tif", "EPSG:3857", 1_000_000, 8_399_737, 1)

    assert pixel_area(path, False) == pytest.approx(0.25, rel=0.01)


def test_degrees(tmp_path):
    # a square of 0.0001 degrees at 45 degrees north: 7.8847 m by 11.1132 m (WGS 84 tables)
    path = write_geotiff(tmp_path / "a.tif", "EPSG:4326", 10, 45.01, 0.0001)

    assert pixel_area(path, False) == pytest.approx(7.8847 * 11.1132, rel=1e-3)


def test_a_picture_without_a_place(tmp_path):
    assert pixel_area(tmp_path / "a.png", False) is None


def test_voxels(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.uint8), turned_affine((0.5, 2, 3)))

    assert pixel_area(path, True) == pytest.approx(3)
