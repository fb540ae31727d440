"""Read what GeoJSON and GeoPackage layers hold over a picture, as shapes in its pixels.

Vertices are taken from the layer's coordinate reference system (CRS) to the picture's and from there to pixels; the
edges between them are straight in the picture, as QGIS shows them. A picture without georeference has pixel
coordinates, x to the right and y down, as QuPath exports them.
"""

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np

from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.layers import Layer, load_layers
from maskmill.annotations.shapes import FARTHEST, Annotation, AnnotationError, Finding, Shape
from maskmill.errors import MaskmillError
from maskmill.imaging.georeference import Georeference, crs_name, read_georeference
from maskmill.imaging.images import ImageError, image_header
from maskmill.labels.problems import BROKEN_IMAGE_REMEDY

_REACH = 5
"""How far, in pixels, points and lines are drawn beyond themselves."""

_EDGE = 1e-6
"""How far, in pixels, a polygon must reach into the picture, so that neighbours that only touch it are left out."""

_MARGIN = 1.0
"""How far beyond the picture, in picture sizes, a geometry may go on before it is cut off."""


@dataclass(frozen=True)
class _Picture:
    """The picture a layer is laid over, of width × height pixels."""

    width: int
    height: int
    georeference: Georeference | None


def read(path: str | os.PathLike, image: str | os.PathLike, options: LabelOptions) -> Annotation:
    """Read the polygons, lines and points of all layers of a file that lie over a picture, in the file's order.

    A feature's label is its property `options.label_field` ("a.b" is b within a) or else the class that QuPath gave
    it. Where no feature of a layer has one, it is the layer's name if that is a class, or the only class there is.
    A feature is one object whatever number of parts it has. Geometries are kept whole, but for those that go on far
    beyond the picture. A picture that no feature lies over has no shapes.

    Raises AnnotationError with everything that is wrong: with the file, with features that have no place, with
    features near this picture, and with the way from the layer's CRS to the picture's pixels.
    """
    picture = _open_picture(image)
    shapes, findings = [], []
    for layer in load_layers(path, options):
        findings += layer.findings
        try:
            chosen = _nearby(layer, picture)
            parts, owners = _place(layer, picture, chosen)
        except AnnotationError as error:
            findings += error.findings
            continue
        findings += layer.name_findings({i: layer.unlabelled[i] for i in owners.tolist() if i in layer.unlabelled})
        if not findings:
            shapes += _shapes(layer, parts, owners, max((shape.group_id or 0 for shape in shapes), default=0))
    if findings:
        raise AnnotationError(*findings)
    return Annotation(None, None, tuple(shapes))


def layer_digest(path: str | os.PathLike, image: str | os.PathLike, options: LabelOptions) -> str:
    """Hexadecimal SHA-256 of all that decides what a file's layers draw on a picture.

    It changes with the picture's georeference and with geometry, label and order of the features near it, not with
    features elsewhere. Raises AnnotationError where the file cannot be read or not be laid over the picture.
    """
    picture = _open_picture(image)
    place = picture.georeference
    digest = hashlib.sha256()
    _update(digest, [picture.width, picture.height, *([place.crs, place.transform] if place else [])])
    for layer in load_layers(path, options):
        chosen = _nearby(layer, picture)
        owners, ranks = np.unique(layer.owners[chosen], return_inverse=True)
        wrong = layer.name_findings({i: layer.unlabelled[i] for i in owners.tolist() if i in layer.unlabelled})
        _update(digest, [layer.crs, *(finding.detail for finding in (*layer.findings, *wrong))])
        _update(digest, [layer.labels[owner] for owner in owners])
        for part, rank in zip(chosen.tolist(), ranks.tolist(), strict=True):
            digest.update(layer.digests[part] + rank.to_bytes(8, "big"))
    return digest.hexdigest()


def _update(digest, values: list) -> None:
    digest.update(json.dumps(values).encode() + b"\n")


def _open_picture(image: str | os.PathLike) -> _Picture:
    try:
        georeference = read_georeference(image)
        if georeference:
            return _Picture(georeference.width, georeference.height, georeference)
        width, height = image_header(image)[:2]
        return _Picture(width, height, None)
    except ImageError as error:
        detail = f"the picture {image} cannot be read: {error.reason}"
        raise AnnotationError(Finding("broken_image", detail, BROKEN_IMAGE_REMEDY)) from error
    except MaskmillError as error:
        remedy = "correct the files beside the picture"
        raise AnnotationError(Finding("crs_mismatch", f"the picture {image}: {error}", remedy)) from error


def _nearby(layer: Layer, picture: _Picture) -> np.ndarray:
    """Indices, ascending, of the parts that may be drawn on a picture. AnnotationError where that cannot be told."""
    if picture.georeference is None:
        _check_pixels(layer)
    else:
        _check_crs(layer, picture.georeference)
    windows = _windows(layer, picture, _REACH / min(picture.width, picture.height))
    if layer.geographic and picture.georeference:
        _check_degrees(layer, windows)
    return np.unique(layer.tree.query(windows, predicate="intersects")[1])


def _check_pixels(layer: Layer) -> None:
    """Whether coordinates can be pixels of a picture without georeference."""
    remedy = "georeference the picture (GeoTIFF or world file), or draw in its pixels, y down"
    left, top, right, bottom = layer.bounds
    if layer.stated and layer.crs:
        detail = f"the layer is in {crs_name(layer.crs)}, but the picture has no georeference"
    elif bottom <= 0 and top < 0:
        detail = (
            f"the picture has no georeference and all y are negative ({top:g} to {bottom:g}): they were drawn in QGIS, "
            "where y runs upwards"
        )
    elif 0 < layer.largest < 1:
        detail = (
            "the picture has no georeference and no feature is as large as a pixel: the coordinates "
            f"({left:g} to {right:g}, {top:g} to {bottom:g}) look like degrees"
        )
    else:
        return
    raise AnnotationError(Finding("missing_georeference", detail, remedy))


def _check_crs(layer: Layer, georeference: Georeference) -> None:
    if layer.crs is None and georeference.crs is not None:
        detail = f"the layer states no CRS, and the picture is in {crs_name(georeference.crs)}"
        remedy = "assign the layer its CRS and save it again"
    elif layer.crs is not None and georeference.crs is None:
        detail = f"the layer is in {crs_name(layer.crs)}, and the picture has a transform, but states no CRS"
        remedy = "write the picture's CRS to a .prj file of its name, or into the GeoTIFF"
    else:
        return
    raise AnnotationError(Finding("crs_mismatch", detail, remedy))


def _check_degrees(layer: Layer, windows: np.ndarray) -> None:
    """Whether coordinates can be longitude and latitude, in this order."""
    import shapely

    left, bottom, right, top = layer.bounds
    extent = f"x from {left:g} to {right:g}, y from {bottom:g} to {top:g}"
    if max(abs(left), abs(right)) > 360 or max(abs(bottom), abs(top)) > 90:
        says = f"is in {crs_name(layer.crs)}" if layer.stated else "states no CRS, which means longitude and latitude"
        detail = f"the layer {says}, but its coordinates are no degrees: {extent}"
        remedy = "save the layer with the CRS its coordinates are in, or reproject it to EPSG:4326"
    elif not shapely.intersects(windows, shapely.box(*layer.bounds)).any() and (
        shapely.intersects(windows, shapely.box(bottom, left, top, right)).any()
    ):
        detail = f"the layer lies over the picture only if y is read as longitude: {extent}"
        remedy = "write the longitude first, the latitude second"
    else:
        return
    raise AnnotationError(Finding("crs_mismatch", detail, remedy))


def _windows(layer: Layer, picture: _Picture, margin: float) -> np.ndarray:
    """Boxes in the layer's coordinates around the picture, wider by `margin` of its size on every side.

    Degrees have three, 360 apart, since a longitude has many values.
    """
    import shapely

    turns = (0,)
    if picture.georeference is None:
        left, bottom, right, top = 0, 0, picture.width, picture.height
    else:
        try:
            left, bottom, right, top = picture.georeference.bounds_in(layer.crs)
        except MaskmillError as error:
            remedy = "save the layer in the picture's CRS"
            raise AnnotationError(Finding("crs_mismatch", str(error), remedy)) from error
        if layer.geographic:
            turns = (-360, 0, 360)
            right += 360 * (right < left)
    wider = margin * max(right - left, top - bottom)
    low, high = (max(bottom - wider, -90), min(top + wider, 90)) if layer.geographic else (bottom - wider, top + wider)
    return np.array([shapely.box(left - wider + turn, low, right + wider + turn, high) for turn in turns])


def _place(layer: Layer, picture: _Picture, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chosen parts in pixels, but for those that are not drawn, and the features they belong to."""
    import shapely

    parts, owners = _cut(layer.parts[chosen], layer.owners[chosen], _windows(layer, picture, _MARGIN))
    georeference = picture.georeference
    if georeference:
        try:
            parts = shapely.transform(parts, lambda points: georeference.from_crs(points, layer.crs))
        except MaskmillError as error:
            remedy = "save the layer in the picture's CRS"
            raise AnnotationError(Finding("crs_mismatch", str(error), remedy)) from error
    size = max(picture.width, picture.height)
    wider = min(_MARGIN * size, FARTHEST - size)
    allowed = shapely.box(-wider, -wider, picture.width + wider, picture.height + wider)
    parts, owners = _cut(parts, owners, np.array([allowed]))
    frame = shapely.box(0, 0, picture.width, picture.height)
    area = shapely.get_dimensions(parts) == 2
    within = shapely.intersects(parts, shapely.box(_EDGE, _EDGE, picture.width - _EDGE, picture.height - _EDGE))
    drawn = np.where(area, within, shapely.dwithin(parts, frame, _REACH))
    return parts[drawn], owners[drawn]


def _cut(parts: np.ndarray, owners: np.ndarray, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts and the features they belong to, in the same order; what leaves the windows is cut off there."""
    import shapely

    bounds = shapely.bounds(parts)[:, None]
    allowed = shapely.bounds(windows)[None]
    inside = ((bounds[..., :2] >= allowed[..., :2]) & (bounds[..., 2:] <= allowed[..., 2:])).all(axis=2).any(axis=1)
    (leaving,) = np.nonzero(~inside)
    if not leaving.size:
        return parts, owners
    cut = shapely.intersection(shapely.make_valid(parts[leaving]), shapely.union_all(windows))
    pieces, origin = shapely.get_parts(cut, return_index=True)
    origin = leaving[origin]
    kept = ~shapely.is_empty(pieces) & (shapely.get_dimensions(pieces) == shapely.get_dimensions(parts[origin]))
    (staying,) = np.nonzero(inside)
    origin = np.concatenate([staying, origin[kept]])
    order = np.argsort(origin, kind="stable")
    return np.concatenate([parts[staying], pieces[kept]])[order], owners[origin[order]]


def _shapes(layer: Layer, parts: np.ndarray, owners: np.ndarray, last_group: int) -> list[Shape]:
    """Shapes of parts in pixels; those of a feature with several parts share a group, counted on from `last_group`."""
    features, counts = np.unique(owners, return_counts=True)
    groups = {owner: last_group + number for number, owner in enumerate(features[counts > 1].tolist(), 1)}
    return [
        _shape(layer.labels[owner], part, groups.get(owner))
        for part, owner in zip(parts.tolist(), owners.tolist(), strict=True)
    ]


def _shape(label: str, part, group: int | None) -> Shape:
    if part.geom_type == "Polygon":
        outline, *holes = (_rounded(ring)[:-1] for ring in (part.exterior, *part.interiors))
        return Shape(label, "polygon", outline, group, holes=tuple(holes))
    points = _rounded(part)
    kind = "point" if part.geom_type == "Point" else "line" if len(points) == 2 else "linestrip"
    return Shape(label, kind, points, group)


def _rounded(part) -> np.ndarray:
    """Coordinates to a thousandth of a pixel: drawing cuts them, and reprojecting makes 59.99999 of 60."""
    import shapely

    return np.round(shapely.get_coordinates(part), 3)
