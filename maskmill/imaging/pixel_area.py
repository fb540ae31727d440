"""How large a pixel of a georeferenced picture, or a voxel of a volume, is."""

import os

import numpy as np

from maskmill.imaging.georeference import read_georeference, reproject
from maskmill.imaging.volumes import stack_header

_SEMI_MAJOR, _ECCENTRICITY_SQUARED = 6_378_137.0, 0.00669437999014
"""Of the WGS 84 ellipsoid."""

_MILLIMETRES = {"mm": 1.0, "µm": 1e-3, "m": 1e3}


def pixel_area(path: str | os.PathLike, is_volume: bool) -> float | None:
    """Square metres of a picture's pixel, cubic millimetres of a volume's voxel; None where the file does not say.

    Areas are those on the ground in the middle of the picture, whatever the CRS distorts. Raises MaskmillError where
    the CRS is unknown.
    """
    return _voxel_volume(path) if is_volume else _ground_area(path)


def _voxel_volume(path: str | os.PathLike) -> float | None:
    header = stack_header(path)
    if header.unit not in _MILLIMETRES:
        return None
    return float(np.prod(header.spacing)) * _MILLIMETRES[header.unit] ** 3


def _ground_area(path: str | os.PathLike) -> float | None:
    place = read_georeference(path)
    if place is None or place.crs is None:
        return None
    middle = np.array([place.width, place.height]) / 2
    square = middle + 50 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])  # 100 pixels a side: keeps digits
    longitude, latitude = np.radians(reproject(place.to_map(square), place.crs, "EPSG:4326")).T
    bend = 1 - _ECCENTRICITY_SQUARED * np.sin(latitude.mean()) ** 2
    east = _SEMI_MAJOR / np.sqrt(bend) * np.cos(latitude.mean()) * (longitude - longitude[0])
    north = _SEMI_MAJOR * (1 - _ECCENTRICITY_SQUARED) / bend**1.5 * (latitude - latitude[0])
    doubled = east @ np.roll(north, -1) - north @ np.roll(east, -1)
    return float(abs(doubled) / 2 / 100**2)
