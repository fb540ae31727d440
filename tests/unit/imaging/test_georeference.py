"""Where pictures lie on the map: GeoTIFF and world files, turned pictures, shared areas."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.control import GroundControlPoint

from maskmill.errors import MaskmillError
from maskmill.imaging.georeference import WGS84, Georeference, overlaps, read_georeference, reproject
from maskmill.imaging.images import read_image
from tests.unit.annotations.geo_data import NORTH_UP, UTM, write_geotiff
from tests.unit.imaging.virtual_picture import virtual_picture

ESRI_UTM = (
    'PROJCS["WGS_1984_UTM_Zone_32N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,'
    '298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",9.0],'
    'PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
WORLD = "0.5\n0\n0\n-0.5\n691000.25\n5335999.75\n"  # NORTH_UP, as the centre of the first pixel


def placed(transform, crs=UTM, width=100, height=100):
    """A georeference with its bounds."""
    place = Georeference(crs, transform, width, height)
    return Georeference(crs, transform, width, height, bounds=place.bounds_in(WGS84) if crs else None)


def turned(degrees, x=0.0, y=0.0, scale=1.0):
    """Transform of a picture turned about its first corner at (x, y)."""
    cosine, sine = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return (cosine, sine, x, sine, -cosine, y)


def test_geotiff(tmp_path):
    place = read_georeference(write_geotiff(tmp_path / "a.tif", nodata=7))
    assert (place.crs, place.transform, place.width, place.height, place.nodata) == (UTM, NORTH_UP, 80, 60, 7)
    np.testing.assert_allclose(place.to_map(np.array([[0, 0], [80, 60]])), [[691000, 5336000], [691040, 5335970]])
    np.testing.assert_allclose(place.to_pixels(np.array([[691040, 5335970]])), [[80, 60]])


def test_bounds_in_degrees(tmp_path):
    """The zone's central meridian is 9° east; there 50° north are 5,540,847.04 m of meridian, times 0.9996."""
    transform = (10, 0, 500_000, 0, -10, 0.9996 * 5_540_847.04)
    west, south, east, north = read_georeference(write_geotiff(tmp_path / "a.tif", transform=transform)).bounds
    assert (west, north) == pytest.approx((9, 50), abs=1e-4)
    assert (north - south) * 111_229 == pytest.approx(600, abs=2)  # metres in a degree of latitude at 50° north
    assert (east - west) * 71_696 == pytest.approx(800, abs=2)  # and of longitude


def test_the_transform_is_that_of_rasterio(tmp_path):
    transform = turned(33, 691000, 5336000, 0.3)
    path = write_geotiff(tmp_path / "a.tif", transform=transform)
    with rasterio.open(path) as dataset:
        x, y = dataset.xy(20, 50)  # row, column: the centre of the pixel
    np.testing.assert_allclose(read_georeference(path).to_map(np.array([[50.5, 20.5]])), [[x, y]])


def test_crs_without_a_code_is_kept_as_text(tmp_path):
    crs = "+proj=laea +lat_0=48 +lon_0=11 +datum=WGS84"
    place = read_georeference(write_geotiff(tmp_path / "a.tif", crs=crs, transform=(2, 0, 0, 0, -2, 0)))
    assert "Lambert_Azimuthal_Equal_Area" in place.crs
    assert place.bounds[:1] + place.bounds[3:] == pytest.approx((11, 48))


def test_crs_that_is_almost_one_with_a_code_keeps_its_own_parameters(tmp_path):
    crs = "+proj=tmerc +lat_0=0 +lon_0=9 +k=0.9995 +x_0=500000 +y_0=0 +datum=WGS84"
    place = read_georeference(write_geotiff(tmp_path / "a.tif", crs=crs))
    assert "0.9995" in place.crs
    np.testing.assert_allclose(reproject(np.array([[9.0, 50.0]]), WGS84, place.crs), [[500_000, 0.9995 * 5_540_847.04]])


def test_page_of_a_stack_lies_where_the_file_lies(tmp_path):
    path = write_geotiff(tmp_path / "a.tif")
    assert read_georeference(f"{path}#page=3") == read_georeference(path)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_none_where_there_is_none(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "plain.tif")
    Image.new("L", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    (tmp_path / "embedded.json").write_text("{}")
    points = [GroundControlPoint(0, 0, 11, 48), GroundControlPoint(0, 8, 12, 48), GroundControlPoint(8, 0, 11, 47)]
    profile = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "points.tif", "w", gcps=points, crs="EPSG:4326", **profile):
        pass
    Image.new("L", (8, 8)).save(tmp_path / "flat.png")
    (tmp_path / "flat.pgw").write_text("0\n0\n0\n0\n5\n5\n")
    for name in ("plain.tif", "plain.png", "broken.tif", "embedded.json", "points.tif", "flat.png", "missing.tif"):
        assert read_georeference(tmp_path / name) is None, name


def test_nothing_is_warned_of_and_threads_may_read(tmp_path):
    for number in range(8):
        Image.new("L", (8, 8)).save(tmp_path / f"plain{number}.tif")
        write_geotiff(tmp_path / f"placed{number}.tif")
    paths = [tmp_path / f"{kind}{number}.tif" for number in range(8) for kind in ("plain", "placed")]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_georeference, paths * 3))
    assert [place is not None for place in found] == [False, True] * 24


@pytest.mark.parametrize(
    ("picture", "world"),
    [
        ("a.tif", "a.tfw"),
        ("a.png", "a.pgw"),
        ("a.png", "a.PGW"),
        ("a.jpg", "a.jgw"),
        ("a.jpeg", "a.jpegw"),
        ("a.png", "a.wld"),
    ],
)
def test_world_file(tmp_path, picture, world):
    Image.new("L", (80, 60)).save(tmp_path / picture)
    (tmp_path / world).write_text(WORLD)
    place = read_georeference(tmp_path / picture)
    assert (place.crs, place.transform, place.width, place.height) == (None, NORTH_UP, 80, 60)
    assert place.bounds is None
    (tmp_path / "a.prj").write_text(ESRI_UTM)
    place = read_georeference(tmp_path / picture)
    assert (place.crs, place.transform) == (UTM, NORTH_UP)
    assert place.bounds == pytest.approx(placed(NORTH_UP, width=80, height=60).bounds)


@pytest.mark.parametrize("content", [b"", b"UTM 32", b"\xff\xfe\x00"])
def test_prj_file_that_is_no_crs_is_refused(tmp_path, content):
    Image.new("L", (80, 60)).save(tmp_path / "a.png")
    (tmp_path / "a.pgw").write_text(WORLD)
    (tmp_path / "a.prj").write_bytes(content)
    with pytest.raises(MaskmillError, match=r"a\.prj is no coordinate reference system; write the WKT"):
        read_georeference(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_turned_picture_lies_where_its_pixels_lie(tmp_path, orientation, suffix):
    """The world file speaks of the picture as stored, the georeference of the upright one that is read."""
    stored = np.zeros((48, 80), dtype=np.uint8)
    stored[8:16, 40:48] = 255
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, stored, extratags=[(274, "H", 1, orientation, True)], metadata=None)
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(stored).save(path, quality=95, exif=exif)
    path.with_suffix(".wld").write_text(WORLD)
    upright = read_image(path)[:, :, 0]
    place = read_georeference(path)
    assert (place.height, place.width) == upright.shape
    rows, columns = np.nonzero(upright > 127)
    centre = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]])
    np.testing.assert_allclose(place.to_map(centre), [[691000 + 0.5 * 44, 5336000 - 0.5 * 12]])


crs_places = {
    "EPSG:32632": st.tuples(st.floats(200_000, 800_000), st.floats(1_000_000, 8_500_000)),
    "EPSG:32733": st.tuples(st.floats(200_000, 800_000), st.floats(2_000_000, 9_000_000)),
    "EPSG:3857": st.tuples(st.floats(-1.9e7, 1.9e7), st.floats(-1.5e7, 1.5e7)),
    "EPSG:3413": st.tuples(st.floats(-2e6, 2e6), st.floats(-2e6, 2e6)),
    "EPSG:4326": st.tuples(st.floats(-179, 179), st.floats(-80, 80)),
}


@settings(max_examples=100)
@given(data=st.data())
def test_pixels_to_degrees_and_back(data):
    crs = data.draw(st.sampled_from(sorted(crs_places)))
    x, y = data.draw(crs_places[crs])
    size = data.draw(st.floats(0.1, 30)) * (1e-5 if crs == "EPSG:4326" else 1)
    a, b, _, d, e, _ = turned(data.draw(st.floats(0, 360)), scale=size)
    stretch = data.draw(st.floats(0.5, 2))
    place = Georeference(crs, (a, b * stretch, x, d, e * stretch, y), 5000, 4000)
    pixels = data.draw(st.lists(st.tuples(st.floats(-100, 5100), st.floats(-100, 4100)), min_size=1, max_size=5))
    pixels = np.array(pixels)
    degrees = reproject(place.to_map(pixels), crs, WGS84)
    assert (np.abs(degrees) <= (180.1, 90)).all()
    np.testing.assert_allclose(place.from_crs(degrees, WGS84), pixels, atol=0.01)


def test_longitude_is_first_whatever_the_crs_says():
    points = np.array([[11.5, 48.1]])
    for crs in ("EPSG:4326", "OGC:CRS84", "EPSG:4258"):
        x, y = reproject(points, crs, UTM)[0]
        assert (x, y) == pytest.approx((686_000, 5_330_500), abs=1000), crs
        np.testing.assert_allclose(reproject(np.array([[x, y]]), UTM, crs), points, atol=1e-6)


def test_what_cannot_be_reprojected_is_refused():
    with pytest.raises(MaskmillError, match='"EPSG:999999" is no coordinate reference system that is known'):
        reproject(np.zeros((1, 2)), "EPSG:999999", UTM)
    with pytest.raises(MaskmillError, match="a place in OGC:CRS84 is none in EPSG:32632"):
        reproject(np.array([[11.0, 95.0]]), WGS84, UTM)
    moon = (
        'GEOGCRS["Moon",DATUM["Moon",ELLIPSOID["Moon",1737400,0]],CS[ellipsoidal,2],AXIS["latitude",north],'
        'AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433]]'
    )
    assert placed(NORTH_UP).bounds_in(UTM)
    with pytest.raises(MaskmillError, match=r"from EPSG:32632 to Moon"):
        placed(NORTH_UP).bounds_in(moon)


def test_bounds_across_the_antimeridian():
    west, _, east, _ = placed((100, 0, 100_000, 0, -100, 7_400_000), "EPSG:32601", 4000, 1000).bounds
    assert (west, east) == pytest.approx((173, -177), abs=1)
    across = placed((0.01, 0, 179.5, 0, -0.01, 10), "EPSG:4326")
    for point in ([-179.6, 9.5], [180.4, 9.5]):
        np.testing.assert_allclose(across.from_crs(np.array([point]), WGS84), [[90, 50]], atol=1e-6)


NORTH = (1, 0, 500_000, 0, -1, 5_300_000)


@pytest.mark.parametrize(
    ("other", "fraction"),
    [
        (placed(NORTH), 1),
        (placed((1, 0, 500_050, 0, -1, 5_300_000)), 0.5),
        (placed((1, 0, 500_100, 0, -1, 5_300_000)), 0),
        (placed((1, 0, 500_200, 0, -1, 5_300_000)), 0),
        (placed((0.1, 0, 500_020, 0, -0.1, 5_299_980)), 1),
        (placed((4, 0, 499_900, 0, -4, 5_300_100)), 1),
        (placed(turned(45, 500_160 - 50 * 2**0.5, 5_300_060)), 0),  # the boxes meet, the pictures do not
        (placed(turned(45, 500_050 - 75, 5_299_950, 0.75 * 2**0.5)), 0.875),  # a diamond takes four corners away
        (Georeference(None, NORTH, 100, 100), 0),
    ],
)
def test_shared_area(other, fraction):
    first = placed(NORTH)
    assert overlaps(first, other) == pytest.approx(fraction, abs=1e-6)
    assert overlaps(other, first) == pytest.approx(fraction, abs=1e-6)


def test_shared_area_of_pictures_in_different_crs():
    first = placed(NORTH)
    corner = reproject(np.array([[500_050.0, 5_300_000.0]]), UTM, WGS84)[0]
    step = reproject(np.array([[500_051.0, 5_299_999.0]]), UTM, WGS84)[0] - corner
    other = placed((step[0], 0, corner[0], 0, step[1], corner[1]), "EPSG:4326")
    assert overlaps(first, other) == pytest.approx(0.5, abs=0.01)
    assert overlaps(other, first) == pytest.approx(0.5, abs=0.01)
    zone_33 = placed((1, 0, 500_000, 0, -1, 5_300_000), "EPSG:32633")
    assert overlaps(first, zone_33) == 0


def test_shared_area_without_crs_and_across_the_antimeridian():
    assert overlaps(placed(NORTH, None), placed((1, 0, 500_050, 0, -1, 5_300_000), None)) == pytest.approx(0.5)
    first = placed((100, 0, 100_000, 0, -100, 7_400_000), "EPSG:32601", 4000, 1000)
    assert overlaps(first, first) == pytest.approx(1)
    west, _, _, north = first.bounds
    for longitude in (west + 3, -179, 181):
        small = placed((0.001, 0, longitude, 0, -0.001, north - 0.5), "EPSG:4326")
        assert overlaps(first, small) == pytest.approx(1, abs=1e-3)
        assert overlaps(small, first) == pytest.approx(1, abs=1e-3)


def test_whole_earth_and_a_part_of_it():
    earth = placed((0.1, 0, -180, 0, -0.1, 90), "EPSG:4326", width=3600, height=1800)
    for crs, x, y in ((UTM, 500_000, 5_300_000), ("EPSG:32601", 200_000, 5_300_000), ("EPSG:3413", 9_000, 9_000)):
        small = placed((1, 0, x, 0, -1, y), crs)
        assert overlaps(earth, small) == pytest.approx(1, abs=1e-3), crs
        assert overlaps(small, earth) == pytest.approx(1, abs=1e-3), crs


def test_straight_edges_of_one_crs_are_curves_in_another():
    """A strip along 50° north, 10° long, bends by 12 km in UTM."""
    strip = placed((0.001, 0, 4, 0, -0.001, 50.05), "EPSG:4326", width=10_000, height=50)
    small = placed((1, 0, 500_000, 0, -1, 5_540_000))
    assert overlaps(small, strip) == pytest.approx(1, abs=1e-3)
    assert overlaps(strip, small) == pytest.approx(1, abs=1e-3)


@settings(max_examples=60)
@given(degrees=st.floats(0, 360), x=st.floats(-150, 150), y=st.floats(-150, 150), scale=st.floats(0.2, 3))
def test_shared_area_against_counted_points(degrees, x, y, scale):
    first, other = placed(NORTH), placed(turned(degrees, 500_050 + x, 5_299_950 + y, scale))
    grid = (np.stack(np.meshgrid(np.arange(200), np.arange(200)), axis=-1).reshape(-1, 2) + 0.5) / 2
    smaller, larger = (first, other) if scale > 1 else (other, first)
    inside = larger.to_pixels(smaller.to_map(grid))
    counted = ((inside > 0) & (inside < 100)).all(axis=1).mean()
    assert overlaps(first, other) == pytest.approx(counted, abs=0.02)
    assert overlaps(first, other) == pytest.approx(overlaps(other, first), abs=1e-9)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_file_that_names_others_has_no_place(tmp_path, name):
    """GDAL's virtual kinds would make whoever opens a picture read other files of the machine, or addresses."""
    (tmp_path / "a.pgw").write_text(WORLD)
    (tmp_path / name).write_bytes(virtual_picture(tmp_path / "other.png"))

    assert read_georeference(tmp_path / name) is None
