"""Public data sets, with all their oddities, from the index to the split."""

from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.imaging.images import read_image, read_label_png
from maskmill.indexing.recognise import recognise
from maskmill.splits import split_samples
from tests.unit.label_data import label_paths, run_labels

pytestmark = pytest.mark.real

DUBAI = {
    "Building": "#3C1098",
    "Land": "#8429F6",
    "Road": "#6EC1E4",
    "Vegetation": "#FEDD3A",
    "Water": "#E2A929",
}


def one_folder(folder, source_format="labelme"):
    return {"format": source_format, "images": str(folder), "annotations": str(folder)}


def statistics(folders):
    pixels = defaultdict(int)
    for folder in folders:
        for row in read_table(folder / "statistics.csv"):
            pixels[row["class"]] += int(row["pixels"])
    return pixels


def test_dubai_colour_masks_by_tile(real_data, tmp_path):
    root = real_data / "dubai_aerial" / "Semantic segmentation dataset"
    source = one_folder(root, "png") | {
        "image_pattern": "{tile}/images/{stem}.jpg",
        "annotation_pattern": "{tile}/masks/{stem}.png",
    }
    folders = run_labels(source, tmp_path, DUBAI, ["#9B9B9B"], "skip", group="folder")
    manifest = read_table(tmp_path / "manifest.csv")
    assert len(manifest) == len(list(root.glob("*/images/*.jpg")))
    assert {row["group"] for row in manifest} == {folder.name for folder in root.iterdir() if folder.is_dir()}
    problems = read_table(tmp_path / "problems.csv")
    assert {row["kind"] for row in problems} <= {"unexpected_value"}
    assert all("#000000 (" in row["detail"] for row in problems)
    palettes = 0
    for row in manifest[::5]:
        if row["id"] in label_paths(folders):
            labels = read_label_png(label_paths(folders)[row["id"]])
            with Image.open(row["annotation"]) as mask:
                palettes += mask.mode == "P"
                building = (np.asarray(mask.convert("RGB")) == (0x3C, 0x10, 0x98)).all(axis=2)
            np.testing.assert_array_equal(labels == 1, building)
    assert palettes
    split_samples(tmp_path / "samples.csv", folders, 0.2, 0.2, 1, 0, tmp_path / "splits.csv", list(DUBAI), "audit.html")
    parts = defaultdict(set)
    for row in read_table(tmp_path / "splits.csv"):
        parts[row["group"]].add(row["fold0"])
    assert all(len(part) == 1 for part in parts.values())


DUBAI_PATTERNS = {"image_pattern": "{tile}/images/{stem}.jpg", "annotation_pattern": "{tile}/masks/{stem}.png"}


@pytest.mark.parametrize("tile", ["*", "Tile 2", "Tile 4"])
def test_dubai_masks_are_recognised_whatever_the_classes(real_data, tmp_path, tile):
    root = real_data / "dubai_aerial" / "Semantic segmentation dataset"
    for folder in root.glob(tile):
        (tmp_path / folder.name).symlink_to(folder)
    for classes in ({"Building": "#3C1098"}, DUBAI, ["building"], list(DUBAI)):
        assert recognise(one_folder(tmp_path) | DUBAI_PATTERNS, classes)[0] == "png"


def test_dubai_labels_are_the_same_where_the_format_is_recognised(real_data, tmp_path):
    root = real_data / "dubai_aerial" / "Semantic segmentation dataset"
    statistics = []
    for name in ("auto", "png"):
        source = one_folder(root, name) | DUBAI_PATTERNS
        folders = run_labels(source, tmp_path / name, {"building": "#3C1098"}, group="image")
        statistics.append(sorted(str(row) for folder in folders for row in read_table(folder / "statistics.csv")))
        assert len(read_table(tmp_path / name / "samples.csv")) == len(list(root.glob("*/images/*.jpg")))
    assert statistics[0] == statistics[1]


def test_object_masks_are_recognised(real_data):
    patterns = {"image_pattern": "{case}/images/{case}.png", "annotation_pattern": "{case}/masks/{object}.png"}
    nuclei = one_folder(real_data / "dsb2018_nuclei" / "stage1_train")
    assert recognise(nuclei | patterns, ["nucleus"])[0] == "instances"
    root = real_data / "stardist_samples" / "data_images"
    numbers = one_folder(root) | {"image_pattern": "img{kind}.tif", "annotation_pattern": "mask{kind}.tif"}
    assert recognise(numbers, ["nucleus"])[0] == "instances"


def test_isbi_black_is_the_class(real_data, tmp_path):
    root = real_data / "isbi2012_membrane" / "train"
    source = {"format": "png", "images": f"{root}/image", "annotations": f"{root}/label"}
    folders = run_labels(source, tmp_path / "out", {"membrane": "#000000"}, ["#ffffff"], group="slab", slabs=5)
    pixels = statistics(folders)
    assert 0.18 < pixels["1"] / (pixels["0"] + pixels["1"]) < 0.26
    groups = {row["id"]: row["group"] for row in read_table(tmp_path / "out" / "manifest.csv")}
    slabs = [groups[sample] for sample in sorted(groups, key=int)]
    assert slabs == sorted(slabs)
    assert set(slabs) == {f"slab_{i}" for i in range(1, 6)}
    with pytest.raises(MaskmillError, match="0/255 mask where class indices are expected"):
        run_labels(source, tmp_path / "indices", ["membrane"])


def test_nuts(real_data, tmp_path):
    folders = run_labels(one_folder(real_data / "labelme_nuts" / "images"), tmp_path, ["date", "fig", "hazelnut"])
    pixels = statistics(folders)
    assert 0.15 < 1 - pixels["0"] / sum(pixels.values()) < 0.25
    assert min(pixels["1"], pixels["2"], pixels["3"]) > 0


def test_old_chinese_files_with_embedded_pictures(real_data, tmp_path):
    source = one_folder(real_data / "labelme_old_chinese" / "sample_jsons")
    folders = run_labels(source, tmp_path, ["不导电", "角位漏底"])
    rows = read_table(tmp_path / "samples.csv")
    assert rows
    assert all(row["image"] == row["annotation"] and (row["width"], row["height"]) == ("2560", "1920") for row in rows)
    assert read_image(rows[0]["image"]).shape == (1920, 2560, 3)
    pixels = statistics(folders)
    assert 0.2 < 1 - pixels["0"] / sum(pixels.values()) < 0.3


def test_oddities(real_data, tmp_path):
    root = real_data / "labelme_oddities"
    folders = run_labels(one_folder(root / "yolact_shapes"), tmp_path / "yolact", ["square", "triangle"])
    pixels = statistics(folders)
    assert pixels["1"] > 0
    assert pixels["2"] > 0
    with pytest.raises(MaskmillError, match="missing_picture") as caught:
        run_labels(one_folder(root), tmp_path / "all", ["square", "triangle"])
    assert '"parent/stem.jpg"' in str(caught.value)
    assert len(read_table(tmp_path / "all" / "problems.csv")) == 5
