"""Layers as we read and draw them against GDAL's own way: rasterio reprojects the GeoJSON and burns it.

GDAL burns a pixel whose centre lies inside, or every pixel touched; we draw as labelme does. So only pixels along the
outlines may differ.
"""

import dataclasses

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from maskmill.annotations import geojson
from maskmill.annotations.formats import LabelOptions
from maskmill.classes import Classes
from maskmill.labels.rasterize import rasterize_annotation
from tests.unit.annotations.geo_data import feature, named_crs, on_map, polygon, write_geojson, write_geotiff

HEIGHT, WIDTH = 200, 240
CLASSES = Classes.from_config(["building", "road"])
FARTHEST_CENTRE = 1.5
"""Greatest distance in pixels from an outline to the centre of a pixel that is drawn by one side alone."""

PLACES = {
    "EPSG:32632": (691_000, 5_336_000, 0.5),
    "EPSG:3857": (1_287_000, 6_130_000, 0.8),
    "EPSG:4326": (11.57, 48.14, 6e-6),
    "EPSG:3035": (4_437_000, 2_780_000, 2.0),
}


def random_features(rng: np.random.Generator, picture, crs: str) -> list[dict]:
    """30 stars of 4 to 12 corners, some with a hole, some partly outside, as features in a CRS."""
    features = []
    while len(features) < 30:
        centre, radius = rng.uniform((0, 0), (WIDTH, HEIGHT)), rng.uniform(8, 30)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(4, 13)))
        spokes = np.column_stack([np.cos(angles), np.sin(angles)])
        ring = centre + radius * rng.uniform(0.6, 1, (len(angles), 1)) * spokes
        rings = [ring, *([centre + 0.3 * (ring - centre)] if len(features) % 3 == 0 else [])]
        if shapely.Polygon(rings[0], rings[1:]).is_valid:  # the hole may leave a star without a centre
            drawn = polygon(*(on_map(picture, [*ring.tolist(), ring[0].tolist()], crs) for ring in rings))
            features.append(feature(drawn, label=CLASSES.names[len(features) % 2]))
    return features


def burn(picture, features: list[dict], crs: str, all_touched: bool) -> np.ndarray:
    """Label image (H, W) that GDAL makes of the features."""
    with rasterio.open(picture) as dataset:
        burnt = [
            (transform_geom(crs, dataset.crs, f["geometry"]), CLASSES.index(f["properties"]["label"])) for f in features
        ]
        return rasterize(burnt, (HEIGHT, WIDTH), transform=dataset.transform, all_touched=all_touched, dtype="uint8")


def draw(tmp_path, picture, features: list[dict], crs: str) -> tuple[np.ndarray, list]:
    """Label image (H, W) that we make of the features, and the shapes."""
    path = write_geojson(tmp_path / "layer.geojson", *features, crs=named_crs(crs))
    annotation = geojson.read(path, picture, LabelOptions(CLASSES.names))
    annotation = dataclasses.replace(annotation, height=HEIGHT, width=WIDTH)
    return rasterize_annotation(annotation, CLASSES), annotation.shapes


def turned_picture(tmp_path, place: str):
    """A georeferenced picture, turned by any angle, and the random numbers to draw features with."""
    rng = np.random.default_rng(sorted(PLACES).index(place))
    x, y, size = PLACES[place]
    turn = rng.uniform(0, 2 * np.pi)
    c, s = size * np.cos(turn), size * np.sin(turn)
    path = write_geotiff(tmp_path / "p.tif", crs=place, transform=(c, s, x, s, -c, y), width=WIDTH, height=HEIGHT)
    return path, rng


@pytest.mark.parametrize("crs", ["OGC:CRS84", "EPSG:32632", "EPSG:3857"])
@pytest.mark.parametrize("place", sorted(PLACES))
def test_features_have_the_pixels_that_gdal_gives_them(tmp_path, place, crs):
    """Our shapes, burnt by GDAL in pixel coordinates, against the features, reprojected and burnt by GDAL."""
    picture, rng = turned_picture(tmp_path, place)
    features = random_features(rng, picture, crs)
    _, shapes = draw(tmp_path, picture, features, crs)
    polygons = [(shapely.Polygon(shape.points, shape.holes), CLASSES.index(shape.label)) for shape in shapes]
    ours = rasterize(polygons, (HEIGHT, WIDTH), dtype="uint8")
    theirs = burn(picture, features, crs, all_touched=False)
    assert (theirs > 0).mean() > 0.15
    assert (ours != theirs).sum() <= 2  # a centre may lie on an outline


@pytest.mark.parametrize("all_touched", [False, True])
@pytest.mark.parametrize("place", sorted(PLACES))
def test_only_outlines_differ_from_gdal(tmp_path, place, all_touched):
    picture, rng = turned_picture(tmp_path, place)
    features = random_features(rng, picture, "OGC:CRS84")
    ours, shapes = draw(tmp_path, picture, features, "OGC:CRS84")
    theirs = burn(picture, features, "OGC:CRS84", all_touched)
    rows, columns = np.nonzero(ours != theirs)
    outlines = shapely.union_all([shapely.LinearRing(ring) for s in shapes for ring in (s.points, *s.holes)])
    distances = shapely.distance(outlines, shapely.points(columns + 0.5, rows + 0.5))
    assert (theirs > 0).mean() > 0.15
    assert distances.max() < FARTHEST_CENTRE
