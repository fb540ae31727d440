"""What jobs ask for, from the configuration and what a run has written."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from maskmill.dag.configuration import resolve_config
from maskmill.dag.resources import LAUNCHER, LEAST_MINUTES, Estimator, pictures_of_files
from maskmill.files import write_json, write_table
from maskmill.planning.plan import write_plan
from maskmill.planning.planner import make_plan
from tests.unit.dag.test_configuration import DATASET, PRESETS, SCHEMA
from tests.unit.plan_data import fingerprint

ROOT = Path(__file__).parents[3]
MEMBER = {"experiment": "baseline", "member": "fold0-seed0"}
COLUMNS = ("id", "annotation", "format", "width", "height", "depth", "channels", "dtype")


def estimator(results: Path, **sections) -> Estimator:
    """Of a run whose files are in `results`."""
    return Estimator(resolve_config({"preset": "medical", "dataset": DATASET} | sections, PRESETS, SCHEMA), results)


def write_pictures(table: Path, side: int, count: int = 2, format_name: str = "png", annotations=("a.png",)) -> None:
    """A manifest, or a shard's list, of squares in colour whose annotations are in these files, in turn."""
    sizes = {"width": side, "height": side, "depth": 1, "channels": 3, "dtype": "uint8", "format": format_name}
    places = [annotations[number % len(annotations)] for number in range(count)]
    rows = [{"id": str(number), "annotation": place} | sizes for number, place in enumerate(places)]
    write_table(table, rows, COLUMNS)


def test_nothing_is_needed_to_plan(tmp_path):
    planned = estimator(tmp_path / "missing")

    for rule in ("index_samples", "rasterize_labels", "train_model", "check_parity"):
        assert planned.memory_mb(rule, MEMBER | {"shard": "00"}) > LAUNCHER
        assert planned.minutes(rule, MEMBER | {"shard": "00"}) > LEAST_MINUTES


def test_a_shard_asks_by_its_own_pictures(tmp_path):
    write_pictures(tmp_path / "manifest.csv", 10_000)
    write_pictures(tmp_path / "shards/00.csv", 100)
    write_pictures(tmp_path / "shards/01.csv", 10_000)
    planned = estimator(tmp_path)

    small, large = (planned.memory_mb("rasterize_labels", {"shard": shard}) for shard in ("00", "01"))

    assert small <= 600
    assert large > 100 * 30 / 1.05  # MiB: 10^8 pixels of 30 bytes
    assert planned.memory_mb("draw_sheets", {}) > 1000


def test_pictures_that_are_enlarged_for_the_cache_count_as_large(tmp_path):
    write_pictures(tmp_path / "shards/00.csv", 3000)
    plain, small, large = (estimator(tmp_path, preprocess={"scale": scale}) for scale in (1, 0.5, 2))

    of_cache = [one.mebibytes("cache_samples", {"shard": "00"}) for one in (plain, small, large)]

    assert of_cache[0] == of_cache[1]
    assert of_cache[2] > 3 * of_cache[0]
    assert plain.mebibytes("rasterize_labels", {"shard": "00"}) == large.mebibytes("rasterize_labels", {"shard": "00"})


def test_a_changed_table_is_read_again(tmp_path):
    planned = estimator(tmp_path)
    write_pictures(tmp_path / "manifest.csv", 100)
    before = planned.memory_mb("draw_sheets", {})

    write_pictures(tmp_path / "manifest.csv", 9999)

    assert planned.memory_mb("draw_sheets", {}) > 2 * before


def test_a_table_is_read_once_while_it_stays(tmp_path, monkeypatch):
    write_pictures(tmp_path / "manifest.csv", 100)
    planned = estimator(tmp_path)
    first = planned.memory_mb("draw_sheets", {})
    monkeypatch.setattr("maskmill.dag.resources.read_table", lambda path: pytest.fail("read again"))

    assert planned.memory_mb("draw_sheets", {}) == first


def test_further_attempts_ask_for_more(tmp_path):
    planned = estimator(tmp_path)

    memory = [planned.memory_mb("train_model", MEMBER, attempt=attempt) for attempt in (1, 2, 3)]
    minutes = [planned.minutes("train_model", MEMBER, attempt=attempt) for attempt in (1, 2, 3)]

    assert memory[1] == pytest.approx(1.5 * memory[0], abs=100)
    assert memory[2] == pytest.approx(2.25 * memory[0], abs=200)
    assert minutes == [minutes[0], 2 * minutes[0], 3 * minutes[0]]


def test_a_plan_takes_the_place_of_the_guess(tmp_path):
    write_pictures(tmp_path / "manifest.csv", 512)
    planned = estimator(tmp_path)
    guess = planned.memory_mb("train_model", MEMBER)
    config = resolve_config({"preset": "medical", "dataset": DATASET}, PRESETS, SCHEMA)
    plan = make_plan(fingerprint((1, 64, 64), samples=8), 0, config)

    write_plan(tmp_path / "experiments/baseline/plan/fold0.yaml", plan)

    assert planned.memory_mb("train_model", MEMBER) < guess / 2


@pytest.mark.parametrize("text", ["", "{", "options: 3", "options: {}\nnetwork: {}"])
def test_a_spoilt_plan_is_the_trainings_to_tell_of(tmp_path, text):
    guess = estimator(tmp_path).memory_mb("train_model", MEMBER)
    (tmp_path / "experiments/baseline/plan").mkdir(parents=True)
    (tmp_path / "experiments/baseline/plan/fold0.yaml").write_text(text)

    assert estimator(tmp_path).memory_mb("train_model", MEMBER) == guess


def test_a_spoilt_table_counts_as_none(tmp_path):
    guess = estimator(tmp_path).memory_mb("draw_sheets", {})

    (tmp_path / "manifest.csv").write_text("id,width\na,100\n")

    assert estimator(tmp_path).memory_mb("draw_sheets", {}) == guess


def test_a_trial_asks_by_what_it_tries(tmp_path):
    train = {"patch": 128, "batch_size": 2}
    planned = estimator(tmp_path, train=train, model={"dimensions": 2, "depth": 3})
    wildcards = {"experiment": "baseline", "trial": "001"}
    before = planned.memory_mb("run_trial", wildcards)
    tried = tmp_path / "experiments/baseline/search/001/options.yaml"
    tried.parent.mkdir(parents=True)

    tried.write_text(yaml.safe_dump({"train": {"batch_size": 64}}))

    assert planned.memory_mb("run_trial", wildcards) > 2 * before


def test_pictures_without_a_manifest_count_by_their_files(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"0" * 1000)
    (tmp_path / "b.tif").write_bytes(b"0" * 2000)
    (tmp_path / "series").mkdir()
    (tmp_path / "series/1.dcm").write_bytes(b"0" * 500)
    files = [str(tmp_path / name) for name in ("a.jpg", "b.tif", "series", "missing.png")]

    found = pictures_of_files(files)

    assert (found.count, found.values, found.together) == (4, 15_000, 15_000 + 8000 + 2000)


@pytest.mark.parametrize(
    ("shape", "dtype", "stored"), [((300, 500), "uint8", 1), ((300, 500, 3), "uint8", 3), ((300, 500, 4), "uint16", 8)]
)
def test_an_empty_png_counts_as_its_header_says(tmp_path, shape, dtype, stored):
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros(shape, dtype))
    (tmp_path / "broken.png").write_bytes(b"0" * 100)

    found = pictures_of_files([str(tmp_path / "empty.png")])

    assert (found.values, found.pixels) == (300 * 500 * stored, 300 * 500 * stored)
    assert pictures_of_files([str(tmp_path / "broken.png")]).values == 400


def test_of_a_large_tiff_file_no_more_is_in_memory_than_windows(tmp_path):
    for name, size in (("small.tif", 1 << 20), ("large.tif", 1 << 30), ("large.tiff", 20 << 30)):
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)  # sparse

    small, *large = (pictures_of_files([str(tmp_path / name)]) for name in ("small.tif", "large.tif", "large.tiff"))

    assert small.values == small.pixels
    assert [found.values for found in large] == [1 << 26] * 2
    assert large[1].together == 20 * large[0].together  # which time goes by


def test_new_pictures_ask_by_the_bundle_that_is_named(tmp_path):
    config = resolve_config({"preset": "cell", "dataset": DATASET, "model": {"dimensions": 2}}, PRESETS, SCHEMA)
    (tmp_path / "new.png").write_bytes(b"0" * 1_000_000)
    memory = {}
    for width in (16, 128):
        recipe = {
            "tiling": {"tile": [1, 512, 512], "batch_size": 4, "overlap": 0.2, "tta": "none"},
            "preprocessing": {"scale": 1.0},
            "classes": [{"name": "cell"}],
            "volumes": False,
            "operating_point": {"steps": []},
        }
        run = {"model": config["model"] | {"width": width}, "train": config["train"]}
        content = {"recipe": recipe, "provenance": {"configs": {"fold0-seed0": run}}, "members": [{}]}
        write_json(tmp_path / f"{width}/bundle.json", content)
        planned = estimator(tmp_path, segment={"bundle": str(tmp_path / str(width))})
        memory[width] = planned.mebibytes("segment_images", {"shard": "00"}, [str(tmp_path / "new.png")])

    assert memory[128] > 2 * memory[16]
    missing = estimator(tmp_path, segment={"bundle": str(tmp_path / "none")})
    assert missing.mebibytes("segment_images", {"shard": "00"}, [str(tmp_path / "new.png")]) > 0


def test_indexing_asks_by_the_files_there_are(tmp_path):
    source = {"format": "png", "images": "images", "annotations": "images", "root": str(tmp_path)}
    planned = estimator(tmp_path, dataset=DATASET | {"source": source})
    before = planned.memory_mb("index_samples", {})
    (tmp_path / "images").mkdir()
    for number in range(5000):
        (tmp_path / f"images/{number}.png").touch()

    assert planned.memory_mb("index_samples", {}) == pytest.approx(before + 200, abs=100)


def write_sparse(path: Path, mebibytes: int) -> Path:
    """A file of this size that takes no space."""
    with open(path, "wb") as file:
        file.truncate(mebibytes * 2**20)
    return path


@pytest.mark.parametrize(("format_name", "mebibytes"), [("coco", 1900), ("geojson", 3200), ("cvat", 800), ("png", 0)])
def test_what_a_file_of_all_annotations_takes_counts(tmp_path, format_name, mebibytes):
    files = [write_sparse(tmp_path / "large.json", 150), write_sparse(tmp_path / "small.json", 50)]
    write_pictures(tmp_path / "shards/00.csv", 100, 4, format_name, files)
    write_pictures(tmp_path / "shards/01.csv", 100, 4)
    planned = estimator(tmp_path)

    for rule in ("rasterize_labels", "audit_labels"):
        with_files, without = (planned.mebibytes(rule, {"shard": shard}) for shard in ("00", "01"))
        assert with_files - without == pytest.approx(mebibytes)
    assert planned.mebibytes("cache_samples", {"shard": "00"}) == planned.mebibytes("cache_samples", {"shard": "01"})


def test_a_file_for_each_picture_is_read_alone(tmp_path):
    files = [write_sparse(tmp_path / f"{number}.json", 10) for number in range(4)]
    for format_name in ("coco", "labelme"):
        write_pictures(tmp_path / f"shards/{format_name}.csv", 100, 4, format_name, files)
    planned = estimator(tmp_path)

    coco, labelme = (planned.mebibytes("rasterize_labels", {"shard": shard}) for shard in ("coco", "labelme"))

    assert coco - labelme == pytest.approx(3 * 95 - 120)


@pytest.mark.parametrize(("format_name", "mebibytes"), [("coco", 950), ("auto", 1600), ("png", 0)])
@pytest.mark.parametrize("annotations", ["annotations/all.json", "annotations"])
def test_indexing_asks_by_the_annotation_file(tmp_path, format_name, mebibytes, annotations):
    source = {"format": format_name, "images": "images", "annotations": annotations, "root": str(tmp_path)}
    planned = estimator(tmp_path, dataset=DATASET | {"source": source})
    before = planned.mebibytes("index_samples", {}), planned.seconds("index_samples", {})
    (tmp_path / "annotations").mkdir()

    write_sparse(tmp_path / "annotations/all.json", 100)

    assert planned.mebibytes("index_samples", {}) - before[0] == pytest.approx(mebibytes)
    assert (planned.seconds("index_samples", {}) > before[1]) == (mebibytes > 0)


def test_planning_imports_nothing_heavy():
    code = (
        "import sys, maskmill.dag.resources; "
        "print(*{'torch', 'numpy', 'cv2', 'scipy', 'pandas', 'snakemake'} & sys.modules.keys())"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""
