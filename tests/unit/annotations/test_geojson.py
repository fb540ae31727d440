"""Layers over pictures: features land on their pixels with their labels."""

import dataclasses
import json
from contextlib import nullcontext

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskmill.annotations import geojson
from maskmill.annotations.formats import LabelOptions, read_annotation
from maskmill.annotations.shapes import FARTHEST
from maskmill.imaging.georeference import WGS84
from tests.unit.annotations.geo_data import (
    BUILDINGS,
    OPTIONS,
    SQUARE,
    UTM,
    feature,
    moved,
    named_crs,
    on_map,
    polygon,
    write_geojson,
    write_geopackage,
    write_geotiff,
)


def describe(annotation):
    """Label, kind, rounded points and holes, and group of all shapes."""
    return [
        (s.label, s.kind, s.points.round(3).tolist(), [hole.round(3).tolist() for hole in s.holes], s.group_id)
        for s in annotation.shapes
    ]


def test_features_of_all_kinds(tmp_path, picture):
    hole, part = [*moved(SQUARE, 5, 5)[:2], [20, 30], [15, 17]], moved(SQUARE, 38)
    geometries = [
        polygon(SQUARE, hole),
        {"type": "MultiPolygon", "coordinates": [[SQUARE, hole], [part]]},
        {"type": "LineString", "coordinates": [[0, 0], [9, 9]]},
        {"type": "MultiLineString", "coordinates": [[[0, 0], [9, 9], [9, 0]], [[1, 1], [2, 2]]]},
        {"type": "Point", "coordinates": [3.5, 4.5]},
        {"type": "MultiPoint", "coordinates": [[3, 4], [5, 6]]},
    ]
    features = [
        feature({**geometry, "coordinates": on_map(picture, geometry["coordinates"])}, label=label)
        for geometry, label in zip(geometries, ("building", "road", "road", "road", "building", "road"), strict=True)
    ]
    annotation = geojson.read(write_geojson(tmp_path / "a.geojson", *features), picture, OPTIONS)
    outline, inner = SQUARE[:-1], hole[:-1]
    assert describe(annotation) == [
        ("building", "polygon", outline, [inner], None),
        ("road", "polygon", outline, [inner], 1),
        ("road", "polygon", part[:-1], [], 1),
        ("road", "line", [[0, 0], [9, 9]], [], None),
        ("road", "linestrip", [[0, 0], [9, 9], [9, 0]], [], 2),
        ("road", "line", [[1, 1], [2, 2]], [], 2),
        ("building", "point", [[3.5, 4.5]], [], None),
        ("road", "point", [[3, 4]], [], 3),
        ("road", "point", [[5, 6]], [], 3),
    ]
    assert (annotation.height, annotation.width, annotation.label_values) == (None, None, None)
    assert all(shape.points.dtype == np.float64 and shape.defect() is None for shape in annotation.shapes)


def test_all_layers_of_a_geopackage(tmp_path, picture):
    def ring(x):
        return on_map(picture, moved(SQUARE, x), UTM)

    path = write_geopackage(
        tmp_path / "a.gpkg",
        {
            "first": [feature(polygon(ring(0)), label="road"), feature(polygon(ring(9)), label="building")],
            "building": [feature(polygon(ring(20)), height=3)],
            "empty": [],
        },
    )
    annotation = geojson.read(path, picture, OPTIONS)
    assert [shape.label for shape in annotation.shapes] == ["road", "building", "building"]
    np.testing.assert_allclose(annotation.shapes[2].points, moved(SQUARE, 20)[:-1], atol=1e-6)


def test_read_through_the_formats(tmp_path, picture):
    path = write_geojson(tmp_path / "a.json", feature(polygon(on_map(picture, SQUARE)), label="road"))
    sample = {"format": "geojson", "annotation": str(path), "entry": "", "image": str(picture)}
    (shape,) = read_annotation(sample, OPTIONS).shapes
    np.testing.assert_allclose(shape.points, SQUARE[:-1], atol=1e-3)


@pytest.mark.parametrize(
    ("crs", "name"),
    [
        (UTM, "urn:ogc:def:crs:EPSG::32632"),
        (UTM, "EPSG:32632"),
        (UTM, "urn:x-ogc:def:crs:EPSG:32632"),
        ("EPSG:3857", "urn:ogc:def:crs:EPSG:6.9:3857"),
        ("EPSG:3857", "http://www.opengis.net/def/crs/EPSG/0/3857"),
        ("EPSG:31468", "urn:ogc:def:crs:EPSG::31468"),  # northing first by its definition
        (WGS84, "urn:ogc:def:crs:OGC:1.3:CRS84"),
        (WGS84, "urn:ogc:def:crs:EPSG::4326"),
        (WGS84, "EPSG:4326"),
    ],
)
def test_crs_member_of_geojson_2008(tmp_path, picture, crs, name):
    """As QGIS writes it: the easting or longitude is first in every CRS."""
    drawn = feature(polygon(on_map(picture, SQUARE, crs)), label="road")
    path = write_geojson(tmp_path / "a.geojson", drawn, name="a", crs=named_crs(name))
    (shape,) = geojson.read(path, picture, OPTIONS).shapes
    np.testing.assert_allclose(shape.points, SQUARE[:-1], atol=1e-3)


def test_crs_code_of_the_oldest_files(tmp_path, picture):
    drawn = feature(polygon(on_map(picture, SQUARE, UTM)), label="road")
    path = write_geojson(tmp_path / "a.geojson", drawn, crs={"type": "EPSG", "properties": {"code": 32632}})
    assert len(geojson.read(path, picture, OPTIONS).shapes) == 1


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857", UTM, "EPSG:25832", None])
def test_geopackage_in_any_crs_over_any_picture(tmp_path, crs):
    """Of a GeoPackage in EPSG:4326, whose axes GDAL swaps by its definition, the longitude is still first."""
    for number, (own, transform) in enumerate(
        [
            (UTM, (0.3, 0.4, 691_000, 0.4, -0.3, 5_336_000)),
            ("EPSG:4326", (1e-5, 0, 11.5, 0, -1e-5, 48.1)),
            (None, (0.5, 0, 70, 0, -0.5, 90)),
        ]
    ):
        if (crs is None) != (own is None):
            continue
        path = write_geotiff(tmp_path / f"{number}.tif", crs=own, transform=transform)
        ring = [[70 + x / 2, 90 - y / 2] for x, y in SQUARE] if crs is None else on_map(path, SQUARE, crs)
        with pytest.warns(UserWarning, match="crs") if crs is None else nullcontext():
            layer = write_geopackage(tmp_path / f"{number}.gpkg", {"a": [feature(polygon(ring), label="road")]}, crs)
        (shape,) = geojson.read(layer, path, OPTIONS).shapes
        np.testing.assert_allclose(shape.points, SQUARE[:-1], atol=1e-3)


@pytest.mark.parametrize(
    ("label_field", "properties", "options", "expected"),
    [
        ("label", {"label": "road"}, OPTIONS, "road"),
        ("label", {"label": 3}, OPTIONS, "3"),
        ("label", {"label": 3.0}, OPTIONS, "3"),
        ("label", {"label": 2.5}, OPTIONS, "2.5"),
        ("class", {"label": "road", "class": "building"}, OPTIONS, "building"),
        ("tags.use", {"tags": {"use": "road"}}, OPTIONS, "road"),
        ("tags.use", {"tags": {"use": "road"}, "tags.use": "building"}, OPTIONS, "building"),
        ("label", {"classification": {"name": "road", "colorRGB": -3}}, OPTIONS, "road"),
        ("label", {"classification": {"names": ["road", "wide"]}}, OPTIONS, "road: wide"),
        ("label", {"label": "building", "classification": {"name": "road"}}, OPTIONS, "building"),
        ("label", {"height": 3}, BUILDINGS, "building"),
        ("label", {"label": None}, BUILDINGS, "building"),
        ("label", {"label": ""}, BUILDINGS, "building"),
        ("label", {"label": "road"}, BUILDINGS, "road"),
        ("label", {}, LabelOptions({"building": "#ff0000"}), "building"),
    ],
)
def test_label_of_a_feature(tmp_path, picture, label_field, properties, options, expected):
    path = write_geojson(tmp_path / "a.geojson", feature(polygon(on_map(picture, SQUARE)), **properties))
    (shape,) = geojson.read(path, picture, dataclasses.replace(options, label_field=label_field)).shapes
    assert shape.label == expected


def test_name_of_a_layer_is_a_label(tmp_path, picture):
    drawn = {"type": "Feature", "properties": None, "geometry": polygon(on_map(picture, SQUARE))}
    path = write_geojson(tmp_path / "a.geojson", drawn, name="road")
    assert [shape.label for shape in geojson.read(path, picture, OPTIONS).shapes] == ["road"]


def test_pixel_coordinates_of_qupath(tmp_path, plain):
    """A plain list of features, in the pixels of a picture without georeference."""
    properties = {"objectType": "annotation", "classification": {"name": "road", "color": [1, 2, 3]}, "isLocked": True}
    geometry = polygon(SQUARE) | {"plane": {"c": -1, "z": 0, "t": 0}}
    (tmp_path / "a.geojson").write_text(json.dumps([feature(geometry, **properties) | {"id": "x"}] * 2))
    assert (
        describe(geojson.read(tmp_path / "a.geojson", plain, OPTIONS))
        == [("road", "polygon", SQUARE[:-1], [], None)] * 2
    )


@pytest.mark.parametrize(
    "content",
    [
        feature(polygon(SQUARE), label="building"),
        polygon(SQUARE),
        {"type": "FeatureCollection", "features": [feature(polygon(SQUARE))], "crs": None},
        {"type": "FeatureCollection", "features": [feature(polygon(SQUARE[:-1]))]},  # an open ring
        feature({"type": "MultiPolygon", "coordinates": [[], [SQUARE]]}),
        {"type": "FeatureCollection", "features": [feature(polygon([[*xy, 312.5] for xy in SQUARE]))]},
    ],
)
def test_variants_of_geojson_text(tmp_path, plain, content):
    """One feature or geometry, open rings, empty parts and heights: the same polygon is read."""
    (tmp_path / "a.geojson").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    (shape,) = geojson.read(tmp_path / "a.geojson", plain, BUILDINGS).shapes
    np.testing.assert_array_equal(shape.points, SQUARE[:-1])


def test_self_intersecting_polygon_is_kept(tmp_path, plain):
    bowtie = [[10, 10], [30, 30], [30, 10], [10, 30], [10, 10]]
    (shape,) = geojson.read(write_geojson(tmp_path / "a.geojson", feature(polygon(bowtie))), plain, BUILDINGS).shapes
    np.testing.assert_array_equal(shape.points, bowtie[:-1])


def test_only_what_lies_over_the_picture(tmp_path, plain):
    """Points and lines reach 5 pixels beyond themselves; a polygon that only touches the picture is left out."""
    names = {
        "inside": polygon(SQUARE),
        "partly": polygon(moved(SQUARE, 60)),
        "touching": polygon(moved(SQUARE, 70)),
        "around": polygon([[-9, -9], [99, -9], [99, 99], [-9, 99], [-9, -9]]),
        "beside": polygon(moved(SQUARE, 100)),
        "near point": {"type": "Point", "coordinates": [84, 30]},
        "far point": {"type": "Point", "coordinates": [86, 30]},
        "near line": {"type": "LineString", "coordinates": [[-4, 0], [-4, 90]]},
        "far line": {"type": "LineString", "coordinates": [[-6, 0], [-6, 90]]},
        "bounds alone": {"type": "LineString", "coordinates": [[-50, 30], [-50, 120], [40, 120]]},
    }
    path = write_geojson(tmp_path / "a.geojson", *(feature(shape, label=name) for name, shape in names.items()))
    found = [shape.label for shape in geojson.read(path, plain, OPTIONS).shapes]
    assert found == ["inside", "partly", "around", "near point", "near line"]


def test_layer_elsewhere_leaves_the_picture_empty(tmp_path, picture):
    elsewhere = feature(polygon(on_map(picture, moved(SQUARE, 5000))), label="road")
    assert geojson.read(write_geojson(tmp_path / "a.geojson", elsewhere), picture, OPTIONS).shapes == ()
    assert geojson.read(write_geojson(tmp_path / "b.geojson"), picture, OPTIONS).shapes == ()
    assert geojson.read(write_geopackage(tmp_path / "c.gpkg", {"a": []}), picture, OPTIONS).shapes == ()


def test_what_goes_on_far_away_is_cut_off_there(tmp_path, picture):
    """Land without the picture's lake, and a river, both going on around the Earth."""
    lake = on_map(picture, SQUARE)
    land = polygon([[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]], lake)
    river = {"type": "LineString", "coordinates": [[-180, lake[0][1]], *lake[:3], [180, lake[2][1]]]}
    twist = polygon([[-170, -80], lake[0], [-170, 80], [170, -80], lake[2], [170, 80], [-170, -80]])
    features = [feature(geometry, label="road") for geometry in (land, river, twist)]
    ground, *waters = geojson.read(write_geojson(tmp_path / "a.geojson", *features), picture, OPTIONS).shapes
    np.testing.assert_allclose(np.sort(ground.holes[0], axis=0), np.sort(SQUARE[:-1], axis=0), atol=1e-3)
    assert shapely.Polygon(ground.points).contains(shapely.box(-70, -70, 150, 130))
    assert max(np.abs(shape.points).max() for shape in (ground, *waters)) < 300
    assert [shape.kind for shape in waters[:1]] == ["linestrip"]
    assert len(waters) > 1


def test_coordinates_stay_within_what_can_be_drawn(tmp_path, plain):
    far = polygon([[-1e12, -1e12], [1e12, -1e12], [1e12, 1e12], [-1e12, 1e12]], SQUARE)
    (shape,) = geojson.read(write_geojson(tmp_path / "a.geojson", feature(far)), plain, BUILDINGS).shapes
    assert (np.abs(shape.points).max() <= FARTHEST, len(shape.holes), shape.defect()) == (True, 1, None)


def test_parts_of_what_is_cut_are_one_object(tmp_path, plain):
    """A comb whose back lies beyond the cut: its teeth remain, one object."""
    comb = polygon([[10, 10], [20, 10], [20, -900], [30, -900], [30, 10], [40, 10], [40, -990], [10, -990]])
    path = write_geojson(tmp_path / "a.geojson", feature(polygon(SQUARE)), feature(comb), feature(polygon(SQUARE)))
    shapes = geojson.read(path, plain, BUILDINGS).shapes
    assert [shape.group_id for shape in shapes] == [None, 1, 1, None]


def test_across_the_antimeridian(tmp_path):
    """RFC 7946 cuts geometries at 180°; both halves lie on the picture, whatever its CRS."""
    places = {
        "EPSG:32601": (100, 0, 310_000, 0, -100, 7_400_000),
        "EPSG:4326": (0.01, 0, 179.6, 0, -0.01, 66.6),
        "EPSG:3832": (100, 0, 3_300_000, 0, -100, 9_900_000),
    }
    halves = [polygon([[x, 66.1], [x + 0.2, 66.1], [x + 0.2, 66.4], [x, 66.4]]) for x in (179.8, -180)]
    halves += [polygon([[180, 66.1], [180.2, 66.1], [180.2, 66.4], [180, 66.4]])]
    path = write_geojson(tmp_path / "a.geojson", *map(feature, halves))
    for number, (crs, transform) in enumerate(places.items()):
        picture = write_geotiff(tmp_path / f"{number}.tif", crs=crs, transform=transform, width=1000, height=1000)
        west, east, same = (shape.points for shape in geojson.read(path, picture, BUILDINGS).shapes)
        np.testing.assert_allclose(west[1], east[0], atol=0.01)
        np.testing.assert_allclose(west[2], east[3], atol=0.01)
        np.testing.assert_allclose(east, same, atol=0.01)


quadrangles = st.lists(st.tuples(st.floats(1, 79), st.floats(1, 59)), min_size=3, max_size=6, unique=True).filter(
    lambda points: shapely.Polygon(points).area > 1
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=quadrangles,
    degrees=st.floats(0, 360),
    size=st.floats(0.05, 50),
    place=st.sampled_from(["EPSG:32632", "EPSG:3857", "EPSG:4326", "EPSG:3035"]),
    crs=st.sampled_from([WGS84, "EPSG:32632", "EPSG:3857", "EPSG:25832"]),
)
def test_points_return_to_their_pixels(tmp_path, points, degrees, size, place, crs):
    """Pixels to the map, the layer's CRS and back differ by less than a hundredth of a pixel."""
    corner = {
        "EPSG:32632": (691_000, 5_336_000),
        "EPSG:3857": (1_287_000, 6_130_000),
        "EPSG:4326": (11.57, 48.14),
        "EPSG:3035": (4_437_000, 2_780_000),
    }[place]
    size = size / 1e5 if place == "EPSG:4326" else size
    c, s = size * np.cos(np.radians(degrees)), size * np.sin(np.radians(degrees))
    picture = write_geotiff(tmp_path / "p.tif", crs=place, transform=(c, s, corner[0], s, -c, corner[1]))
    ring = [list(point) for point in points]
    drawn = feature(polygon(on_map(picture, [*ring, ring[0]], crs)), label="road")
    path = write_geojson(tmp_path / "a.geojson", drawn, crs=named_crs(crs))
    (shape,) = geojson.read(path, picture, OPTIONS).shapes
    np.testing.assert_allclose(shape.points, ring, atol=0.01)


@pytest.mark.parametrize(("values", "labels"), [([1, 2], ["1", "2"]), ([1.5, 2.0], ["1.5", "2"])])
def test_numbers_of_a_geopackage_are_labels(tmp_path, picture, values, labels):
    ring = on_map(picture, SQUARE, UTM)
    path = write_geopackage(tmp_path / "a.gpkg", {"a": [feature(polygon(ring), label=value) for value in values]})
    assert [shape.label for shape in geojson.read(path, picture, OPTIONS).shapes] == labels
