"""What the tests of layers over pictures share."""

import pytest

from tests.unit.annotations.geo_data import write_geotiff, write_plain


@pytest.fixture
def picture(tmp_path):
    """A GeoTIFF of 80 × 60 pixels."""
    return write_geotiff(tmp_path / "picture.tif")


@pytest.fixture
def plain(tmp_path):
    """A PNG of the same size without georeference."""
    return write_plain(tmp_path / "plain.png")
