"""Masks and polygons of pictures on the map, and of pictures that do not fit into memory, through the command."""

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from rasterio import features

from maskmill.cli import main
from maskmill.deployment import segmentation
from maskmill.deployment.batch import segment_shard
from maskmill.deployment.bundle import load_bundle
from maskmill.imaging import lazy
from maskmill.imaging.images import read_image, read_label_png
from maskmill.inference import banded
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import make_member

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

PROFILE = {
    "driver": "GTiff", "dtype": "uint8", "count": 3, "tiled": True, "blockxsize": 32, "blockysize": 16,
    "crs": "EPSG:32632", "transform": rasterio.Affine(0.2, 0, 500_000, 0, -0.2, 5_300_000),
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A packed bundle; the picture a.png is in the folder above it, and on the map as placed/a.tif."""
    from maskmill.export.onnx import export_onnx

    member = make_member(tmp_path_factory.mktemp("map"))
    export_onnx(member.files["model"], member.folder / "model.onnx")
    judge(member, member.folder / "model.onnx", member.folder)
    pack(member, member.folder)
    pixels = read_image(member.folder / "a.png").transpose(2, 0, 1)
    (member.folder / "placed").mkdir()
    size = {"height": pixels.shape[1], "width": pixels.shape[2]}
    with rasterio.open(member.folder / "placed/a.tif", "w", **PROFILE, **size) as target:
        target.write(pixels)
    return member.folder / "bundle"


def predict(bundle, output, *pictures, options=()):
    return main(["predict", str(bundle), *map(str, pictures), "-o", str(output), *options])


@pytest.fixture
def nothing_fits(monkeypatch):
    """As if every picture and mask were too large for memory, and for PNG."""
    monkeypatch.setattr(lazy, "_KEPT_BYTES", 0)
    monkeypatch.setattr(banded, "_BAND_PIXELS", 300)
    monkeypatch.setattr(segmentation, "LARGEST_PNG", 0)
    monkeypatch.setattr(segmentation, "OVERLAY_SIDE", 20)


def read_mask(path):
    with rasterio.open(path) as mask:
        return mask.read(1)


def test_the_mask_of_a_picture_on_the_map_is_on_the_map(bundle, tmp_path):
    assert predict(bundle, tmp_path, bundle.parent / "placed", bundle.parent / "b.png") == 0

    assert {path.name for path in tmp_path.iterdir()} == {"a.tif", "b.png"}
    with rasterio.open(bundle.parent / "placed/a.tif") as source, rasterio.open(tmp_path / "a.tif") as mask:
        assert (mask.crs, mask.transform) == (source.crs, source.transform)
        assert mask.block_shapes == source.block_shapes[:1]
    predict(bundle, tmp_path / "plain", bundle.parent / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.tif"), read_label_png(tmp_path / "plain/a.png"))


@pytest.mark.usefixtures("nothing_fits")
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_large_pictures_have_the_masks_of_small_ones(bundle, tmp_path, monkeypatch):
    assert predict(bundle, tmp_path / "large", bundle.parent / "placed", bundle.parent / "b.png") == 0
    monkeypatch.undo()
    assert predict(bundle, tmp_path / "small", bundle.parent / "placed", bundle.parent / "b.png") == 0

    assert {path.name for path in (tmp_path / "large").iterdir()} == {"a.tif", "b.tif"}
    assert (tmp_path / "large/a.tif").read_bytes() == (tmp_path / "small/a.tif").read_bytes()
    assert np.array_equal(read_mask(tmp_path / "large/b.tif"), read_label_png(tmp_path / "small/b.png"))


@pytest.mark.usefixtures("nothing_fits")
def test_overlays_of_large_pictures_are_drawn_smaller(bundle, tmp_path):
    assert predict(bundle, tmp_path, bundle.parent / "placed/a.tif", options=("--overlay",)) == 0

    assert read_image(tmp_path / "a.overlay.png").shape == (13, 18, 3)  # every fourth of 50 × 70


def test_batch_segmentation_gives_the_same_bytes(bundle, tmp_path):
    picture = bundle.parent / "placed/a.tif"
    segment_shard(load_bundle(bundle), {"a": str(picture)}, tmp_path / "shard", tmp_path / "state", "code", threads=1)
    predict(bundle, tmp_path / "out", picture, options=("--threads", "2"))

    assert (tmp_path / "out/a.tif").read_bytes() == (tmp_path / "shard/masks/a.tif").read_bytes()


@pytest.mark.parametrize("suffix", ["gpkg", "geojson"])
def test_polygons_are_drawn_as_the_mask(bundle, tmp_path, suffix):
    picture = bundle.parent / "placed/a.tif"

    assert predict(bundle, tmp_path, picture, options=("--polygons", suffix, "--tolerance", "0")) == 0

    meta, _, geometries, (_, values) = pyogrio.raw.read(tmp_path / f"a.{suffix}")
    mask, shapes = read_mask(tmp_path / "a.tif"), zip(shapely.from_wkb(geometries), values.tolist(), strict=True)
    assert meta["crs"] == "EPSG:32632"
    assert np.array_equal(features.rasterize(shapes, mask.shape, transform=PROFILE["transform"], dtype="uint8"), mask)


def test_polygons_never_take_the_place_of_a_picture(bundle, tmp_path, capsys):
    assert predict(bundle, tmp_path, bundle.parent / "a.png", options=("--polygons", "gpkg", "--tolerance", "-1")) == 1
    assert "--tolerance is -1" in capsys.readouterr().err
    assert predict(bundle, tmp_path, bundle.parent / "a.png", options=("--polygons", "gpkg")) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.gpkg"}


def test_a_place_that_cannot_be_read_is_told_of_the_picture(bundle, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes((bundle.parent / name).read_bytes())
    (tmp_path / "a.pgw").write_text("1\n0\n0\n-1\n0\n0\n", encoding="ascii")
    (tmp_path / "a.prj").write_text("nowhere", encoding="ascii")

    assert predict(bundle, tmp_path / "out", tmp_path / "a.png", tmp_path / "b.png") == 1

    assert "a.prj is no coordinate reference system" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_probabilities_of_a_picture_on_the_map_lie_there_too(bundle, tmp_path, nothing_fits):
    source = bundle.parent / "placed/a.tif"

    assert predict(bundle, tmp_path, source, options=("--probabilities",)) == 0

    loaded = load_bundle(bundle)
    expected = loaded.recipe.probabilities(read_image(source)[np.newaxis], loaded.open(1))[:, 0]
    with rasterio.open(source) as picture, rasterio.open(tmp_path / "a.probabilities.tif") as written:
        assert (written.crs, written.transform) == (picture.crs, picture.transform)
        assert written.block_shapes == [picture.block_shapes[0]] * len(expected)
        assert written.descriptions == loaded.recipe.classes.names
        assert set(written.dtypes) == {"uint8"}
        assert "alpha" not in [interpretation.name for interpretation in written.colorinterp]
        np.testing.assert_array_equal(written.read(), expected)
    assert np.ptp(expected) > 0
