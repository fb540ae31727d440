"""`maskmill predict`: masks from a bundle alone, and clear errors."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from maskmill.cli import main
from maskmill.data.cases import read_mask
from maskmill.deployment.batch import segment_shard
from maskmill.deployment.bundle import load_bundle
from maskmill.deployment.segmentation import segment_pictures
from maskmill.files import read_json, read_table, write_json
from maskmill.imaging.images import read_image, read_instance_png, read_label_png
from maskmill.inference.entropy import case_entropy, draw_entropy
from maskmill.inference.postprocess import Step, split_objects
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import OnnxRuntime, TorchRuntime
from maskmill.runs import read_run
from tests.unit.export.test_parity import judge, pack
from tests.unit.member import CLASSES, TILING, Member, make_member
from tests.unit.test_dependencies import declared_distributions, installed_with, packages_of

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


@pytest.fixture
def photos(bundle, tmp_path):
    """A folder with the pictures a.png and b.png."""
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copy(bundle.parent / name, tmp_path / "photos")
    return tmp_path / "photos"


def contents(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_masks_are_those_of_the_trained_member(bundle, tmp_path):
    assert predict(bundle, tmp_path, bundle.parent / "a.png", bundle.parent / "b.png") == 0

    member = Member(bundle.parent)
    recipe = Recipe.of_member(read_run(member.files["config"]), TILING, False, (1, 4, 4), member.files["point"])
    for name in ("a", "b"):
        image = read_image(bundle.parent / f"{name}.png")[np.newaxis]
        expected = recipe.mask(image, TorchRuntime(member.files["model"], 1))
        assert np.array_equal(read_label_png(tmp_path / f"{name}.png"), expected[0])
        assert set(np.unique(expected)) == {0, 1, 2}


def test_a_bundle_keeps_the_order_of_classes_that_is_not_the_alphabets(bundle, tmp_path):
    predict(bundle, tmp_path, bundle.parent / "a.png")

    assert sorted(CLASSES.names) != list(CLASSES.names)
    assert load_bundle(bundle).recipe.classes == CLASSES
    card = read_json(bundle / "bundle.json")
    listed = [{"name": "roof", "colour": "#e69f00"}, {"name": "road", "colour": "#56b4e9"}]
    assert card["recipe"]["classes"] == card["provenance"]["configs"]["fold0-seed0"]["classes"] == listed
    assert Image.open(tmp_path / "a.png").getpalette()[: 3 * 3] == [0, 0, 0, 0xE6, 0x9F, 0x00, 0x56, 0xB4, 0xE9]


def test_pictures_are_never_written_over(bundle, photos, tmp_path, capsys):
    (tmp_path / "link").symlink_to(photos, target_is_directory=True)
    before = contents(photos)

    for output in (photos, tmp_path / "link"):
        assert predict(bundle, output, photos) == 1
        assert contents(photos) == before
        error = capsys.readouterr().err
        for name in ("a.png", "b.png"):
            assert f"{output / name}: is one of the pictures" in error


def test_a_second_run_takes_no_masks_for_pictures(bundle, photos, capsys):
    assert predict(bundle, photos / "masks", photos, options=["--overlay"]) == 0
    before = contents(photos)

    assert predict(bundle, photos / "masks", photos, options=["--overlay"]) == 0

    assert contents(photos) == before
    said = capsys.readouterr().err
    assert f"left out 4 pictures below {photos / 'masks'}, where masks are written" in said
    assert said.count("2 masks are in") == 2


def test_masks_may_stand_beside_pictures_of_other_names(bundle, photos):
    (photos / "a.png").rename(photos / "a.tif")

    assert predict(bundle, photos, photos / "a.tif") == 0
    assert {"a.png", "a.tif", "b.png"} == set(contents(photos))


def test_an_overlay_and_a_mask_never_share_a_file(bundle, photos, tmp_path, capsys):
    shutil.copy(photos / "a.png", photos / "a.overlay.png")

    assert predict(bundle, tmp_path / "out", photos, options=("--overlay",)) == 1

    assert f"{tmp_path / 'out/a.overlay.png'}: would be both a mask and a picture beside one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert predict(bundle, tmp_path / "out", photos) == 0


@pytest.mark.parametrize("output", ["photos/a.png", "photos/a.png/masks"])
def test_an_output_that_cannot_be_a_folder_is_refused_before_anything_runs(bundle, photos, tmp_path, capsys, output):
    before = contents(tmp_path)

    assert predict(bundle, tmp_path / output, photos / "b.png") == 1

    error = capsys.readouterr().err
    assert f"{photos / 'a.png'} is a file" in error
    assert "Traceback" not in error
    assert contents(tmp_path) == before


def test_same_bytes_as_batch_segmentation_for_any_number_of_threads(bundle, tmp_path):
    pictures = {name: str(bundle.parent / f"{name}.png") for name in ("a", "b")}
    segment_shard(load_bundle(bundle), pictures, tmp_path / "shard", tmp_path / "state", "code", threads=1)
    for threads in (1, 2, 3):
        predict(bundle, tmp_path / str(threads), bundle.parent / "a.png", bundle.parent / "b.png",
                options=("--threads", str(threads)))  # fmt: skip

        for name in pictures:
            mask = (tmp_path / str(threads) / f"{name}.png").read_bytes()
            assert mask == (tmp_path / f"shard/masks/{name}.png").read_bytes()


def test_a_folder_keeps_its_shape_and_overlays_stand_beside(bundle, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    Image.open(bundle.parent / "a.png").save(tmp_path / "in/deep/ü.png")

    assert predict(bundle, tmp_path / "out", tmp_path / "in", options=("--overlay",)) == 0

    made = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")}
    assert made == {"deep/ü.png", "deep/ü.overlay.png"}


def test_patterns_are_pictures_and_addresses_are_not(bundle, photos, tmp_path, capsys):
    (tmp_path / "photos/deep").mkdir()
    (photos / "b.png").rename(photos / "deep/b.png")

    assert predict(bundle, tmp_path / "out", photos / "**/*.png") == 0
    assert set(contents(tmp_path / "out")) == {"a.png", "deep/b.png"}

    assert predict(bundle, tmp_path / "none", photos / "a.png", "https://example.org/c.png") == 1
    assert "nothing is downloaded: https://example.org/c.png" in capsys.readouterr().err
    assert predict(bundle, tmp_path / "none", photos / "*.jpg") == 1
    assert "*.jpg: a pattern that no picture has" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_arrays_are_pictures(bundle, photos, tmp_path):
    image = read_image(photos / "a.png")
    np.save(photos / "c.npy", np.asfortranarray(image))

    assert predict(bundle, tmp_path / "out", photos) == 0

    assert set(contents(tmp_path / "out")) == {"a.png", "b.png", "c.png"}
    assert contents(tmp_path / "out")["c.png"] == contents(tmp_path / "out")["a.png"]


def test_entropy_maps_stand_beside_the_very_same_masks(bundle, tmp_path):
    pictures = [bundle.parent / "a.png", bundle.parent / "b.png"]
    predict(bundle, tmp_path / "plain", *pictures)

    assert predict(bundle, tmp_path / "out", *pictures, options=("--uncertainty",)) == 0

    made = contents(tmp_path / "out")
    assert set(made) == {"a.png", "b.png", "a.uncertainty.png", "b.uncertainty.png", "uncertainty.csv"}
    assert {name: made[name] for name in ("a.png", "b.png")} == contents(tmp_path / "plain")
    loaded = load_bundle(bundle)
    for file in pictures:
        probabilities = loaded.recipe.probabilities(read_image(file)[np.newaxis], OnnxRuntime(loaded.onnx, 1))
        with Image.open(tmp_path / f"out/{file.stem}.uncertainty.png") as drawn:
            assert drawn.mode == "L"
            np.testing.assert_array_equal(np.asarray(drawn), draw_entropy(probabilities, 0))
            assert np.ptp(np.asarray(drawn)) > 0


def test_pictures_are_listed_least_sure_first(bundle, photos, tmp_path, capsys):
    (photos / "deep").mkdir()
    Image.new("RGB", (40, 40)).save(photos / "deep/c.png")
    (photos / "broken.png").write_bytes(b"no picture")

    assert predict(bundle, tmp_path / "out", photos, options=("--uncertainty",)) == 1

    loaded = load_bundle(bundle)
    found = {
        name: case_entropy(
            loaded.recipe.probabilities(read_image(photos / name)[np.newaxis], OnnxRuntime(loaded.onnx, 1))
        )
        for name in ("a.png", "b.png", "deep/c.png")
    }
    order = sorted(found, key=lambda name: -found[name].mean)
    rows = read_table(tmp_path / "out/uncertainty.csv")
    assert [row["mask"] for row in rows] == order
    assert [row["picture"] for row in rows] == [(photos / name).as_posix() for name in order]
    for row, name in zip(rows, order, strict=True):
        assert int(row["pixels"]) == found[name].pixels
        assert float(row["entropy"]) == pytest.approx(found[name].mean, abs=1e-6)
        assert float(row["confidence"]) == pytest.approx(1 - found[name].mean, abs=1e-6)
    said = capsys.readouterr().err.partition("a person should look at")[2]
    assert all(f"  - {photos / name} (confidence" in said for name in order[:2])
    assert f"  - {photos / order[2]} (confidence" not in said


def test_probabilities_stand_beside_the_very_same_masks(bundle, tmp_path):
    picture = bundle.parent / "a.png"
    predict(bundle, tmp_path / "plain", picture)

    assert predict(bundle, tmp_path / "out", picture, options=("--probabilities",)) == 0

    loaded, made = load_bundle(bundle), contents(tmp_path / "out")
    assert set(made) == {"a.png", "a.probabilities.npy"}
    assert made["a.png"] == contents(tmp_path / "plain")["a.png"]
    expected = loaded.recipe.probabilities(read_image(picture)[np.newaxis], OnnxRuntime(loaded.onnx, 1))
    written = np.load(tmp_path / "out/a.probabilities.npy")
    np.testing.assert_array_equal(written, expected)
    assert (written.dtype, written.ndim) == (np.uint8, 4)


def test_an_entropy_map_and_a_mask_never_share_a_file(bundle, photos, tmp_path, capsys):
    shutil.copy(photos / "a.png", photos / "a.uncertainty.png")

    assert predict(bundle, tmp_path / "out", photos, options=("--uncertainty",)) == 1

    assert f"{tmp_path / 'out/a.uncertainty.png'}: would be both" in capsys.readouterr().err


def test_broken_and_missing_pictures_are_named_and_the_others_are_finished(bundle, tmp_path, capsys):
    broken, missing = tmp_path / "broken.png", tmp_path / "missing.png"
    broken.write_bytes((bundle.parent / "a.png").read_bytes()[:200])

    assert predict(bundle, tmp_path / "out", broken, missing, bundle.parent / "b.png") == 1

    assert set(contents(tmp_path / "out")) == {"b.png"}
    error = capsys.readouterr().err
    assert f"1 mask is in {tmp_path / 'out'}" in error
    assert "2 of 3 pictures have no mask" in error
    assert f"  - {missing}: there is no such file or folder" in error
    assert f"  - {broken}: it is damaged" in error
    assert error.count("broken.png") == 1
    for word in ("Traceback", "annotation"):
        assert word not in error


def test_missing_pictures_alone(bundle, tmp_path, capsys):
    assert predict(bundle, tmp_path / "out", tmp_path / "missing.png") == 1

    assert "1 of 1 pictures has no mask" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_bundle_is_refused_with_where_bundles_are(tmp_path, photos, capsys):
    assert predict(tmp_path, tmp_path / "out", photos) == 1

    assert "results/NAME/experiments/EXPERIMENT/bundle" in capsys.readouterr().err


def test_a_bundle_of_another_version_is_refused(bundle, tmp_path, photos, capsys):
    shutil.copytree(bundle, tmp_path / "old")
    write_json(tmp_path / "old/bundle.json", read_json(bundle / "bundle.json") | {"schema_version": 1})

    assert predict(tmp_path / "old", tmp_path / "out", photos) == 1
    assert "has schema version 1" in capsys.readouterr().err


def test_all_wrong_places_are_listed_before_anything_is_written(bundle, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twin").mkdir()
    Image.open(bundle.parent / "a.png").save(tmp_path / "twin/a.png")

    status = predict(
        bundle,
        tmp_path / "out",
        bundle.parent / "a.png",
        tmp_path / "twin/a.png",
        tmp_path / "empty",
    )

    assert status == 1
    error = capsys.readouterr().err
    for part in ("empty: a folder without pictures", "several masks would be called a"):
        assert part in error
    assert not (tmp_path / "out").exists()


GUARD = """
import sys

class Guard:
    def find_spec(name, path=None, target=None):
        package = name.partition(".")[0]
        standard = package in sys.stdlib_module_names or package.startswith("_sysconfigdata")
        if not standard and package not in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"no module named {package}", name=package)

sys.meta_path.insert(0, Guard)
from maskmill.cli import main
sys.exit(main(sys.argv[2:]))
"""


def test_predicting_needs_what_is_declared_and_no_more(bundle, photos, tmp_path):
    Image.open(photos / "b.png").save(photos / "c.tif", compression="tiff_lzw")
    packages = packages_of(installed_with(declared_distributions())) | {"maskmill"}

    command = ("predict", bundle, photos, "-o", tmp_path / "out", "--overlay")
    done = subprocess.run(
        [sys.executable, "-c", GUARD, ",".join(packages), *command], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert len(contents(tmp_path / "out")) == 6
    assert contents(tmp_path / "out")["c.png"] == contents(tmp_path / "out")["b.png"]
    assert not {"torch", "yaml"} & packages


WATCH = """
import os, sys

class Watch:
    def find_spec(name, path=None, target=None):
        if name == "onnxruntime":
            print(os.environ.get("ORT_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Watch)
from maskmill.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_runtime_reports_to_nobody(bundle, photos, tmp_path):
    command = [sys.executable, "-c", WATCH, "predict", bundle, photos, "-o", tmp_path / "out"]
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}

    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert done.stdout == "1\n"


def test_objects_that_a_step_tells_apart_are_numbered_beside_the_mask(bundle, tmp_path):
    packed = load_bundle(bundle)
    steps = tuple(Step("split_touching", value, 0.5) for value in range(1, len(packed.recipe.classes) + 1))
    point = replace(packed.recipe.point, steps=steps)
    splitting = replace(packed, recipe=replace(packed.recipe, point=point))

    assert segment_pictures(splitting, {"a": bundle.parent / "a.png"}, tmp_path) == []

    mask, objects = read_mask(tmp_path / "a.png"), read_instance_png(tmp_path / "a.instances.png")
    assert objects.max() > 0
    assert np.array_equal(objects > 0, mask[0] > 0)
    assert np.array_equal(objects, split_objects(mask, steps)[0])
