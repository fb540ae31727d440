"""What GeoJSON and GeoPackage files hold: features with geometries, properties and a coordinate reference system (CRS).

GeoJSON is RFC 7946 with the "crs" member of its predecessor of 2008, which QGIS and GDAL still write, and with what
QuPath exports (pixel coordinates, the class in properties.classification). GeoPackage is read through GDAL.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.annotations.shapes import AnnotationError, Finding
from maskmill.imaging.georeference import WGS84

GEOMETRY_TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
FEATURE_REMEDY = "draw the feature anew, or delete it"
NOT_FINITE = Finding("broken_annotation", "a coordinate that is no finite number", FEATURE_REMEDY)

_FILE_REMEDY = "save the layer again as GeoJSON or GeoPackage, or restore the file from a copy"
_SQLITE = b"SQLite format 3\0"

# "urn:ogc:def:crs:EPSG::32632", "urn:ogc:def:crs:OGC:1.3:CRS84", "http://www.opengis.net/def/crs/EPSG/0/3857", "EPSG:1"
_CRS_NAME = re.compile(
    r"(?:urn:(?:x-)?ogc:def:crs:|https?://www\.opengis\.net/def/crs/)?([a-z]+)[:/](?:[\d.]*[:/])?(\w+)", re.IGNORECASE
)


@dataclass(frozen=True, eq=False)
class Features:
    """A layer as it is stored: geometries (N,), None where `defects` tells why, and what may be the labels.

    label_values: values of all features, first those of the label field; properties: the names it is chosen from.
    """

    title: str
    numbers: Sequence[int]
    crs: str | None
    stated: bool
    geometries: np.ndarray
    defects: dict[int, Finding]
    label_values: list[Sequence[Any]]
    properties: list[str]


def read_features(path: str, label_field: str) -> list[Features]:
    """The layers of a .geojson, .json or .gpkg file. Raises AnnotationError where it cannot be used at all."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_SQLITE))
        if not path.lower().endswith(".gpkg"):
            return [_read_json(path, label_field)]
    except OSError as error:
        raise AnnotationError(_broken(f"cannot be read: {error.strerror}")) from error
    if start != _SQLITE:
        raise AnnotationError(_broken("not a GeoPackage: it is no SQLite database"))
    return _read_geopackage(path, label_field)


def _read_json(path: str, label_field: str) -> Features:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(_broken(f"not valid JSON: {error}")) from error
    features = _feature_list(content)
    content = content if isinstance(content, dict) else {}
    crs, stated = _stated_crs(content)
    objects = [feature if isinstance(feature, dict) else {} for feature in features]
    geometries, defects = _parse_geometries([feature.get("geometry") for feature in objects])
    for index, feature in enumerate(features):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            defects[index] = Finding("broken_annotation", 'no "type": "Feature"', _FILE_REMEDY)
    properties = [feature.get("properties") for feature in objects]
    properties = [found if isinstance(found, dict) else {} for found in properties]
    title = content.get("name")
    return Features(
        title=title if isinstance(title, str) else "",
        numbers=range(1, len(features) + 1),
        crs=crs,
        stated=stated,
        geometries=geometries,
        defects=defects,
        label_values=[[_property(found, label_field) for found in properties], [*map(_qupath_class, properties)]],
        properties=sorted({name for found in properties for name in found}),
    )


def _feature_list(content: Any) -> list[Any]:
    """The features of GeoJSON text, which may be a collection, one feature, one geometry, or QuPath's plain list."""
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection" and isinstance(content.get("features"), list):
        return content["features"]
    if kind == "Feature":
        return [content]
    if kind in GEOMETRY_TYPES:
        return [{"type": "Feature", "geometry": content}]
    if isinstance(content, list) and all(isinstance(item, dict) and item.get("type") == "Feature" for item in content):
        return content
    found = f'its type is "{kind}"' if kind else "it has no type"
    remedy = "move files that are no annotations away, or correct dataset.source"
    raise AnnotationError(Finding("broken_annotation", f"not GeoJSON: {found}, not FeatureCollection", remedy))


def _stated_crs(content: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The CRS of GeoJSON, and whether it is stated.

    The "crs" member is that of GeoJSON 2008: an object with a name, or null where no CRS can be assumed. In all CRS the
    easting or longitude is first.
    """
    if "crs" not in content:
        return WGS84, False
    stated = content["crs"]
    if stated is None:
        return None, True
    properties = stated.get("properties") if isinstance(stated, dict) else None
    properties = properties if isinstance(properties, dict) else {}
    name = f"EPSG:{properties['code']}" if "code" in properties else properties.get("name")
    match = _CRS_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise AnnotationError(unknown_crs(f'the member "crs" names none that is known: {shown(stated)}'))
    return f"{match[1].upper()}:{match[2].upper()}", True


def _parse_geometries(stored: list[Any]) -> tuple[np.ndarray, dict[int, Finding]]:
    """Shapely geometries (N,) of GeoJSON geometries; None where the defects tell why."""
    import shapely

    texts = np.array([json.dumps(geometry) for geometry in stored], dtype=object)
    parsed = shapely.from_geojson(texts, on_invalid="ignore") if len(texts) else texts
    defects = {}
    for index, geometry in enumerate(stored):
        plane = geometry.get("plane") if isinstance(geometry, dict) else None
        if geometry is None:
            parsed[index] = None
        elif parsed[index] is None or geometry["type"] not in GEOMETRY_TYPES:
            parsed[index], defect = _parse_leniently(geometry)
            defects |= {index: defect} if defect else {}
        if isinstance(plane, dict) and (plane.get("z") or plane.get("t")):
            detail = f"a place in slice z = {plane.get('z')}, t = {plane.get('t')} of a stack"
            defects[index] = Finding("unexpected_value", detail, "export the objects of one slice alone")
    return parsed, defects


def _parse_leniently(geometry: Any) -> tuple[Any, Finding | None]:
    """A geometry whose rings may be left open, or what is wrong with it."""
    import shapely
    from shapely.geometry import shape

    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in GEOMETRY_TYPES:
        return None, wrong_type(kind)
    try:
        numbers = [*_flatten(geometry["coordinates"])]
        if not all(map(math.isfinite, numbers)):
            return None, NOT_FINITE
        return shape(geometry), None
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, shapely.errors.ShapelyError):
        return None, Finding("broken_annotation", f"coordinates that make no {kind}", FEATURE_REMEDY)


def _flatten(coordinates: Any) -> Iterator[float]:
    """The numbers of nested lists. TypeError where there is anything else."""
    if isinstance(coordinates, list):
        for part in coordinates:
            yield from _flatten(part)
    elif isinstance(coordinates, int | float) and not isinstance(coordinates, bool):
        yield coordinates
    else:
        raise TypeError(f"{coordinates!r} is no number")


def _property(properties: Mapping[str, Any], name: str) -> Any:
    """A property, or one within properties: "classification.name"."""
    if name in properties or "." not in name:
        return properties.get(name)
    found = properties
    for key in name.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _qupath_class(properties: Mapping[str, Any]) -> Any:
    """The class that QuPath gave an object; of a derived class the names in their order, as QuPath shows them."""
    stored = properties.get("classification")
    if not isinstance(stored, Mapping):
        return None
    names = stored.get("names")
    return ": ".join(map(str, names)) if isinstance(names, list) else stored.get("name")


def _read_geopackage(path: str, label_field: str) -> list[Features]:
    import pyogrio

    try:
        layers = [name for name, kind in pyogrio.list_layers(path).tolist() if kind is not None]
        if not layers:
            raise AnnotationError(_broken("no GeoPackage with features: none of its tables has geometries"))
        return [_read_table(path, name, label_field) for name in layers]
    except RuntimeError as error:  # the base of all that pyogrio raises
        raise AnnotationError(_broken(f"not a readable GeoPackage: {error}")) from error


def _read_table(path: str, name: str, label_field: str) -> Features:
    import pyogrio.raw
    import shapely

    properties = pyogrio.read_info(path, layer=name)["fields"].tolist()
    meta, numbers, binary, columns = pyogrio.raw.read(
        path, layer=name, columns=[label_field], force_2d=True, return_fids=True
    )
    geometries = shapely.from_wkb(binary, on_invalid="ignore")
    defects = {
        index: Finding("broken_annotation", "coordinates that make no geometry", FEATURE_REMEDY)
        for index in np.flatnonzero(shapely.is_missing(geometries)).tolist()
        if binary[index] is not None
    }
    crs = meta["crs"]
    return Features(
        title=name,
        numbers=numbers.tolist(),
        crs=None if crs is None or re.match(r'\w+\["Undefined ', crs) else crs,
        stated=True,
        geometries=geometries,
        defects=defects,
        label_values=[column.tolist() for column in columns],
        properties=properties,
    )


def wrong_type(kind: Any) -> Finding:
    """A finding about a geometry that is none of the known types."""
    detail = f"a geometry of the type {shown(kind)}, where polygons, lines and points are read"
    return Finding("broken_annotation", detail, "convert the geometry, or delete the feature")


def _broken(detail: str) -> Finding:
    return Finding("broken_annotation", detail, _FILE_REMEDY)


def unknown_crs(detail: str) -> Finding:
    """A finding about a CRS that is not known."""
    return Finding("crs_mismatch", detail, "save the layer in the picture's CRS, or in EPSG:4326")


def shown(value: Any) -> str:
    """A value of a file for a message, cut off where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:60]}…"
