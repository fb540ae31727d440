"""Pictures that people hand in: the masks of `maskmill predict`, other thresholds at once, clear words on bad files."""

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.segmentation import Extras, segment_pictures
from maskmill.errors import MaskmillError
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.serving import segmenter as module
from maskmill.serving.segmenter import Segmenter
from tests.unit.imaging.virtual_picture import virtual_picture

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


class CountingRuntime:
    """ONNX Runtime that counts the batches that it is given."""

    def __init__(self, bundle):
        self.runtime, self.batches = OnnxRuntime(bundle.onnx, 1), 0

    def __call__(self, batch):
        self.batches += 1
        return self.runtime(batch)


@pytest.fixture
def packed(bundle):
    return load_bundle(bundle)


@pytest.fixture
def runtime(packed):
    return CountingRuntime(packed)


@pytest.fixture
def segmenter(packed, runtime):
    return Segmenter(packed.recipe, runtime)


def random_pixels(*shape, top=256):
    return np.random.default_rng(1).integers(0, top, shape)


def encoded(pixels, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def on_the_map(path, pixels, **options):
    """A GeoTIFF with pixels (H, W, C) of half a metre."""
    height, width, channels = pixels.shape
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)}
    profile = {"driver": "GTiff", "dtype": "uint8", "count": channels, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, **place, **options) as target:
        target.write(pixels.astype(np.uint8).transpose(2, 0, 1))


def written(path, kind):
    """A picture of a kind, called picture.<suffix>, below `path`."""
    if kind == "map":
        pixels = random_pixels(40, 60, 3)
        pixels[:9] = 0
        on_the_map(path / "picture.tif", pixels, nodata=0)
        return path / "picture.tif"
    pixels = random_pixels(40, 60, 3).astype(np.uint8)
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(pixels).save(path / "picture.jpg", exif=exif)
        return path / "picture.jpg"
    Image.fromarray(pixels).save(path / "picture.png")
    return path / "picture.png"


@pytest.mark.parametrize("kind", ["plain", "turned", "map"])
def test_files_have_the_bytes_that_the_command_line_writes(packed, segmenter, tmp_path, kind):
    file = written(tmp_path, kind)
    assert (
        segment_pictures(packed, {"picture": file}, tmp_path / "out", 1, Extras(polygons="geojson", tolerance=1)) == []
    )

    prediction = segmenter.predict(segmenter.admit(file.name, file.read_bytes()))
    result = segmenter.decide(prediction, packed.recipe.point.thresholds)

    assert result.suffix == (".tif" if kind == "map" else ".png")
    assert result.content == (tmp_path / f"out/picture{result.suffix}").read_bytes()
    assert result.polygons() == (tmp_path / "out/picture.geojson").read_bytes()
    assert result.labels.any()
    assert (255 in result.labels) == (kind == "map")


def test_deep_pictures_are_as_on_the_command_line(old_bundle, deep_picture, tmp_path):
    packed = load_bundle(old_bundle)
    assert segment_pictures(packed, {"picture": deep_picture}, tmp_path, 1) == []

    segmenter = Segmenter(packed.recipe, OnnxRuntime(packed.onnx, 1))
    prediction = segmenter.predict(segmenter.admit(deep_picture.name, deep_picture.read_bytes()))

    assert (
        segmenter.decide(prediction, packed.recipe.point.thresholds).content == (tmp_path / "picture.png").read_bytes()
    )


def test_other_thresholds_give_the_masks_of_such_a_bundle_and_predict_nothing(packed, segmenter, runtime, tmp_path):
    file = written(tmp_path, "plain")
    prediction = segmenter.predict(segmenter.admit(file.name, file.read_bytes()))
    batches = runtime.batches

    found = {}
    for thresholds in ((0.2, 0.9), (0.45, 0.4)):
        found[thresholds] = segmenter.decide(prediction, thresholds).content
        point = replace(packed.recipe.point, thresholds=thresholds)
        changed = replace(packed, recipe=replace(packed.recipe, point=point))
        segment_pictures(changed, {"picture": file}, tmp_path / "out", 1)
        assert found[thresholds] == (tmp_path / "out/picture.png").read_bytes()

    assert len(set(found.values())) == 2
    assert runtime.batches == batches > 0


def test_what_was_predicted_a_short_while_ago_is_known(segmenter, runtime, monkeypatch):
    contents = [encoded(random_pixels(height, 30, 3).astype(np.uint8)) for height in (20, 30)]
    first, second = (segmenter.admit("a.png", content) for content in contents)
    segmenter.predict(first)
    segmenter.predict(second)
    batches = runtime.batches

    again = segmenter.predict(segmenter.admit("another name.png", contents[0]))
    assert runtime.batches == batches
    assert again.upload.name == "another name"

    monkeypatch.setattr(module, "KEPT_BYTES", 1)
    segmenter.predict(second)
    assert runtime.batches == batches, "the one in use is kept, whatever it takes"
    segmenter.predict(first)
    assert runtime.batches > batches


def test_many_at_once_predict_once(packed, segmenter, runtime):
    upload = segmenter.admit("a.png", encoded(random_pixels(20, 30, 3).astype(np.uint8)))
    alone = CountingRuntime(packed)
    Segmenter(segmenter.recipe, alone).predict(upload)

    with ThreadPoolExecutor(8) as pool:
        predictions = list(pool.map(segmenter.predict, [upload] * 8))

    assert len({id(prediction.probabilities) for prediction in predictions}) == 1
    assert runtime.batches == alone.batches


def test_areas_are_counted_in_the_file_and_measured_on_the_ground(segmenter, tmp_path):
    file = written(tmp_path, "map")

    result = segmenter.decide(segmenter.predict(segmenter.admit(file.name, file.read_bytes())), (0.3, 0.35))

    known = 31 * 60  # the other 9 rows have no data
    for value, area in enumerate(result.areas(), 1):
        assert area.pixels == (result.labels == value).sum() > 0
        assert area.share == pytest.approx(area.pixels / known)
        assert area.square_metres == pytest.approx(area.pixels * 0.25, rel=2e-3)  # UTM shrinks by 0.9996 each way
    assert (result.labels == 255).sum() == 9 * 60


def test_pictures_off_the_map_have_no_square_metres(segmenter):
    upload = segmenter.admit("a.png", encoded(random_pixels(20, 30, 3).astype(np.uint8)))

    areas = segmenter.decide(segmenter.predict(upload), (0.3, 0.35)).areas()

    assert [area.square_metres for area in areas] == [None, None]


def test_an_area_in_square_metres_is_refused_without_the_place_of_the_file(packed, runtime):
    step = replace(packed.recipe.point.steps[0], parameter="20 m2")
    recipe = replace(packed.recipe, point=replace(packed.recipe.point, steps=(step,)))
    segmenter = Segmenter(recipe, runtime)
    upload = segmenter.admit("field.png", encoded(random_pixels(20, 30, 3).astype(np.uint8)))
    prediction = segmenter.predict(upload)

    with pytest.raises(MaskmillError, match="and field is none") as caught:
        segmenter.decide(prediction, recipe.point.thresholds)
    assert "maskmill-" not in str(caught.value)


def bad_content(kind):
    good = encoded(random_pixels(40, 60, 3).astype(np.uint8))
    file = io.BytesIO()
    if kind == "virtual":
        return virtual_picture("/etc/hostname")
    if kind == "truncated":
        return good[: len(good) // 2]
    if kind == "bomb":
        huge = np.zeros((1, 1), bool)
        content = bytearray(encoded(huge))
        content[16:24] = (30_000).to_bytes(4, "big") * 2
        content[29:33] = _checksum(content[12:29])
        return bytes(content)
    if kind == "stack":
        tifffile.imwrite(file, random_pixels(5, 40, 60).astype(np.uint8), photometric="minisblack")
    elif kind == "channels":
        tifffile.imwrite(
            file, random_pixels(40, 60, 5).astype(np.uint8), photometric="minisblack", planarconfig="contig"
        )
    elif kind == "deep":
        tifffile.imwrite(file, random_pixels(40, 60).astype(np.uint16))
    elif kind == "nan":
        tifffile.imwrite(file, np.full((40, 60), np.nan, np.float32))
    return file.getvalue()


def _checksum(content):
    import zlib

    return zlib.crc32(content).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("filename", "content", "reason"),
    [
        ("a.png", bad_content("truncated"), "it is damaged: .*; save or copy the picture anew"),
        ("a.jpg", b"dear diary", "it is no picture in a known format; save or copy it anew, as JPEG"),
        ("a.tif", bad_content("virtual"), "it is no picture in a known format; save or copy it anew, as JPEG"),
        ("a.png", b"", "it is empty"),
        ("a.json", b"{}", "it is no bmp, jpeg, jpg, png, tif, tiff or webp file"),
        ("a.png", bad_content("bomb"), "it has 30,000 × 30,000 pixels, and the page takes up to 50,000,000"),
        ("a.tif", bad_content("stack"), "it is a stack of slices"),
        ("a.tif", bad_content("channels"), "a picture has 5 channels where the model was trained on 3"),
        ("a.tif", bad_content("deep"), "it holds uint16 values, but the model was trained on uint8 ones.*; save it as"),
    ],
)
def test_bad_files_are_refused_with_the_reason(segmenter, runtime, filename, content, reason):
    with pytest.raises(MaskmillError, match=reason) as caught:
        segmenter.admit(filename, content)

    assert "maskmill-" not in str(caught.value)
    assert runtime.batches == 0


def test_what_is_no_number_is_refused(old_bundle):
    packed = load_bundle(old_bundle)

    with pytest.raises(MaskmillError, match="it holds NaN"):
        Segmenter(packed.recipe, None).admit("a.tif", bad_content("nan"))


def test_the_file_is_named_by_what_it_holds(segmenter):
    upload = segmenter.admit("a.tif", encoded(random_pixels(20, 30, 3).astype(np.uint8)))

    assert (upload.name, upload.file.name) == ("a", "picture.png")


def test_a_name_never_leads_out_of_the_folder(segmenter):
    upload = segmenter.admit("../../x/ü [1].PNG", encoded(random_pixels(20, 30, 3).astype(np.uint8)))

    assert upload.name == "ü [1]"
    assert upload.file.name == "picture.png"


def test_the_file_goes_with_the_picture(segmenter):
    upload = segmenter.admit("a.png", encoded(random_pixels(20, 30, 3).astype(np.uint8)))
    folder = upload.file.parent
    assert folder.is_dir()

    del upload

    assert not folder.exists()


def test_a_network_for_volumes_is_refused(packed, runtime):
    with pytest.raises(MaskmillError, match="works on whole volumes"):
        Segmenter(replace(packed.recipe, dimensions=3), runtime)
