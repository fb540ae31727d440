"""Small georeferenced pictures and layers on disk."""

import json
from pathlib import Path

import numpy as np
import pyogrio.raw
import rasterio
import shapely
from PIL import Image

from maskmill.annotations.formats import LabelOptions
from maskmill.imaging.georeference import WGS84, Georeference, read_georeference, reproject

UTM = "EPSG:32632"
NORTH_UP = (0.5, 0.0, 691_000.0, 0.0, -0.5, 5_336_000.0)  # half a metre a pixel, near Munich
SQUARE = [[10, 12], [40, 12], [40, 42], [10, 42], [10, 12]]
OPTIONS = LabelOptions(["building", "road"])
BUILDINGS = LabelOptions(["building"])


def write_geotiff(path: Path, crs=UTM, transform=NORTH_UP, width: int = 80, height: int = 60, **profile) -> Path:
    """A black grey GeoTIFF."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "width": width, "height": height} | profile
    with rasterio.open(path, "w", crs=crs, transform=rasterio.Affine(*transform), **profile) as file:
        file.write(np.zeros((profile["count"], height, width), dtype=profile["dtype"]))
    return path


def write_plain(path: Path) -> Path:
    """A picture of 80 × 60 pixels without georeference."""
    Image.new("L", (80, 60)).save(path)
    return path


def moved(ring: list, x: float, y: float = 0) -> list:
    """A ring of points, so far to the right and down."""
    return [[px + x, py + y] for px, py in ring]


def on_map(picture: Path | Georeference, pixels, crs: str = WGS84):
    """Nested lists of pixel coordinates as coordinates of a CRS."""
    place = picture if isinstance(picture, Georeference) else read_georeference(picture)
    if isinstance(pixels[0], list):
        return [on_map(place, part, crs) for part in pixels]
    return reproject(place.to_map(np.array([pixels], dtype=float)), place.crs, crs)[0].tolist()


def polygon(*rings) -> dict:
    """A GeoJSON polygon."""
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: dict | None, **properties) -> dict:
    """A GeoJSON feature."""
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def write_geojson(path: Path, *features: dict, **members) -> Path:
    """A GeoJSON file."""
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)} | members))
    return path


def named_crs(name: str) -> dict:
    """The "crs" member of GeoJSON 2008."""
    return {"type": "name", "properties": {"name": name}}


def write_geopackage(path: Path, layers: dict[str, list[dict]], crs: str | None = UTM) -> Path:
    """A GeoPackage whose layers hold these GeoJSON features; all properties of a layer are in its first feature."""
    for name, features in layers.items():
        geometries = [f["geometry"] and shapely.to_wkb(shapely.geometry.shape(f["geometry"])) for f in features]
        fields = list(features[0]["properties"]) if features else []
        pyogrio.raw.write(
            path,
            _objects(geometries),
            fields=fields,
            field_data=[_column([f["properties"][field] for f in features]) for field in fields],
            layer=name,
            driver="GPKG",
            crs=crs,
            geometry_type="Unknown",
        )
    return path


def _column(values: list) -> np.ndarray:
    return _objects(values) if any(value is None or isinstance(value, str) for value in values) else np.array(values)


def _objects(values: list) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
