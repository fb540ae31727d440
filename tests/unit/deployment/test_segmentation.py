"""Masks of volumes from bundles, for networks of three dimensions and of two, on everything that is a stack."""

import shutil

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from maskmill.classes import Classes
from maskmill.cli import main
from maskmill.deployment import segmentation
from maskmill.deployment.batch import segment_shard
from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.segmentation import open_picture
from maskmill.errors import MaskmillError
from maskmill.files import read_json
from maskmill.imaging import lazy
from maskmill.imaging.images import read_image
from maskmill.imaging.overlay import blend_mask, draw_montage
from maskmill.imaging.volumes import read_label_volume, read_volume
from maskmill.inference.entropy import pixel_entropy
from maskmill.inference.postprocess import OperatingPoint, Step
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import TorchRuntime
from maskmill.inference.tiling import Tiling
from maskmill.runs import read_run
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import CLASSES, PATCH, VOLUME_TILING, Member, make_member
from tests.unit.packed import make_bundle
from tests.unit.volume_data import save_lzw, turned_affine, write_nifti, write_series

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

STRIDES = {2: (1, 4, 4), 3: (4, 4, 4)}


@pytest.fixture(scope="module", params=[2, 3], ids=["2D", "3D"])
def bundle(request, tmp_path_factory):
    """A bundle of grey volumes a.nii.gz and b.nii.gz, which are in the folder above it."""
    from maskmill.export.onnx import export_onnx

    member = make_member(tmp_path_factory.mktemp("volumes"), volumes=True, dimensions=request.param)
    export_onnx(member.files["model"], member.folder / "model.onnx")
    judge(member, member.folder / "model.onnx", member.folder, tiling=VOLUME_TILING)
    pack(member, member.folder, VOLUME_TILING)
    return member.folder / "bundle"


def predict(bundle, output, *pictures, options=()):
    return main(["predict", str(bundle), *map(str, pictures), "-o", str(output), *options])


def expected_mask(bundle, pixels):
    """Class indices (D, H, W) of stored values (D, H, W) by PyTorch."""
    member, dimensions = Member(bundle.parent), load_bundle(bundle).recipe.dimensions
    run = read_run(member.files["config"])
    recipe = Recipe.of_member(run, VOLUME_TILING, True, STRIDES[dimensions], member.files["point"])
    return recipe.mask(pixels[..., np.newaxis], TorchRuntime(member.files["model"], 1))


def random_volume(depth=9, height=22, width=18, dtype=np.uint8):
    return np.random.default_rng(5).integers(0, 256, (depth, height, width)).astype(dtype)


def test_the_card_says_how_the_network_works(bundle):
    recipe = read_json(bundle / "bundle.json")["recipe"]

    dimensions = recipe["dimensions"]
    assert recipe["volumes"] is True
    assert tuple(recipe["stride"]) == STRIDES[dimensions]
    assert recipe["tiling"]["tile"] == (PATCH if dimensions == 3 else [1, 512, 512])
    assert Recipe.from_dict(recipe) == load_bundle(bundle).recipe


def test_masks_lie_where_the_volume_does_and_are_those_of_the_trained_member(bundle, tmp_path):
    assert predict(bundle, tmp_path, bundle.parent / "a.nii.gz", bundle.parent / "b.nii.gz") == 0

    for name in ("a", "b"):
        source, mask = (nibabel.load(folder / f"{name}.nii.gz") for folder in (bundle.parent, tmp_path))
        np.testing.assert_array_equal(mask.affine, source.affine)
        assert mask.header.get_zooms() == source.header.get_zooms()
        pixels = read_volume(bundle.parent / f"{name}.nii.gz").pixels[..., 0]
        expected = expected_mask(bundle, pixels)
        np.testing.assert_array_equal(read_label_volume(tmp_path / f"{name}.nii.gz"), expected)
        assert set(np.unique(expected)) == {0, 1, 2}


def test_a_dicom_series_is_a_volume_named_or_found(bundle, tmp_path):
    pixels, affine = random_volume(dtype=np.int16), turned_affine()
    write_series(tmp_path / "in/patient/ct", pixels, affine)

    assert predict(bundle, tmp_path / "named", tmp_path / "in/patient/ct") == 0
    assert predict(bundle, tmp_path / "found", tmp_path / "in") == 0

    written = nibabel.load(tmp_path / "named/ct.nii.gz")
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    expected = expected_mask(bundle, pixels)
    for mask in ("named/ct.nii.gz", "found/patient/ct.nii.gz"):
        np.testing.assert_array_equal(read_label_volume(tmp_path / mask), expected)


def test_a_tiff_of_several_pages_is_a_volume(bundle, tmp_path):
    save_lzw(tmp_path / "stack.tif", random_volume())

    assert predict(bundle, tmp_path / "out", tmp_path / "stack.tif") == 0

    np.testing.assert_array_equal(
        read_label_volume(tmp_path / "out/stack.nii.gz"), expected_mask(bundle, random_volume())
    )


def test_same_bytes_as_batch_segmentation_for_any_number_of_threads(bundle, tmp_path):
    pictures = {"a": str(bundle.parent / "a.nii.gz")}
    segment_shard(load_bundle(bundle), pictures, tmp_path / "shard", tmp_path / "state", "code", threads=1)
    for threads in ("1", "2"):
        predict(bundle, tmp_path / threads, bundle.parent / "a.nii.gz", options=("--threads", threads))

        assert (tmp_path / threads / "a.nii.gz").read_bytes() == (tmp_path / "shard/masks/a.nii.gz").read_bytes()


@pytest.mark.parametrize("kept", [1 << 26, 0], ids=["in memory", "in files"])
def test_maps_of_volumes_lie_where_the_volume_does(bundle, tmp_path, monkeypatch, kept):
    monkeypatch.setattr(lazy, "_KEPT_BYTES", kept)
    volume, affine = random_volume(), turned_affine()
    source = write_nifti(tmp_path / "v.nii.gz", volume.transpose(2, 1, 0), affine)
    predict(bundle, tmp_path / "plain", source)

    assert predict(bundle, tmp_path / "out", source, options=("--uncertainty", "--probabilities")) == 0

    out, loaded = tmp_path / "out", load_bundle(bundle)
    made = {"v.nii.gz", "v.uncertainty.nii.gz", "v.probabilities.npy", "uncertainty.csv"}
    assert {path.name for path in out.iterdir()} == made
    assert (out / "v.nii.gz").read_bytes() == (tmp_path / "plain/v.nii.gz").read_bytes()
    probabilities = loaded.recipe.probabilities(volume[..., np.newaxis], loaded.open(1))
    np.testing.assert_array_equal(np.load(out / "v.probabilities.npy"), probabilities)
    drawn = read_label_volume(out / "v.uncertainty.nii.gz")
    np.testing.assert_array_equal(drawn, np.rint(pixel_entropy(probabilities) * 255))
    assert np.ptp(drawn) > 0
    np.testing.assert_allclose(nibabel.load(out / "v.uncertainty.nii.gz").affine, affine, atol=1e-5)


def test_a_network_for_pictures_is_unsure_of_each_slice_in_its_place(tmp_path):
    bundle = make_bundle(tmp_path)
    slices = np.stack([read_image(tmp_path / f"{name}.png")[:28, :36] for name in "aba"])
    tifffile.imwrite(tmp_path / "s.tif", slices, photometric="rgb")

    assert predict(bundle, tmp_path / "out", tmp_path / "s.tif", options=("--uncertainty", "--probabilities")) == 0

    recipe, runtime = load_bundle(bundle).recipe, load_bundle(bundle).open(1)
    expected = np.concatenate([recipe.probabilities(page[np.newaxis], runtime) for page in slices], axis=1)
    np.testing.assert_array_equal(np.load(tmp_path / "out/s.probabilities.npy"), expected)
    drawn = read_label_volume(tmp_path / "out/s.uncertainty.nii.gz")
    np.testing.assert_array_equal(drawn, np.rint(pixel_entropy(expected) * 255))
    assert not np.array_equal(drawn[0], drawn[1])


def test_overlays_of_volumes_are_montages(bundle, tmp_path):
    assert predict(bundle, tmp_path, bundle.parent / "a.nii.gz", options=("--overlay",)) == 0

    assert {path.name for path in tmp_path.iterdir()} == {"a.nii.gz", "a.overlay.png"}
    assert Image.open(tmp_path / "a.overlay.png").size == (4 * 25 * 4, 3 * 30 * 4)  # 12 of 13 slices of 30 × 25


def test_a_volume_is_never_written_over(bundle, tmp_path, capsys):
    shutil.copy(bundle.parent / "a.nii.gz", tmp_path)
    before = (tmp_path / "a.nii.gz").read_bytes()

    assert predict(bundle, tmp_path, tmp_path / "a.nii.gz") == 1

    assert "a.nii.gz: is one of the pictures" in capsys.readouterr().err
    assert (tmp_path / "a.nii.gz").read_bytes() == before


def test_volumes_of_other_channels_or_not_finite_are_named_and_the_others_finished(bundle, tmp_path, capsys):
    colours = np.zeros((8, 8, 8, 3), np.uint8)
    write_nifti(tmp_path / "colours.nii", colours)
    write_nifti(tmp_path / "nan.nii", np.full((8, 8, 8), np.nan, np.float32))
    write_nifti(tmp_path / "fine.nii", random_volume().T)

    assert predict(bundle, tmp_path / "out", tmp_path) == 1

    error = capsys.readouterr().err
    assert "2 of 3 pictures have no mask" in error
    assert "colours.nii: a picture has 3 channels where the model was trained on 1" in error
    assert "nan.nii: it holds NaN or infinite values" in error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["fine.nii.gz"]


def test_a_single_picture_is_no_volume(bundle, tmp_path, capsys):
    Image.fromarray(random_volume()[0]).save(tmp_path / "slice.png")

    status = predict(bundle, tmp_path / "out", tmp_path / "slice.png")

    if load_bundle(bundle).recipe.dimensions == 3:
        assert status == 1
        assert "slice.png: it is a single picture, and the bundle's network works on whole" in capsys.readouterr().err
    else:
        assert np.array_equal(
            np.array(Image.open(tmp_path / "out/slice.png")), expected_mask(bundle, random_volume()[:1])[0]
        )


def test_slices_of_a_stack_are_pictures_to_what_was_trained_on_pictures():
    preprocessing = Preprocessing(1, 1.0, None, 0, False, "image", (0.0,), (1.0,))
    tiling, point = Tiling((1, 16, 16), 0.2, "constant", 4), OperatingPoint((0.5,), (Step("remove_small", 1, 3),))
    of_slices, of_volumes = (
        Recipe(Classes.from_config(["a"]), preprocessing, tiling, volumes, 2, (1, 1, 1), point)
        for volumes in (False, True)
    )
    stack = random_volume(4, 12, 10)[..., np.newaxis] // np.array([8, 4, 2, 1], np.uint8)[:, None, None, None]

    def runtime(batch):
        return 1 / (1 + np.exp(-4 * batch))

    mask = of_slices.mask(stack, runtime)

    for page, expected in zip(stack, mask, strict=True):
        np.testing.assert_array_equal(of_volumes.mask(page[np.newaxis], runtime)[0], expected)
    assert mask[0].any()
    assert not of_volumes.mask(stack, runtime)[0].any()  # the first slice is dark beside the others


def colour_recipe(*pixel_types):
    """The recipe of a network for 8-bit pictures in colours."""
    moments = ((0.0,) * 3, (1.0,) * 3)
    preprocessing = Preprocessing(3, 1.0, ((0.0, 255.0),) * 3, 0, False, "dataset", *moments, pixel_types)
    tiling, point = Tiling((1, 16, 16), 0.2, "constant", 4), OperatingPoint((0.5,), ())
    return Recipe(Classes.from_config(["a"]), preprocessing, tiling, False, 2, (1, 1, 1), point)


def test_deep_pictures_for_a_network_of_8_bits_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 5, 3), np.uint16), photometric="rgb")

    with (
        pytest.raises(MaskmillError, match="it holds uint16 values, but the model was trained on uint8"),
        open_picture(colour_recipe("uint8"), tmp_path / "a.tif"),
    ):
        pass


def test_deep_pictures_for_a_network_of_perhaps_8_bits_are_warned_of(tmp_path, caplog):
    for dtype in (np.uint8, np.uint16):
        tifffile.imwrite(tmp_path / f"{np.dtype(dtype)}.tif", np.ones((4, 5, 3), dtype), photometric="rgb")
        with open_picture(colour_recipe(), tmp_path / f"{np.dtype(dtype)}.tif"):
            pass

    (record,) = caplog.records
    assert "uint16.tif: it holds uint16" in record.getMessage()


def test_channels_are_checked_before_values_are_decoded(tmp_path, monkeypatch):
    recipe = colour_recipe()
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 9)), photometric="minisblack", planarconfig="contig")
    monkeypatch.setattr(segmentation, "require_finite", lambda image: pytest.fail("values were decoded"))

    with pytest.raises(MaskmillError, match="9 channels"), open_picture(recipe, tmp_path / "a.tif"):
        pass


def test_a_montage_shows_the_slices_that_have_a_class():
    classes = Classes.from_config(["roof"])
    volume = np.random.default_rng(0).integers(-900, 3000, (40, 130, 150, 1)).astype(np.int16)
    mask = np.zeros((40, 130, 150), np.uint8)
    mask[10:13, 25:60, 35:80] = 1

    montage = draw_montage(volume, mask, classes)

    assert montage.shape == (2 * 130, 2 * 150, 3)  # three slices
    assert not montage[130:, 150:].any()
    assert draw_montage(volume, np.zeros_like(mask), classes).shape == (3 * 130, 4 * 150, 3)
    assert draw_montage(volume[:5], mask[:5], classes).shape == (2 * 130, 3 * 150, 3)
    grey = np.full((1, 130, 150, 1), 90, np.uint8)
    shown = draw_montage(grey.repeat(2, axis=0), mask[12:14], classes)
    np.testing.assert_array_equal(shown[20:, 20:], blend_mask(grey[0], mask[12], classes)[20:, 20:])


def test_small_slices_are_enlarged_in_a_montage():
    montage = draw_montage(np.zeros((2, 20, 40, 1), np.uint8), np.ones((2, 20, 40), np.uint8), CLASSES)

    assert montage.shape == (20 * 3, 2 * 40 * 3, 3)
