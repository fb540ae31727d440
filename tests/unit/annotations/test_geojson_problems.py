"""Whatever is wrong with a layer, or with its place over a picture, is found and said."""

import sqlite3

import numpy as np
import pytest
from PIL import Image

from maskmill.annotations import geojson
from maskmill.annotations.shapes import AnnotationError
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


def findings(path, image, options=OPTIONS):
    with pytest.raises(AnnotationError) as caught:
        geojson.read(path, image, options)
    return [(finding.kind, finding.detail) for finding in caught.value.findings]


BROKEN_FILES = {
    "nothing in it": (b"", "broken_annotation", "not valid JSON"),
    "cut off": (b'{"type": "FeatureCollection", "features": [', "broken_annotation", "not valid JSON"),
    "another encoding": ('{"a": "ü"}'.encode("latin-1"), "broken_annotation", "not valid JSON"),
    "too deep": (b"[" * 100_000, "broken_annotation", "not valid JSON"),
    "a labelme file": (b'{"shapes": []}', "broken_annotation", "not GeoJSON: it has no type"),
    "TopoJSON": (b'{"type": "Topology"}', "broken_annotation", 'its type is "Topology"'),
    "no list": (b'{"type": "FeatureCollection", "features": {}}', "broken_annotation", "not GeoJSON"),
    "a list of numbers": (b"[1, 2]", "broken_annotation", "not GeoJSON: it has no type"),
    "a number": (b"1", "broken_annotation", "not GeoJSON: it has no type"),
    "linked CRS": (
        b'{"type": "FeatureCollection", "features": [], "crs": {"type": "link", "properties": {"href": "http://a"}}}',
        "crs_mismatch",
        'the member "crs" names none that is known: {"type": "link"',
    ),
    "address as CRS": (
        b'{"type": "FeatureCollection", "features": [], "crs": {"properties": {"name": "http://127.0.0.1:1/a"}}}',
        "crs_mismatch",
        "names none that is known",
    ),
    "text as CRS": (
        b'{"type": "FeatureCollection", "features": [], "crs": "EPSG:4326"}',
        "crs_mismatch",
        "names none that is known",
    ),
    "unknown CRS": (
        b'{"type": "FeatureCollection", "features": [], "crs": {"properties": {"name": "EPSG:999999"}}}',
        "crs_mismatch",
        '"EPSG:999999" is no coordinate reference system that is known',
    ),
}


@pytest.mark.parametrize("case", BROKEN_FILES)
def test_file_that_cannot_be_used(tmp_path, plain, case):
    content, kind, detail = BROKEN_FILES[case]
    (tmp_path / "a.geojson").write_bytes(content)
    ((found_kind, found_detail),) = findings(tmp_path / "a.geojson", plain)
    assert (found_kind, detail in found_detail) == (kind, True), found_detail
    with pytest.raises(AnnotationError):
        geojson.layer_digest(tmp_path / "a.geojson", plain, OPTIONS)


BROKEN_FEATURES = {
    "null geometry": (feature(None), "degenerate_shape", "no geometry"),
    "no member geometry": ({"type": "Feature", "properties": {}}, "degenerate_shape", "no geometry"),
    "empty polygon": (feature(polygon()), "degenerate_shape", "an empty geometry"),
    "empty parts": (feature({"type": "MultiPolygon", "coordinates": [[]]}), "degenerate_shape", "an empty geometry"),
    "not a number": (
        feature(polygon([[0, 0], [float("nan"), 9], [9, 0], [0, 0]])),
        "broken_annotation",
        "a coordinate that is no finite number",
    ),
    "infinite": (
        feature({"type": "Point", "coordinates": [1, float("inf")]}),
        "broken_annotation",
        "a coordinate that is no finite number",
    ),
    "text for a number": (
        feature({"type": "Point", "coordinates": ["1", "2"]}),
        "broken_annotation",
        "coordinates that make no Point",
    ),
    "null for a number": (
        feature({"type": "Point", "coordinates": [1, None]}),
        "broken_annotation",
        "coordinates that make no Point",
    ),
    "one number": (feature({"type": "Point", "coordinates": [1]}), "broken_annotation", "make no Point"),
    "ring of two points": (feature(polygon([[0, 0], [9, 9]])), "broken_annotation", "make no Polygon"),
    "ring a level too high": (
        feature({"type": "Polygon", "coordinates": SQUARE}),
        "broken_annotation",
        "make no Polygon",
    ),
    "line of one point": (
        feature({"type": "LineString", "coordinates": [[1, 2]]}),
        "broken_annotation",
        "make no LineString",
    ),
    "no coordinates": (feature({"type": "Polygon"}), "broken_annotation", "coordinates that make no Polygon"),
    "unknown type": (
        feature({"type": "Circle", "coordinates": [1, 2]}),
        "broken_annotation",
        'a geometry of the type "Circle"',
    ),
    "no type": (feature({"coordinates": [1, 2]}), "broken_annotation", "a geometry of the type null"),
    "geometry is text": (feature("POINT (1 2)"), "broken_annotation", "a geometry of the type null"),
    "collection": (
        feature({"type": "GeometryCollection", "geometries": [polygon(SQUARE)]}),
        "broken_annotation",
        'a geometry of the type "GeometryCollection"',
    ),
    "a feature within": (feature(feature(polygon(SQUARE))), "broken_annotation", 'a geometry of the type "Feature"'),
    "no feature": ({"geometry": polygon(SQUARE)}, "broken_annotation", 'no "type": "Feature"'),
    "text": ("feature", "broken_annotation", 'no "type": "Feature"'),
    "another slice": (
        feature(polygon(SQUARE) | {"plane": {"c": -1, "z": 3, "t": 0}}),
        "unexpected_value",
        "a place in slice z = 3, t = 0 of a stack",
    ),
}


@pytest.mark.parametrize("case", BROKEN_FEATURES)
def test_feature_without_a_place(tmp_path, plain, case):
    """It may belong to any picture, so all learn of it; the digest changes when it is mended."""
    broken, kind, detail = BROKEN_FEATURES[case]
    path = write_geojson(tmp_path / "a.geojson", feature(polygon(SQUARE)), broken, broken)
    ((found_kind, found_detail),) = findings(path, plain, BUILDINGS)
    assert (found_kind, found_detail.startswith("features 2, 3 have ")) == (kind, True), found_detail
    assert detail in found_detail
    sound = geojson.layer_digest(write_geojson(tmp_path / "b.geojson", feature(polygon(SQUARE))), plain, BUILDINGS)
    assert geojson.layer_digest(path, plain, BUILDINGS) != sound


@pytest.mark.parametrize(
    ("properties", "detail"),
    [
        ({}, 'feature 2 has no value of the property "label"'),
        ({"label": None}, "feature 2 has no value"),
        ({"label": ""}, "feature 2 has no value"),
        ({"label": True}, "feature 2 has the label true, which is neither text nor a number"),
        ({"label": ["road"]}, 'the label ["road"], which is neither'),
        ({"label": float("nan")}, "feature 2 has no value"),
    ],
)
def test_feature_without_a_label_concerns_the_pictures_it_lies_over(tmp_path, picture, properties, detail):
    labelled = feature(polygon(on_map(picture, SQUARE)), label="road")
    near = write_geojson(tmp_path / "a.geojson", labelled, feature(labelled["geometry"], **properties))
    ((kind, found),) = findings(near, picture)
    assert (kind, detail in found) == ("unknown_label", True), found
    elsewhere = feature(polygon(on_map(picture, moved(SQUARE, 300))), **properties)
    far = write_geojson(tmp_path / "b.geojson", labelled, elsewhere)
    assert [shape.label for shape in geojson.read(far, picture, OPTIONS).shapes] == ["road"]


def test_layer_without_labels(tmp_path, plain):
    path = write_geojson(tmp_path / "a.geojson", feature(polygon(SQUARE), use="road", height=3), name="map")
    assert findings(path, plain) == [
        ("unknown_label", 'layer "map": no feature has a value of the property "label"; there are: height, use')
    ]


def test_all_that_is_wrong_is_said_at_once(tmp_path, plain):
    features = [feature(None, label="road")] * 20 + [feature(polygon(SQUARE)), feature(polygon(SQUARE), label="road")]
    features += [feature({"type": "Point", "coordinates": [float("inf"), 0]}, label="road")]
    named = ", ".join(map(str, range(1, 13)))
    assert findings(write_geojson(tmp_path / "a.geojson", *features), plain) == [
        ("degenerate_shape", f"features {named} and 8 more have no geometry"),
        ("broken_annotation", "feature 23 has a coordinate that is no finite number"),
        ("unknown_label", 'feature 21 has no value of the property "label"'),
    ]


def near_munich(*rings, **members):
    return [feature(polygon(ring), label="road") for ring in rings], members


LONG_LAT = [[11.5679, 48.1485], [11.5682, 48.1485], [11.5682, 48.1483], [11.5679, 48.1485]]
METRES = [[691_001, 5_335_999], [691_020, 5_335_999], [691_020, 5_335_980], [691_001, 5_335_999]]

MISPLACED = {
    "CRS over a plain picture": (
        "plain",
        near_munich(METRES, crs=named_crs(UTM)),
        "missing_georeference",
        "EPSG:32632",
    ),
    "degrees over a plain picture": ("plain", near_munich(LONG_LAT), "missing_georeference", "look like degrees"),
    "drawn upwards": (
        "plain",
        near_munich([[x, -y] for x, y in SQUARE]),
        "missing_georeference",
        "all y are negative (-42 to -12)",
    ),
    "metres without a CRS": (
        "picture",
        near_munich(METRES),
        "crs_mismatch",
        "states no CRS, which means longitude and latitude, but its coordinates are no degrees: x from 691001",
    ),
    "metres called degrees": (
        "picture",
        near_munich(METRES, crs=named_crs("EPSG:4326")),
        "crs_mismatch",
        "is in EPSG:4326, but its coordinates are no degrees",
    ),
    "latitude first": (
        "picture",
        near_munich([[y, x] for x, y in LONG_LAT]),
        "crs_mismatch",
        "only if y is read as longitude",
    ),
    "CRS null": ("picture", near_munich(METRES, crs=None), "crs_mismatch", "the layer states no CRS"),
    "picture without CRS": ("world", near_munich(LONG_LAT), "crs_mismatch", "has a transform, but states no CRS"),
    "broken .prj": ("broken", near_munich(LONG_LAT), "crs_mismatch", "is no coordinate reference system"),
    "unrelated CRS": ("moon", near_munich(LONG_LAT), "crs_mismatch", "nothing leads from Moon"),
    "missing picture": ("missing", near_munich(LONG_LAT), "broken_image", "there is no such file"),
}

MOON = (
    'GEOGCRS["Moon",DATUM["Moon",ELLIPSOID["Moon",1737400,0]],CS[ellipsoidal,2],AXIS["latitude",north],'
    'AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433]]'
)


@pytest.mark.parametrize("case", MISPLACED)
def test_layer_that_cannot_be_laid_over_the_picture(tmp_path, picture, plain, case):
    kind_of_picture, (features, members), kind, detail = MISPLACED[case]
    pictures = {"picture": picture, "plain": plain, "missing": tmp_path / "missing.png"}
    for name in ("world", "broken"):
        Image.new("L", (80, 60)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.pgw").write_text("0.5\n0\n0\n-0.5\n691000.25\n5335999.75\n")
        pictures[name] = tmp_path / f"{name}.png"
    (tmp_path / "broken.prj").write_text("here")
    pictures["moon"] = write_geotiff(tmp_path / "moon.tif", crs=MOON, transform=(1e-5, 0, 11, 0, -1e-5, 48))
    path = write_geojson(tmp_path / "a.geojson", *features, **members)
    ((found_kind, found_detail),) = findings(path, pictures[kind_of_picture])
    assert (found_kind, detail in found_detail) == (kind, True), found_detail
    with pytest.raises(AnnotationError):
        geojson.layer_digest(path, pictures[kind_of_picture], OPTIONS)


@pytest.mark.filterwarnings("ignore:GPKG:RuntimeWarning")
def test_geopackage_that_cannot_be_used(tmp_path, picture):
    (tmp_path / "text.gpkg").write_text("hello")
    assert findings(tmp_path / "text.gpkg", picture) == [
        ("broken_annotation", "not a GeoPackage: it is no SQLite database")
    ]
    assert findings(tmp_path / "missing.gpkg", picture)[0][1] == "cannot be read: No such file or directory"
    sound = write_geopackage(
        tmp_path / "sound.gpkg", {"a": [feature(polygon(on_map(picture, SQUARE, UTM)), label="road")]}
    ).read_bytes()
    (tmp_path / "cut.gpkg").write_bytes(sound[:5000])
    assert findings(tmp_path / "cut.gpkg", picture)[0][0] == "broken_annotation"
    with sqlite3.connect(tmp_path / "other.gpkg") as database:
        database.execute("CREATE TABLE a (b)")
    database.close()
    assert findings(tmp_path / "other.gpkg", picture)[0][0] == "broken_annotation"


def test_geopackage_without_geometries_is_refused(tmp_path, picture):
    path = write_geopackage(tmp_path / "a.gpkg", {"a": [feature(polygon(METRES), label="road")]})
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gpkg_contents SET data_type = 'attributes'")
        database.execute("DELETE FROM gpkg_geometry_columns")
    database.close()
    assert findings(path, picture) == [
        ("broken_annotation", "no GeoPackage with features: none of its tables has geometries")
    ]


def test_broken_features_of_a_geopackage_are_named(tmp_path, picture):
    ring = on_map(picture, SQUARE, UTM)
    features = [feature(polygon(ring), label="road"), feature(None, label="road"), feature(polygon(ring), label=None)]
    collection = {"type": "GeometryCollection", "geometries": [polygon(ring)]}
    features += [feature(collection, label="road"), feature({"type": "Polygon", "coordinates": []}, label="road")]
    path = write_geopackage(tmp_path / "a.gpkg", {"sites": features})
    assert findings(path, picture) == [
        ("degenerate_shape", 'layer "sites": feature 2 has no geometry'),
        (
            "broken_annotation",
            'layer "sites": feature 4 has a geometry of the type "GeometryCollection", where polygons, lines and '
            "points are read",
        ),
        ("degenerate_shape", 'layer "sites": feature 5 has an empty geometry'),
        ("unknown_label", 'layer "sites": feature 3 has no value of the property "label"'),
    ]


def test_dates_and_truth_values_of_a_geopackage_are_none(tmp_path, picture):
    ring = on_map(picture, SQUARE, UTM)
    for number, values in enumerate([[True, False], np.array(["2024-05-01", "2024-05-02"], dtype="datetime64[ms]")]):
        path = tmp_path / f"{number}.gpkg"
        write_geopackage(path, {"a": [feature(polygon(ring), label=value) for value in values]})
        assert {kind for kind, _ in findings(path, picture)} == {"unknown_label"}


@pytest.mark.parametrize("srs", [-1, 0])
def test_geopackage_in_an_undefined_crs(tmp_path, picture, plain, srs):
    """Over a picture without georeference its coordinates are pixels; over any other nothing can be told."""
    path = write_geopackage(tmp_path / "a.gpkg", {"a": [feature(polygon(SQUARE), label="road")]})
    with sqlite3.connect(path) as database:
        for table in ("gpkg_contents", "gpkg_geometry_columns"):
            database.execute(f"UPDATE {table} SET srs_id = {srs}")
    database.close()
    assert len(geojson.read(path, plain, OPTIONS).shapes) == 1
    ((kind, detail),) = findings(path, picture)
    assert (kind, "the layer states no CRS" in detail) == ("crs_mismatch", True)


def test_geopackage_over_a_plain_picture(tmp_path, plain):
    path = write_geopackage(tmp_path / "a.gpkg", {"a": [feature(polygon(METRES), label="road")]})
    ((kind, detail),) = findings(path, plain)
    assert (kind, "is in EPSG:32632" in detail) == ("missing_georeference", True)
