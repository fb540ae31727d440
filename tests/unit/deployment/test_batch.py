"""Shards of new pictures: the masks of `maskmill predict`, and nothing that is finished is computed again."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from maskmill.cli import main
from maskmill.deployment import batch
from maskmill.deployment.batch import collect_masks, segment_shard
from maskmill.deployment.bundle import load_bundle
from maskmill.files import read_table
from maskmill.inference.postprocess import Step
from tests.unit.packed import make_bundle

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return load_bundle(make_bundle(tmp_path_factory.mktemp("batch")))


@pytest.fixture
def pictures(bundle, tmp_path):
    """Four pictures by name, one of them in a folder of the archive."""
    names = {"a": "a.png", "b": "b.png", "deep/ä": "a.png", "z": "b.png"}
    for name, source in names.items():
        (tmp_path / "archive" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(bundle.folder.parent / source, tmp_path / f"archive/{name}.png")
    return {name: str(tmp_path / f"archive/{name}.png") for name in names}


@pytest.fixture
def segmented(monkeypatch):
    """Names of the pictures that are really segmented."""
    names, really = [], batch.segment_picture

    def segment_picture(recipe, runtime, file, *others):
        names.append(file.stem)
        really(recipe, runtime, file, *others)

    monkeypatch.setattr(batch, "segment_picture", segment_picture)
    return names


@pytest.fixture
def run(bundle, tmp_path):
    """Run the shard as Snakemake does, which removes the output first."""

    def segment(pictures, code="code", bundle=bundle):
        shutil.rmtree(tmp_path / "shard", ignore_errors=True)
        segment_shard(bundle, pictures, tmp_path / "shard", tmp_path / "state", code, threads=1)

    return segment


def masks(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def age(file):
    """Change the time of a file."""
    os.utime(file, ns=(1, 1))


def test_a_shard_has_the_masks_of_predict_and_a_table_of_them(bundle, pictures, run, tmp_path):
    run(pictures)

    assert main(["predict", str(bundle.folder), str(tmp_path / "archive"), "-o", str(tmp_path / "out")]) == 0
    made = masks(tmp_path / "shard/masks")
    assert sorted(made) == ["a.png", "b.png", "deep/ä.png", "z.png"]
    assert made == masks(tmp_path / "out")
    assert read_table(tmp_path / "shard/masks.csv") == [
        {"picture": file, "mask": f"{name}.png"} for name, file in pictures.items()
    ]
    assert read_table(tmp_path / "shard/failed.csv") == []


def test_pictures_of_another_pixel_type_fail_with_a_remedy(run, tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", np.ones((40, 50, 3), np.uint16), photometric="rgb")

    run({"deep": str(tmp_path / "deep.tif")})

    (failed,) = read_table(tmp_path / "shard/failed.csv")
    assert failed["reason"].startswith("it holds uint16 values, but the model was trained on uint8 ones")
    assert failed["remedy"].startswith("save it as uint8")


def test_a_shard_says_how_sure_it_is_as_predict_does_after_a_stop_too(bundle, pictures, run, segmented, tmp_path):
    run({name: pictures[name] for name in ("a", "b")})
    run(pictures)

    assert segmented == ["a", "b", "ä", "z"]
    archive, out = tmp_path / "archive", tmp_path / "out"
    assert main(["predict", str(bundle.folder), str(archive), "-o", str(out), "--uncertainty"]) == 0
    collect_masks(
        [tmp_path / "shard"], *(tmp_path / "all" / name for name in ("masks", "masks.csv", "failed.csv", "u.csv"))
    )
    assert (tmp_path / "all/u.csv").read_bytes() == (out / "uncertainty.csv").read_bytes()
    rows = read_table(tmp_path / "all/u.csv")
    assert {row["mask"] for row in rows} == {"a.png", "b.png", "deep/ä.png", "z.png"}
    assert [float(row["confidence"]) for row in rows] == sorted(float(row["confidence"]) for row in rows)
    assert len({row["confidence"] for row in rows}) == 2


def test_a_killed_shard_goes_on_with_the_picture_it_was_at(pictures, run, segmented, monkeypatch, tmp_path):
    run(pictures)
    undisturbed = masks(tmp_path / "shard")
    shutil.rmtree(tmp_path / "state")
    recorded = batch.segment_picture

    def killed_at_third(recipe, runtime, file, *others):
        recorded(recipe, runtime, file, *others)
        if segmented.count(file.stem) and len(segmented) == 3:
            raise KeyboardInterrupt  # its mask is written, but not noted

    segmented.clear()
    monkeypatch.setattr(batch, "segment_picture", killed_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(pictures)
    assert not (tmp_path / "shard").exists()
    with open(tmp_path / "state/finished.jsonl", "a", encoding="utf-8") as lines:
        lines.write('{"name": "ä", "sta')  # as a full disk or a power cut leaves it
    monkeypatch.setattr(batch, "segment_picture", recorded)
    segmented.clear()

    run(pictures)

    assert segmented == ["ä", "z"]
    assert masks(tmp_path / "shard") == undisturbed


def test_a_further_picture_is_segmented_alone_and_one_less_leaves_no_mask(pictures, run, segmented, tmp_path):
    run({name: pictures[name] for name in "abz"})
    segmented.clear()

    run({name: file for name, file in pictures.items() if name != "z"})

    assert segmented == ["ä"]
    assert sorted(masks(tmp_path / "shard/masks")) == ["a.png", "b.png", "deep/ä.png"]
    assert sorted(masks(tmp_path / "state/masks")) == ["a.png", "b.png", "deep/ä.png"]


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda archive, state: age(archive / "b.png"), ["b"]),
        (lambda archive, state: (archive / "b.pgw").write_text("1\n0\n0\n-1\n0\n0\n"), ["b"]),
        (lambda archive, state: age(state / "masks/b.png"), ["b"]),
        (lambda archive, state: (state / "masks/b.png").unlink(), ["b"]),
        (lambda archive, state: (state / "finished.jsonl").unlink(), ["a", "b", "ä", "z"]),
        (lambda archive, state: None, []),
    ],
    ids=["picture", "world file", "mask", "no mask", "no list", "nothing"],
)
def test_what_changed_is_segmented_again(pictures, run, segmented, tmp_path, change, again):
    run(pictures)
    segmented.clear()
    change(tmp_path / "archive", tmp_path / "state")

    run(pictures)

    assert segmented == again
    assert len(masks(tmp_path / "shard/masks")) == 4
    assert ("b.tif" in masks(tmp_path / "shard/masks")) == (tmp_path / "archive/b.pgw").exists()


def test_another_archive_of_the_same_sizes_and_times_is_another(pictures, run, segmented, tmp_path):
    run(pictures)
    segmented.clear()
    shutil.copytree(tmp_path / "archive", tmp_path / "next")  # keeps the times

    run({name: file.replace("/archive/", "/next/") for name, file in pictures.items()})

    assert len(segmented) == 4


def test_other_code_and_another_bundle_segment_all_again(bundle, pictures, run, segmented, tmp_path):
    run(pictures)
    segmented.clear()
    run(pictures, code="other")
    assert len(segmented) == 4
    shutil.copytree(bundle.folder, tmp_path / "bundle")
    card = tmp_path / "bundle/bundle.json"
    card.write_text(card.read_text(encoding="utf-8").replace('"run_id"', '"run_id" '), encoding="utf-8")
    segmented.clear()

    run(pictures, code="other", bundle=load_bundle(tmp_path / "bundle"))

    assert len(segmented) == 4


def test_a_network_is_not_opened_where_nothing_is_to_do(bundle, pictures, run, monkeypatch):
    run(pictures)
    monkeypatch.setattr(type(bundle), "open", None)

    run(pictures)


def test_pictures_without_a_mask_are_listed_with_a_remedy_and_the_others_finished(bundle, pictures, run, tmp_path):
    archive = tmp_path / "archive"
    (archive / "b.png").write_bytes(b"no picture")
    (archive / "deep/ä.png").write_bytes((archive / "a.png").read_bytes()[:500])
    tifffile.imwrite(archive / "z.tif", np.zeros((5, 9, 9), np.uint8), metadata={"axes": "CYX"})

    os.mkfifo(archive / "pipe.png")

    run(pictures | {Path(name).stem: str(archive / name) for name in ("z.tif", "gone.png", "pipe.png")})

    assert list(masks(tmp_path / "shard/masks")) == ["a.png"]
    failed = {
        Path(row["file"]).name: (row["reason"], row["remedy"]) for row in read_table(tmp_path / "shard/failed.csv")
    }
    assert failed["b.png"] == ("it is no picture in a known format", "replace the file, or take it away")
    assert failed["ä.png"][0].startswith("it is damaged")
    reason, remedy = failed["z.tif"]
    assert "has 5 channels where the model was trained on 3" in reason
    assert remedy == "convert it, or train with such pictures"
    assert failed["gone.png"] == ("there is no such file any more", "start again to go on without it")
    assert failed["pipe.png"] == ("it is neither a file nor a folder", "take it away")


def test_a_picture_off_the_map_is_told_where_the_bundle_asks_for_square_metres(bundle, pictures, run, tmp_path):
    point = replace(bundle.recipe.point, steps=(Step("remove_small", 1, "5 m2"),))

    run({"a": pictures["a"]}, bundle=replace(bundle, recipe=replace(bundle.recipe, point=point)))

    (row,) = read_table(tmp_path / "shard/failed.csv")
    assert "the area 5 m2 needs" in row["reason"]
    assert row["remedy"] == "write the area as a number of pixels"


@pytest.mark.parametrize("links", [True, False], ids=["links", "copies"])
def test_all_masks_come_into_one_folder(tmp_path, monkeypatch, links):
    for shard, name in (("01", "x/b.png"), ("00", "c.tif")):
        (tmp_path / shard / "masks" / name).parent.mkdir(parents=True)
        (tmp_path / shard / "masks" / name).write_text(name)
        (tmp_path / shard / "masks.csv").write_text(f"picture,mask\n/p/{name},{name}\n")
        (tmp_path / shard / "uncertainty.csv").write_text(
            f"picture,mask,pixels,entropy,confidence\n/p/{name},{name},9,0.{shard},0.9{shard}\n"
        )
        (tmp_path / shard / "failed.csv").write_text(f"file,reason,remedy\n/p/{shard},why,what\n")
    (tmp_path / "out/masks").mkdir(parents=True)
    (tmp_path / "out/masks/stale.png").touch()
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError))

    collect_masks(
        [tmp_path / "01", tmp_path / "00"],
        *(tmp_path / "out" / name for name in ("masks", "masks.csv", "failed.csv", "uncertainty.csv")),
    )

    assert masks(tmp_path / "out/masks") == {"x/b.png": b"x/b.png", "c.tif": b"c.tif"}
    assert (tmp_path / "out/masks/c.tif").samefile(tmp_path / "00/masks/c.tif") == links
    assert [row["mask"] for row in read_table(tmp_path / "out/masks.csv")] == ["c.tif", "x/b.png"]
    assert [row["file"] for row in read_table(tmp_path / "out/failed.csv")] == ["/p/00", "/p/01"]
    assert [row["mask"] for row in read_table(tmp_path / "out/uncertainty.csv")] == ["c.tif", "x/b.png"]
