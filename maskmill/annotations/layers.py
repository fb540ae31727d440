"""The layers of GeoJSON and GeoPackage files, ready to be looked up by place: geometries with a label each."""

import functools
import hashlib
import math
import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.annotations.formats import LabelOptions
from maskmill.annotations.shapes import AnnotationError, Finding
from maskmill.annotations.vector_files import (
    FEATURE_REMEDY,
    GEOMETRY_TYPES,
    NOT_FINITE,
    Features,
    read_features,
    shown,
    unknown_crs,
    wrong_type,
)
from maskmill.errors import MaskmillError
from maskmill.imaging.georeference import is_geographic

_LISTED = 12

_loading = threading.Lock()


@dataclass(frozen=True, eq=False)
class Layer:
    """The features of one layer, taken apart into single polygons, lines and points.

    title: the layer's name, "" where it has none. numbers: how features are called in messages.
    crs: authority and code or WKT, None where the file says there is none. stated: whether the file says anything;
    GeoJSON that does not is in WGS 84 or, over a picture without georeference, in pixels.
    parts: (N,) shapely geometries, 2D, finite and not empty, in the file's order. owners: (N,) the feature of each.
    digests: SHA-256 of each part. bounds: least x and y and greatest x and y of all parts, NaN where there are none.
    largest: greatest extent of a part, in the layer's units; 0 where all are points. tree: index of the parts.
    labels: the label of each feature, None where it has none. unlabelled: what is wrong with those, by feature.
    findings: what is wrong with the layer as a whole and with features that have no place.
    """

    title: str
    numbers: Sequence[int]
    crs: str | None
    stated: bool
    geographic: bool
    parts: np.ndarray
    owners: np.ndarray
    digests: list[bytes]
    bounds: tuple[float, float, float, float]
    largest: float
    tree: Any
    labels: list[str | None]
    unlabelled: dict[int, Finding]
    findings: list[Finding]

    def name_findings(self, defects: Mapping[int, Finding]) -> list[Finding]:
        """One finding for each thing that is wrong with features, which are named in it."""
        return _name_findings(self.title, self.numbers, defects)


def load_layers(path: str | os.PathLike, options: LabelOptions) -> tuple[Layer, ...]:
    """All layers of a .geojson, .json or .gpkg file; read once a process as long as the file does not change.

    Raises AnnotationError where the file or its CRS cannot be used at all. May be called by several threads.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        remedy = "restore the file, or correct dataset.source"
        raise AnnotationError(Finding("broken_annotation", f"cannot be read: {error.strerror}", remedy)) from error
    names = tuple(options.classes)
    with _loading:
        layers, findings = _load(os.fspath(path), status.st_mtime_ns, status.st_size, options.label_field, names)
    if findings:
        raise AnnotationError(*findings)
    return layers


@functools.lru_cache(maxsize=2)
def _load(
    path: str, modified: int, size: int, label_field: str, names: tuple[str, ...]
) -> tuple[tuple[Layer, ...], tuple[Finding, ...]]:
    """The layers, or why there are none."""
    try:
        return tuple(_layer(stored, label_field, names) for stored in read_features(path, label_field)), ()
    except AnnotationError as error:
        return (), error.findings


def _layer(stored: Features, label_field: str, names: tuple[str, ...]) -> Layer:
    import shapely

    try:
        geographic = stored.crs is not None and is_geographic(stored.crs)
    except MaskmillError as error:
        raise AnnotationError(unknown_crs(str(error))) from error
    geometries, defects = _usable(stored.geometries, stored.defects)
    parts, owners = shapely.get_parts(geometries, return_index=True)
    parts, owners = parts[~shapely.is_empty(parts)], owners[~shapely.is_empty(parts)]
    bounds = shapely.bounds(parts)
    tree = shapely.STRtree(parts)
    tree.query(shapely.Point(0, 0))  # the tree is built by its first use, which threads must not share
    labels, unlabelled, finding = _labels(stored, label_field, names)
    return Layer(
        title=stored.title,
        numbers=stored.numbers,
        crs=stored.crs,
        stated=stored.stated,
        geographic=geographic,
        parts=parts,
        owners=owners,
        digests=[hashlib.sha256(binary).digest() for binary in shapely.to_wkb(parts)],
        bounds=tuple(shapely.total_bounds(parts).tolist()) if len(parts) else (math.nan,) * 4,
        largest=float((bounds[:, 2:] - bounds[:, :2]).max(initial=0)),
        tree=tree,
        labels=labels,
        unlabelled=unlabelled,
        findings=[*_name_findings(stored.title, stored.numbers, defects), *finding],
    )


def _usable(geometries: np.ndarray, defects: Mapping[int, Finding]) -> tuple[np.ndarray, dict[int, Finding]]:
    """Geometries in 2D, None in place of those that cannot be drawn, and what is wrong with these."""
    import shapely

    geometries, defects = shapely.force_2d(geometries), dict(defects)
    known = np.isin(shapely.get_type_id(geometries), [shapely.GeometryType[name.upper()] for name in GEOMETRY_TYPES])
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    infinite = np.unique(owners[~np.isfinite(coordinates).all(axis=1)])
    missing, empty = shapely.is_missing(geometries), shapely.is_empty(geometries)
    for index in np.flatnonzero(missing | empty | ~known).tolist():
        if missing[index] or known[index]:
            what = "no geometry" if missing[index] else "an empty geometry"
            defects.setdefault(index, Finding("degenerate_shape", what, FEATURE_REMEDY))
        else:
            defects.setdefault(index, wrong_type(geometries[index].geom_type))
    for index in infinite.tolist():
        defects[index] = NOT_FINITE
    geometries[list(defects)] = None
    return geometries, defects


def _labels(
    stored: Features, label_field: str, names: tuple[str, ...]
) -> tuple[list[str | None], dict[int, Finding], list[Finding]]:
    """Labels of the features, what is wrong with single ones, and with all."""
    count = len(stored.numbers)
    values = next((found for found in stored.label_values if not all(map(_is_missing, found))), None)
    if values is None:
        if stored.title in names or len(names) == 1 or not count:
            return [stored.title if stored.title in names else names[0]] * count, {}, []
        present = ", ".join(stored.properties[:_LISTED]) or "none"
        detail = f'{_prefix(stored.title)}no feature has a value of the property "{label_field}"; there are: {present}'
        remedy = "name the property that holds the labels in dataset.source.label_field"
        return [None] * count, {}, [Finding("unknown_label", detail, remedy)]
    labels, wrong = [], {}
    for index, value in enumerate(values):
        labels.append(_label_text(value))
        if labels[-1] is None:
            detail = f'no value of the property "{label_field}"'
            if not _is_missing(value):
                detail = f'the label {shown(value)}, which is neither text nor a number, in "{label_field}"'
            wrong[index] = Finding("unknown_label", detail, "give the feature the name of its class, or delete it")
    return labels, wrong, []


def _is_missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float | np.floating) and math.isnan(value))


def _label_text(value: Any) -> str | None:
    """A label as text, a whole number without a fraction; None where it is none."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number) or _is_missing(value):
        return None
    return f"{value:.0f}" if float(value).is_integer() else str(float(value))


def _prefix(title: str) -> str:
    return f'layer "{title}": ' if title else ""


def _name_findings(title: str, numbers: Sequence[int], defects: Mapping[int, Finding]) -> list[Finding]:
    members = defaultdict(list)
    for index, defect in sorted(defects.items()):
        members[defect].append(numbers[index])
    return [
        Finding(defect.kind, f"{_prefix(title)}{_named(found)} {defect.detail}", defect.remedy)
        for defect, found in members.items()
    ]


def _named(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"feature {numbers[0]} has"
    more = f" and {len(numbers) - _LISTED} more" if len(numbers) > _LISTED else ""
    return f"features {', '.join(map(str, numbers[:_LISTED]))}{more} have"
