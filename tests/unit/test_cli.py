"""`maskmill predict`: masks from a bundle alone, and clear errors."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from maskmill.bundle import load_bundle
from maskmill.cli import main
from maskmill.images import read_image, read_label_png
from maskmill.runtimes import OnnxRuntime
from maskmill.segmentation import segment_shard
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import make_member

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A packed bundle with the pictures a.png and b.png in the folder above it."""
    from maskmill.export.onnx import export_onnx

    member = make_member(tmp_path_factory.mktemp("cli"))
    export_onnx(member.files["model"], member.folder / "model.onnx")
    judge(member, member.folder / "model.onnx", member.folder)
    pack(member, member.folder)
    return member.folder / "bundle"


def predict(bundle, output, *pictures, options=()):
    return main(["predict", str(bundle), *map(str, pictures), "-o", str(output), *options])


def test_masks_are_those_of_the_recipe(bundle, tmp_path):
    assert predict(bundle, tmp_path, bundle.parent / "a.png", bundle.parent / "b.png") == 0

    opened = load_bundle(bundle)
    for name in ("a", "b"):
        image = read_image(bundle.parent / f"{name}.png")
        expected = opened.recipe.mask(image, OnnxRuntime(opened.onnx, 1))
        assert np.array_equal(read_label_png(tmp_path / f"{name}.png"), expected)
        assert expected.any()


def test_same_bytes_as_batch_segmentation_for_any_number_of_threads(bundle, tmp_path):
    pictures = {name: str(bundle.parent / f"{name}.png") for name in ("a", "b")}
    segment_shard(load_bundle(bundle), pictures, tmp_path / "shard", threads=1)
    for threads in (1, 2, 3):
        predict(bundle, tmp_path / str(threads), bundle.parent / "a.png", bundle.parent / "b.png",
                options=("--threads", str(threads)))  # fmt: skip

        for name in pictures:
            mask = (tmp_path / str(threads) / f"{name}.png").read_bytes()
            assert mask == (tmp_path / f"shard/{name}.png").read_bytes()


def test_a_folder_keeps_its_shape_and_overlays_stand_beside(bundle, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    Image.open(bundle.parent / "a.png").save(tmp_path / "in/deep/ü.png")

    assert predict(bundle, tmp_path / "out", tmp_path / "in", options=("--overlay",)) == 0

    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert made == {"deep/ü.png", "deep/ü.overlay.png"}


def test_a_broken_picture_is_named_and_the_others_are_finished(bundle, tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes((bundle.parent / "a.png").read_bytes()[:200])

    assert predict(bundle, tmp_path / "out", broken, bundle.parent / "b.png") == 1

    assert (tmp_path / "out/b.png").exists()
    assert not (tmp_path / "out/broken.png").exists()
    error = capsys.readouterr().err
    assert "1 of 2 pictures have no mask" in error
    assert "broken.png" in error
    assert "Traceback" not in error


def test_all_wrong_places_are_listed_before_anything_is_written(bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twin").mkdir()
    Image.open(bundle.parent / "a.png").save(tmp_path / "twin/a.png")

    status = predict(
        bundle,
        tmp_path / "out",
        bundle.parent / "a.png",
        tmp_path / "twin/a.png",
        tmp_path / "none.png",
        tmp_path / "empty",
    )

    assert status == 1
    error = capsys.readouterr().err
    for part in ("none.png: no such file", "empty: a folder without pictures", "several masks would be called a.png"):
        assert part in error
    assert not (tmp_path / "out").exists()


def test_failed_pictures_of_a_shard_are_listed(bundle, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    pictures = {"broken": str(broken), "a": str(bundle.parent / "a.png")}

    segment_shard(load_bundle(bundle), pictures, tmp_path / "shard", threads=1)

    assert (tmp_path / "shard/a.png").exists()
    assert str(broken) in (tmp_path / "shard/failed.csv").read_text(encoding="utf-8")


def test_predicting_does_not_import_pytorch(bundle, tmp_path):
    code = (
        "import sys; from maskmill.cli import main; "
        f"main(['predict', {str(bundle)!r}, {str(bundle.parent / 'a.png')!r}, '-o', {str(tmp_path)!r}]); "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
