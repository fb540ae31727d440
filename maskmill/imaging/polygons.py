"""Masks as polygons, in GeoPackage or GeoJSON files: the outlines of their regions, where the picture lies on the map.

Pixels that touch along an edge are of one polygon, so that polygons are valid; holes are kept. Drawn anew, with each
pixel of the polygon that holds its centre, polygons that have not been simplified give the mask exactly.

Reference: Douglas & Peucker (1973), "Algorithms for the reduction of the number of points required to represent a
digitized line or its caricature", Cartographica 10(2).
"""

import errno
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import rasterio
import shapely
from rasterio import features
from rasterio.errors import NotGeoreferencedWarning

from maskmill.classes import Classes
from maskmill.imaging.georeference import Georeference, rasterio_in_use
from maskmill.imaging.signatures import gdal_driver

DRIVERS = {"gpkg": "GPKG", "geojson": "GeoJSON"}
"""Formats by the suffix of their files, and what GDAL calls them."""

_EDGES = 4


def trace_polygons(mask: str | os.PathLike, classes: Classes, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Polygons (N,) of the regions of a mask's file in pixel coordinates, y down, and their class indices (N,).

    The file is read row by row. tolerance: about how far, in pixels, an outline may lie from that of the region; 0
    keeps it. What is no class, such as 255 where the picture has no data, has no polygon.
    """
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with rasterio_in_use, quiet, rasterio.open(mask, driver=gdal_driver(mask)) as source:
        band = rasterio.band(source, 1)
        found = features.shapes(band, mask=band, connectivity=_EDGES)  # on the map, if the mask is
        kept = [(shape["coordinates"], int(value)) for shape, value in found if 0 < value <= len(classes)]
        to_pixels = np.array(~source.transform).reshape(3, 3)
    polygons = np.array([shapely.Polygon(rings[0], rings[1:]) for rings, _ in kept], object)
    values = np.array([value for _, value in kept], np.uint8)
    polygons = shapely.transform(polygons, lambda points: np.rint(points @ to_pixels[:2, :2].T + to_pixels[:2, 2]))
    return (shapely.simplify(polygons, tolerance) if tolerance else polygons), values


def write_polygons(
    path: str | os.PathLike,
    mask: str | os.PathLike,
    classes: Classes,
    place: Georeference | None,
    tolerance: float,
) -> None:
    """Write the polygons of a mask's file, with the fields `class` (name) and `value` (class index). Makes folders.

    The suffix of `path` decides the format. Coordinates are those of the picture's CRS, or pixels (y down) where it
    has no place on the map.
    """
    import pyogrio.raw

    logging.getLogger("pyogrio").setLevel(logging.WARNING)  # it says of every file how many polygons it has
    polygons, values = trace_polygons(mask, classes, tolerance)
    if place:
        polygons = shapely.transform(polygons, place.to_map)
    names = np.array(classes.names, object)[values.astype(int) - 1]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        pyogrio.raw.write(
            path,
            shapely.to_wkb(polygons),
            field_data=[names, values.astype(np.int32)],
            fields=["class", "value"],
            geometry_type="Polygon",
            crs=place.crs if place else None,
            driver=DRIVERS[path.suffix[1:]],
            layer="mask",
        )
    _check_written(path, len(polygons))


def _check_written(path: Path, count: int) -> None:
    """Raise OSError unless a file can be read and has so many polygons: GDAL may not say that a disk is full."""
    import pyogrio.errors
    import pyogrio.raw

    try:
        written = len(pyogrio.raw.read(path)[2])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError):
        written = None
    if written != count:
        raise OSError(errno.ENOSPC, "not all of it could be written", os.fspath(path))
