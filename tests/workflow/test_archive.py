"""Batch segmentation with a bundle alone: pictures of any name and kind, failures, changes, and a killed run."""

import hashlib
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from maskmill.cli import main
from maskmill.files import read_table
from tests.unit.packed import make_bundle
from tests.unit.volume_data import write_nifti
from tests.workflow.conftest import make_project

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

MAPPED = {
    "driver": "GTiff", "dtype": "uint8", "count": 3, "tiled": True, "blockxsize": 64, "blockysize": 32, "nodata": 0,
    "crs": "EPSG:32632", "transform": rasterio.Affine(0.2, 0, 500_000, 0, -0.2, 5_300_000),
}  # fmt: skip
PICTURES = ("a.jpg", "a.png", "tief/ä ö 角.png", "tief/tiefer/{x} 'q' [1] \"2\".png", "e$HOME; #1.png", "*.bmp")
FAILED = ("bands.tif", "cut.jpg", "empty.tif")


def noise(*shape):
    return np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)


def save(folder, name, pixels):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("packed"))


@pytest.fixture
def archive(packed, tmp_path):
    """A project that only segments: a bundle, a folder for pictures, and a config that names the two."""
    project = make_project(tmp_path / "project", {"segment": {"images": "Archiv ü", "bundle": "model"}})
    shutil.copytree(packed, project.folder / "model")
    (project.folder / "Archiv ü").mkdir()
    return project


def results_of(archive, name):
    """Where the masks of a folder's pictures are; the digits are of the whole path."""
    digest = hashlib.sha256({"Archiv": "Archiv ü"}.get(name, name).encode()).hexdigest()
    return archive.folder / f"results/{name}-{digest[:8]}/segmented"


def masks(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".snakemake_timestamp")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_everything_in_an_archive_gets_the_mask_of_predict_or_a_reason(archive, tmp_path):
    images, results = archive.folder / "Archiv ü", results_of(archive, "Archiv")
    for name in PICTURES:
        save(images, name, noise(50, 70, 3))
    tifffile.imwrite(images / "bands.tif", noise(5, 30, 40), photometric="minisblack", metadata={"axes": "CYX"})
    (images / "cut.jpg").write_bytes((images / "a.jpg").read_bytes()[:400])
    (images / "empty.tif").touch()
    write_nifti(images / "mr.nii.gz", noise(6, 40, 36, 3))
    scene = noise(3, 100, 130)
    scene[:, :30, :40] = 0
    with rasterio.open(images / "scene.tif", "w", **MAPPED, height=100, width=130) as target:
        target.write(scene)

    output = archive.snakemake("--", "segment")

    assert f"Done: 8 of 11 pictures have their masks in\n  {results}/masks\n3 pictures have none." in output
    failed = read_table(results / "failed.csv")
    assert [(row["file"], bool(row["reason"]), bool(row["remedy"])) for row in failed] == [
        (f"Archiv ü/{name}", True, True) for name in FAILED
    ]
    assert main(["predict", str(archive.folder / "model"), str(images), "-o", str(tmp_path / "out")]) == 1
    made = masks(results / "masks")
    assert made == masks(tmp_path / "out")
    assert {"a.jpg.png", "a.png.png", "mr.nii.gz", "scene.tif", "tief/ä ö 角.png", "e$HOME; #1.png"} <= set(made)
    assert {row["mask"]: row["picture"] for row in read_table(results / "masks.csv")}["a.jpg.png"] == "Archiv ü/a.jpg"
    with rasterio.open(results / "masks/scene.tif") as mask:
        assert (mask.crs, mask.transform, mask.block_shapes) == (MAPPED["crs"], MAPPED["transform"], [(32, 64)])
        assert mask.nodata == 255
        assert np.array_equal(mask.read(1) == 255, scene[0] == 0)


def test_a_change_is_one_shard_a_mended_picture_one_picture_and_another_bundle_all(archive, packed):
    images = archive.folder / "Archiv ü"
    for number in range(20):
        save(images, f"p{number:02}.png", noise(40, 40, 3))
    (images / "p00.png").write_bytes(b"broken")
    assert "1 picture has none" in archive.snakemake("--", "segment")
    shards = results_of(archive, "Archiv") / "shards"
    count = len(list(shards.iterdir()))
    assert "Nothing to be done" in archive.snakemake("--", "segment")

    save(images, "p00.png", noise(40, 40, 3))
    assert archive.planned("--", "segment") == {"segment_images": 1, "segment": 1}
    output = archive.snakemake("--", "segment")
    assert "Done: 20 of 20 pictures have their masks in" in output
    (shard,) = (folder for folder in shards.iterdir() if (folder / "masks/p00.png").exists())
    others = len(list((shard / "masks").iterdir())) - 1
    assert f"{others} of {others + 1} pictures have their masks already" in output

    save(images, "new.png", noise(40, 40, 3))
    assert archive.planned("--", "segment") == {"segment_images": 1, "segment": 1}
    (images / "new.png").unlink()
    card = archive.folder / "model/bundle.json"
    folder_time = (archive.folder / "model").stat()
    card.write_text(card.read_text(encoding="utf-8") + " ", encoding="utf-8")
    os.utime(archive.folder / "model", ns=(folder_time.st_atime_ns, folder_time.st_mtime_ns))
    assert archive.planned("--", "segment") == {"segment_images": count, "segment": 1}


def test_pictures_and_bundle_may_be_named_on_the_command_line(archive):
    save(archive.folder / "neu", "a.png", noise(40, 40, 3))
    (archive.folder / "tiny.yaml").write_text("preset: cell\n", encoding="utf-8")

    archive.snakemake("--config", "segment={images: neu, bundle: model}", "--", "segment")

    assert set(masks(results_of(archive, "neu") / "masks")) == {"a.png"}


def test_pictures_that_a_pattern_finds_are_not_those_that_were_made(archive):
    save(archive.folder / "far", "b.png", noise(40, 40, 3))
    save(archive.folder / "near", "a.png", noise(40, 40, 3))
    (archive.folder / "near/link").symlink_to(archive.folder / "far")
    (archive.folder / "near/gone.png").symlink_to(archive.folder / "nothing")
    command = ("--config", "segment={images: '**/*.png', bundle: model}", "--", "segment")
    output = archive.snakemake(*command)

    assert "gone.png" in output
    (made,) = archive.folder.glob("results/*/segmented/masks")
    assert set(masks(made)) == {"near/a.png", "near/link/b.png", "far/b.png"}
    assert "Nothing to be done" in archive.snakemake(*command)


@pytest.mark.slow
def test_a_killed_run_computes_no_finished_picture_again(archive, tmp_path):
    images, segmented = archive.folder / "Archiv ü", results_of(archive, "Archiv")
    for number in range(60):
        save(images, f"p{number:02}.png", noise(300, 300, 3))
    command = archive.command("--", "segment")
    environment = os.environ | {"PYTHONPATH": str(archive.folder)}
    with subprocess.Popen(command, cwd=archive.folder, env=environment, start_new_session=True) as process:
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end and finished(segmented) < 12:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    before = {path: path.stat().st_ino for path in (segmented / "state").glob("*/masks/*.png")}
    noted = finished(segmented)
    assert 12 <= noted < 60
    archive.snakemake("--unlock")

    archive.snakemake("--", "segment")

    kept = [path for path, number in before.items() if path.stat().st_ino == number]
    assert len(kept) >= noted
    assert main(["predict", str(archive.folder / "model"), str(images), "-o", str(tmp_path / "out")]) == 0
    assert masks(segmented / "masks") == masks(tmp_path / "out")


def finished(segmented):
    """How many pictures the states note as finished."""
    lists = (segmented / "state").glob("*/finished.jsonl")
    return sum(path.read_text(encoding="utf-8").count('"name"') for path in lists)
