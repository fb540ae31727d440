"""Where a picture lies on the Earth: coordinate reference system (CRS) and transform of GeoTIFFs and of world files.

Coordinates on the map have x (east, longitude) first, whatever order the CRS itself defines.
"""

import functools
import os
import re
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.imaging.signatures import PILLOW_FORMATS, gdal_driver

WGS84 = "OGC:CRS84"
"""Longitude and latitude in degrees, in this order."""

_TIFF_SUFFIXES = (".tif", ".tiff")
_ORIENTATION = 0x0112
_BORDER_POINTS = 21
_PAGE = re.compile(r"#page=\d+$")

# rasterio's CRS objects and Python's list of warning filters are shared by all threads
rasterio_in_use = threading.RLock()
"""To be held while data sets are opened and coordinate reference systems compared."""

# Rows of the matrix from (x, y, 1) of the upright picture to (column, row) of the stored one, for EXIF orientation
# 2 to 8. The last number counts stored widths (first row) or heights (second row).
_STORED = {
    2: ((-1, 0, 1), (0, 1, 0)),
    3: ((-1, 0, 1), (0, -1, 1)),
    4: ((1, 0, 0), (0, -1, 1)),
    5: ((0, 1, 0), (1, 0, 0)),
    6: ((0, 1, 0), (-1, 0, 1)),
    7: ((0, -1, 1), (-1, 0, 1)),
    8: ((0, -1, 1), (1, 0, 0)),
}


@dataclass(frozen=True)
class Georeference:
    """How the pixels of an upright picture lie on the map.

    crs: authority and code ("EPSG:32632") or WKT, None where only the transform is known. transform: (a, b, c, d, e, f)
    in rasterio's order, x = a·column + b·row + c and y = d·column + e·row + f, pixel corners being whole numbers (GDAL
    itself lists them as c, a, b, f, d, e). width, height: in pixels. nodata: the value of pixels without data in the
    first band. bounds: west, south, east, north in degrees (WGS 84), west > east across the antimeridian; None where
    they cannot be told.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]
    width: int
    height: int
    nodata: float | None = None
    bounds: tuple[float, float, float, float] | None = None

    def to_map(self, pixels: np.ndarray) -> np.ndarray:
        """Map coordinates (N, 2) of pixel coordinates (N, 2), the corner of the top left pixel being (0, 0)."""
        a, b, c, d, e, f = self.transform
        return pixels @ np.array([[a, d], [b, e]]) + (c, f)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates (N, 2) of map coordinates (N, 2)."""
        a, b, c, d, e, f = self.transform
        return (points - (c, f)) @ np.linalg.inv(np.array([[a, d], [b, e]]))

    def from_crs(self, points: np.ndarray, crs: str | None) -> np.ndarray:
        """Pixel coordinates (N, 2) of coordinates (N, 2) in a CRS, longitudes on the picture's side of the Earth.

        Raises MaskmillError where they have none.
        """
        points = points if crs == self.crs else reproject(points, crs, self.crs)
        if self.crs and is_geographic(self.crs):
            centre = self.to_map(np.array([[self.width / 2, self.height / 2]]))[0, 0]
            points = points - np.column_stack([360 * np.round((points[:, 0] - centre) / 360), np.zeros(len(points))])
        return self.to_pixels(points)

    def bounds_in(self, crs: str | None) -> tuple[float, float, float, float]:
        """Least x, least y, greatest x and greatest y in another CRS of the box around the picture in its own.

        In degrees, the least x is the greater across the antimeridian. Raises MaskmillError where it cannot be told.
        """
        corners = self.outline()
        box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
        return box if crs == self.crs else _transform_box(box, self.crs, crs)

    def outline(self, steps: int = 1) -> np.ndarray:
        """Map coordinates (4 · steps, 2) of points along the picture's edge, `steps` a side."""
        along, zero = np.arange(steps) / steps, np.zeros(steps)
        x = np.concatenate([along, zero + 1, 1 - along, zero])
        y = np.concatenate([zero, along, zero + 1, 1 - along])
        return self.to_map(np.column_stack([x * self.width, y * self.height]))


def read_georeference(path: str | os.PathLike) -> Georeference | None:
    """The georeference of a GeoTIFF, or of a picture with a world file (.tfw, .pgw, .jgw, … and .prj) beside it.

    None where the picture has none: no file, no transform (ground control points alone are none), or a degenerate one.
    Raises MaskmillError where a .prj file is no CRS.
    """
    file = Path(_PAGE.sub("", os.fspath(path)))
    if file.suffix.lower() not in _TIFF_SUFFIXES and not _sidecars(file):
        return None
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    try:
        with rasterio_in_use, warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(file, driver=gdal_driver(file)) as dataset:
                crs, affine, nodata = dataset.crs, tuple(dataset.transform)[:6], dataset.nodata
                width, height = dataset.width, dataset.height
            crs = crs.to_string() if crs else _crs_beside(file)
    except RasterioIOError:
        return None
    a, b, _, d, e, _ = affine
    if affine == (1, 0, 0, 0, 1, 0) or not np.isfinite(affine).all() or a * e == b * d:
        return None
    return _complete(crs, affine, width, height, nodata, stored_orientation(file))


def overlaps(first: Georeference, second: Georeference) -> float:
    """Area that two pictures share, as a fraction (0 to 1) of the smaller one's; rotated pictures are no boxes.

    Pictures without a CRS are compared with one another as if they had the same; with others they share nothing.
    """
    import shapely

    if (first.crs is None) != (second.crs is None) or _apart(first.bounds, second.bounds):
        return 0.0
    if first.bounds and second.bounds and _tall(first.bounds) < _tall(second.bounds):
        first, second = second, first  # a small picture has a place in the CRS of a large one, not always the reverse
    outline = second.outline(1 if first.crs == second.crs else _BORDER_POINTS)
    try:
        other = shapely.make_valid(shapely.Polygon(first.from_crs(outline, second.crs)))
    except MaskmillError:  # so far apart that the CRS of one has no place for the other
        return 0.0
    picture = shapely.box(0, 0, first.width, first.height)
    smaller = min(picture.area, other.area)
    return min(1.0, shapely.intersection(picture, other).area / smaller) if smaller > 0 else 0.0


def reproject(points: np.ndarray, source: str, target: str) -> np.ndarray:
    """Map coordinates (N, 2) in another CRS, x (east, longitude) first in both.

    Raises MaskmillError where a CRS is unknown or a point has no place in the other.
    """
    if source == target or not len(points):
        return points
    import rasterio.warp
    from rasterio._err import CPLE_BaseError

    try:
        with rasterio_in_use:
            moved = rasterio.warp.transform(_crs(source), _crs(target), points[:, 0], points[:, 1])
    except CPLE_BaseError as error:
        raise MaskmillError(f"a place in {crs_name(source)} is none in {crs_name(target)}: {error}") from error
    moved = np.column_stack(moved)
    if not np.isfinite(moved).all():
        raise MaskmillError(f"a place in {crs_name(source)} is none in {crs_name(target)}")
    return moved


def is_geographic(crs: str) -> bool:
    """Whether the coordinates of a CRS are degrees. Raises MaskmillError where it is unknown."""
    with rasterio_in_use:
        return _crs(crs).is_geographic


def crs_name(crs: str) -> str:
    """A CRS for a message: its code, or the name in its WKT."""
    named = re.match(r'\w+\["([^"]+)"', crs)
    return named[1] if named else crs


@functools.lru_cache(maxsize=64)
def _crs(text: str):
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        with rasterio.Env():
            return CRS.from_user_input(text)
    except CRSError as error:
        raise MaskmillError(f'"{crs_name(text)}" is no coordinate reference system that is known') from error


def _transform_box(box: tuple, source: str, target: str) -> tuple[float, float, float, float]:
    import rasterio.warp
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        with rasterio_in_use:
            bounds = rasterio.warp.transform_bounds(_crs(source), _crs(target), *box)
    except (CPLE_BaseError, RasterioError) as error:
        raise MaskmillError(f"nothing leads from {crs_name(source)} to {crs_name(target)}: {error}") from error
    if not np.isfinite(bounds).all():
        raise MaskmillError(f"the picture has no place in {crs_name(target)}")
    return bounds


def _complete(
    crs: str | None, affine: tuple, width: int, height: int, nodata: float | None, orientation: int
) -> Georeference:
    """The georeference of the upright picture, with its bounds, from what is stored."""
    if orientation in _STORED:
        columns, rows = _STORED[orientation]
        stored = np.array([columns, rows, (0, 0, 1)], dtype=float)
        stored[:2, 2] *= width, height
        affine = tuple((np.array([affine[:3], affine[3:]]) @ stored).ravel().tolist())
        width, height = (height, width) if orientation >= 5 else (width, height)
    placed = Georeference(crs, affine, width, height, nodata)
    if crs is None:
        return placed
    try:
        bounds = placed.bounds_in(WGS84)
    except MaskmillError:  # a CRS that is not of the Earth
        return placed
    return Georeference(crs, affine, width, height, nodata, bounds)


def _sidecars(file: Path) -> list[Path]:
    """The files beside a picture from which GDAL takes a transform: world files and .aux.xml."""
    suffix = file.suffix[1:]
    world = {f".{suffix[:1]}{suffix[-1:]}w", f".{suffix}w", ".wld"}
    names = [file.with_suffix(case) for end in sorted(world) for case in (end.lower(), end.upper())]
    return [name for name in [*names, file.with_name(f"{file.name}.aux.xml")] if name.is_file()]


def _crs_beside(file: Path) -> str | None:
    """The CRS of the picture's .prj file, None where there is no such file."""
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    found = next((name for end in (".prj", ".PRJ") if (name := file.with_suffix(end)).is_file()), None)
    if found is None:
        return None
    try:
        with rasterio.Env():
            return CRS.from_wkt(found.read_text(encoding="utf-8-sig")).to_string()
    except (CRSError, UnicodeDecodeError) as error:
        remedy = "write the WKT of the picture's coordinate reference system to it, or take it away"
        raise MaskmillError(f"{found} is no coordinate reference system; {remedy}") from error


def stored_orientation(path: str | os.PathLike) -> int:
    """The EXIF or TIFF orientation (1 to 8), which GDAL does not apply; 1 where the file cannot be read."""
    import tifffile
    from PIL import Image

    file = Path(path)
    try:
        if file.suffix.lower() in _TIFF_SUFFIXES:
            with tifffile.TiffFile(file) as tiff:
                return int(tiff.pages.first.tags.valueof(_ORIENTATION, 1))
        with Image.open(file, formats=PILLOW_FORMATS) as image:
            return Image.Image.getexif(image).get(_ORIENTATION, 1)  # the getexif of PNG decodes the pixels
    except (OSError, ValueError, SyntaxError):
        return 1


def _tall(bounds: tuple[float, float, float, float]) -> float:
    return bounds[3] - bounds[1]


def _apart(first: tuple | None, second: tuple | None) -> bool:
    """Whether two bounds in degrees do not meet."""
    if first is None or second is None:
        return False
    (west, south, east, north), (left, bottom, right, top) = first, second
    if north < bottom or top < south:
        return True
    east, right = east + 360 * (east < west), right + 360 * (right < left)
    return not any(west <= right + turn and left + turn <= east for turn in (-360, 0, 360))
