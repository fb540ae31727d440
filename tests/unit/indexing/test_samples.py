"""Pictures and annotations are paired by id; every file that finds no partner is a problem."""

import base64
import unicodedata

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskmill.dag.sharding import shard_of
from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file
from maskmill.indexing.samples import MANIFEST_COLUMNS
from tests.unit.label_data import index, labelme_source, shape, write_labelme, write_mask, write_picture


def write_pair(root, name, suffix=".png"):
    write_picture(root / "images" / f"{name}{suffix}")
    write_labelme(root / "annotations" / f"{name}.json", shape())


def read_index(source, output, **group):
    index(source, output, **group)
    return read_table(output / "manifest.csv"), read_table(output / "index_problems.csv")


def test_manifest_has_all_that_later_stages_need(tmp_path):
    write_pair(tmp_path, "scene b/x.1")
    write_pair(tmp_path, "scene a/x.1", ".jpg")
    rows, problems = read_index(labelme_source(tmp_path), tmp_path / "out")
    assert problems == []
    assert [row["id"] for row in rows] == ["scene a/x.1", "scene b/x.1"]
    image = f"{tmp_path}/images/scene a/x.1.jpg"
    annotation = f"{tmp_path}/annotations/scene a/x.1.json"
    shard = shard_of("scene a/x.1", 8)
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert tuple(rows[0].values()) == (
        *("scene a/x.1", image, annotation, "", "labelme", "30", "20", "1", "3", "uint8", "scene a", shard),
        *(sha256_file(image), sha256_file(annotation)),
    )
    assert read_table(tmp_path / "out" / "shards" / f"{shard}.csv")[0] == rows[0]
    listed = [row for file in (tmp_path / "out" / "shards").iterdir() for row in read_table(file)]
    assert sorted(row["id"] for row in listed) == [row["id"] for row in rows]


def test_arrays_are_pictures(tmp_path):
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images/a.npy", np.zeros((20, 30, 4), np.float32))
    write_labelme(tmp_path / "annotations/a.json", shape())
    rows, problems = read_index(labelme_source(tmp_path), tmp_path / "out")
    assert problems == []
    assert [rows[0][name] for name in ("width", "height", "channels", "dtype")] == ["30", "20", "4", "float32"]


def test_index_again_gives_the_same_bytes(tmp_path):
    for name in "abcde":
        write_pair(tmp_path, name)
    contents = []
    for output in (tmp_path / "first", tmp_path / "second"):
        index(labelme_source(tmp_path), output)
        contents.append({str(f.relative_to(output)): f.read_bytes() for f in output.rglob("*.csv")})
    assert contents[0] == contents[1]
    assert len(contents[0]) > 3


@pytest.mark.parametrize(("stacks", "size"), [("volume", "megavoxels: 0.0036"), ("slices", "megapixels: 0.0036")])
def test_the_size_of_a_data_set_counts_every_slice(tmp_path, caplog, stacks, size):
    caplog.set_level("INFO")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", np.zeros((6, 20, 30), np.uint8), photometric="minisblack")
    source = {"format": "png", "images": f"{tmp_path}/images", "annotations": f"{tmp_path}/masks", "stacks": stacks}
    index(source, tmp_path / "out")
    assert size in caplog.text


def test_paths_are_as_the_user_gave_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pair(tmp_path, "a")
    rows, _ = read_index({"format": "labelme", "images": "images/", "annotations": "annotations"}, tmp_path / "out")
    assert (rows[0]["image"], rows[0]["annotation"]) == ("images/a.png", "annotations/a.json")


def test_pictures_and_annotations_in_one_folder(tmp_path):
    write_picture(tmp_path / "data" / "a.PNG")
    write_labelme(tmp_path / "data" / "a.json", shape())
    source = {"format": "labelme", "images": f"{tmp_path}/data", "annotations": f"{tmp_path}/data"}
    rows, problems = read_index(source, tmp_path / "out")
    assert ([row["id"] for row in rows], problems) == (["a"], [])


def test_patterns_pair_trees_that_differ(tmp_path):
    for tile in ("Tile 1", "Tile 2"):
        write_picture(tmp_path / tile / "images" / "part_1_rgb.jpg")
        write_mask(tmp_path / tile / "masks" / "part_1.png", np.zeros((20, 30)))
    write_picture(tmp_path / "thumbnail.jpg")
    source = {
        "format": "png",
        "images": str(tmp_path),
        "annotations": str(tmp_path),
        "image_pattern": "{tile}/images/{stem}_rgb.jpg",
        "annotation_pattern": "{tile}/masks/{stem}.png",
    }
    rows, problems = read_index(source, tmp_path / "out")
    assert problems == []
    assert [(row["id"], row["group"]) for row in rows] == [("Tile 1/part_1", "Tile 1"), ("Tile 2/part_1", "Tile 2")]
    assert rows[0]["annotation"] == f"{tmp_path}/Tile 1/masks/part_1.png"


@pytest.mark.parametrize(
    ("image_pattern", "annotation_pattern", "reason"),
    [
        ("{stem}.jpg", None, "give both or none"),
        ("{a}/{stem}.jpg", "{stem}.png", "both need the same"),
        ("x.jpg", "x.png", "at least one"),
    ],
)
def test_patterns_that_do_not_fit_each_other_are_an_error(tmp_path, image_pattern, annotation_pattern, reason):
    source = labelme_source(tmp_path) | {"image_pattern": image_pattern, "annotation_pattern": annotation_pattern}
    with pytest.raises(MaskmillError, match=reason):
        index(source, tmp_path / "out")


def test_pictures_and_masks_in_one_folder_need_patterns(tmp_path):
    source = {"format": "png", "images": f"{tmp_path}/data", "annotations": f"{tmp_path}/data/"}
    with pytest.raises(MaskmillError, match="tell them apart"):
        index(source, tmp_path / "out")


def test_field_named_twice_must_have_one_value(tmp_path):
    for name in ("a/a", "a/b"):
        write_pair(tmp_path, name)
    source = labelme_source(tmp_path) | {"image_pattern": "{s}/{s}.png", "annotation_pattern": "{s}/{s}.json"}
    rows, problems = read_index(source, tmp_path / "out")
    assert ([row["id"] for row in rows], problems) == (["a"], [])


def test_picture_embedded_in_the_annotation(tmp_path):
    data = base64.b64encode(write_picture(tmp_path / "x.png").read_bytes()).decode()
    path = write_labelme(tmp_path / "data" / "a.json", shape(), imageData=data)
    source = {"format": "labelme", "images": f"{tmp_path}/data", "annotations": f"{tmp_path}/data"}
    rows, problems = read_index(source, tmp_path / "out")
    assert problems == []
    assert (rows[0]["image"], rows[0]["width"], rows[0]["height"]) == (str(path), "30", "20")


def test_picture_file_goes_before_the_embedded_one(tmp_path):
    write_pair(tmp_path, "a")
    data = base64.b64encode(b"broken").decode()
    write_labelme(tmp_path / "annotations" / "a.json", shape(), imageData=data)
    rows, problems = read_index(labelme_source(tmp_path), tmp_path / "out")
    assert (rows[0]["image"], problems) == (f"{tmp_path}/images/a.png", [])


def test_names_are_compared_in_composed_unicode(tmp_path):
    write_picture(tmp_path / "images" / f"{unicodedata.normalize('NFD', 'é')}.png")
    write_labelme(tmp_path / "annotations" / f"{unicodedata.normalize('NFC', 'é')}.json", shape())
    rows, problems = read_index(labelme_source(tmp_path), tmp_path / "out")
    assert ([row["id"] for row in rows], problems) == (["é"], [])


def test_exif_orientation_counts_for_the_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_picture(tmp_path / "images" / "a.jpg", exif=exif)
    write_labelme(tmp_path / "annotations" / "a.json", shape())
    rows, _ = read_index(labelme_source(tmp_path), tmp_path / "out")
    assert (rows[0]["width"], rows[0]["height"]) == ("20", "30")
