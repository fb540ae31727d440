"""A layer over many pictures: each follows what lies over it alone, and the layer is read once."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from maskmill.annotations import geojson, layers
from maskmill.annotations.shapes import AnnotationError
from tests.unit.annotations.geo_data import (
    BUILDINGS,
    OPTIONS,
    SQUARE,
    feature,
    moved,
    on_map,
    polygon,
    write_geojson,
    write_geotiff,
)


def digest_of(tmp_path, picture, *features, options=OPTIONS, **members):
    path = write_geojson(tmp_path / f"{len(list(tmp_path.iterdir()))}.geojson", *features, **members)
    return geojson.layer_digest(path, picture, options)


def test_digest_follows_what_is_drawn_on_the_picture(tmp_path, picture):
    def square(x, label="road", **other):
        return feature(polygon(on_map(picture, moved(SQUARE, x))), label=label, **other)

    def several(*xs):
        rings = [square(x)["geometry"]["coordinates"] for x in xs]
        return feature({"type": "MultiPolygon", "coordinates": rings}, label="road")

    digest = digest_of(tmp_path, picture, square(0), square(9), square(500))
    same = [
        (square(0), square(9), square(900)),
        (square(0), square(9)),
        (square(-700), square(0), square(800, "building"), square(9)),
        (square(0, height=3) | {"id": 7}, square(9)),
        (feature(polygon([[*xy, 5] for xy in square(0)["geometry"]["coordinates"][0]]), label="road"), square(9)),
        (square(0), square(9), feature(square(500)["geometry"])),  # not labelled, but elsewhere
    ]
    for features in same:
        assert digest_of(tmp_path, picture, *features) == digest
    other = [
        (square(0),),
        (square(0.01), square(9)),
        (square(0), square(9, "building")),
        (square(9), square(0)),
        (square(0), square(9), square(12)),
        (square(0), feature(square(9)["geometry"], label=None)),
        (square(0), square(9), feature(None, label="road")),
        (several(0, 9),),
        (several(0, 9), square(12)),
        (square(0), several(9, 12)),
    ]
    digests = [digest_of(tmp_path, picture, *features) for features in other]
    assert len({digest, *digests}) == len(other) + 1
    renamed = dataclasses.replace(OPTIONS, label_field="use")
    assert digest_of(tmp_path, picture, square(0, use="building"), square(9), options=renamed) not in (digest, *digests)


def test_digest_follows_the_place_of_the_picture(tmp_path, picture):
    drawn = feature(polygon(on_map(picture, SQUARE)), label="road")
    path = write_geojson(tmp_path / "a.geojson", drawn)
    digests = [geojson.layer_digest(path, picture, OPTIONS)]
    for number, transform in enumerate(
        [(0.5, 0, 691_000.1, 0, -0.5, 5_336_000), (0.51, 0, 691_000, 0, -0.51, 5_336_000)]
    ):
        digests.append(
            geojson.layer_digest(path, write_geotiff(tmp_path / f"{number}.tif", transform=transform), OPTIONS)
        )
    digests.append(geojson.layer_digest(path, write_geotiff(tmp_path / "wide.tif", width=81), OPTIONS))
    digests.append(geojson.layer_digest(path, write_geotiff(tmp_path / "etrs.tif", crs="EPSG:25832"), OPTIONS))
    assert len(set(digests)) == 5
    assert geojson.layer_digest(path, write_geotiff(tmp_path / "again.tif"), OPTIONS) == digests[0]


def test_digest_of_pixel_coordinates(tmp_path, plain):
    digest = digest_of(tmp_path, plain, feature(polygon(SQUARE)), options=BUILDINGS)
    elsewhere = feature(polygon(moved(SQUARE, 900)))
    assert digest_of(tmp_path, plain, feature(polygon(SQUARE)), elsewhere, options=BUILDINGS) == digest
    assert digest_of(tmp_path, plain, feature(polygon(moved(SQUARE, 1))), options=BUILDINGS) != digest


def test_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path, plain, monkeypatch):
    read = []
    original = layers.read_features
    monkeypatch.setattr(layers, "read_features", lambda *arguments: read.append(arguments) or original(*arguments))
    path = write_geojson(tmp_path / "a.geojson", feature(polygon(SQUARE)))
    for _ in range(3):
        assert len(geojson.read(path, plain, BUILDINGS).shapes) == 1
    assert len(read) == 1
    write_geojson(path, feature(polygon(SQUARE)), feature(polygon(SQUARE)))
    assert len(geojson.read(path, plain, BUILDINGS).shapes) == 2
    path.write_text("{")
    for _ in range(3):
        with pytest.raises(AnnotationError):
            geojson.layer_digest(path, plain, BUILDINGS)
    assert len(read) == 3


def labels_of(path, picture):
    return [(shape.label, shape.points.round(3).tolist()) for shape in geojson.read(path, picture, OPTIONS).shapes]


def test_threads_share_a_layer(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [
        write_geotiff(tmp_path / f"{number}.tif", transform=(0.5, 0, 691_000 + 40 * number, 0, -0.5, 5_336_000))
        for number in range(40)
    ]
    corners = rng.uniform((0, 0), (80 * 40, 60), (2000, 2))
    rings = [[[x, y], [x + 8, y], [x + 8, y + 8], [x, y + 8], [x, y]] for x, y in corners.tolist()]
    features = [feature(polygon(ring), label="road") for ring in on_map(pictures[0], rings)]
    alone = write_geojson(tmp_path / "alone.geojson", *features)
    shared = write_geojson(tmp_path / "shared.geojson", *features)
    expected = [(geojson.layer_digest(alone, p, OPTIONS), labels_of(alone, p)) for p in pictures]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda p: (geojson.layer_digest(shared, p, OPTIONS), labels_of(shared, p)),
                pictures,
            )
        )
    assert found == expected
    assert sum(len(shapes) for _, shapes in found) >= 2000
