"""What belongs together: by folder, name, table, stack or place; samples without a group; who is too near to whom."""

import re

import numpy as np
import pytest
import rasterio

from maskmill.errors import MaskmillError
from maskmill.indexing.groups import assign_groups, natural_key, neighbours, official_parts


def rows(*ids):
    return [{"id": sample, "image": f"pictures/{sample}.png"} for sample in ids]


def groups(ids, **split):
    """Group by sample id, all samples having one."""
    grouped, problems = assign_groups(rows(*ids), {"group": "folder"} | split)
    assert problems == []
    return {row["id"]: row["group"] for row in grouped}


def write_geotiff(path, x, y, size=100, crs="EPSG:32632"):
    """A grey picture of `size` × `size` pixels of 1 m whose top left corner is at (x, y)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": crs, "transform": rasterio.Affine(1, 0, x, 0, -1, y)}
    with rasterio.open(path, "w", "GTiff", size, size, 1, dtype="uint8", **place) as file:
        file.write(np.zeros((1, size, size), np.uint8))
    return {"id": path.stem, "image": str(path)}


def test_by_folder_image_and_expression():
    samples = ["a/b/x_1", "a/b/x_2", "y_1"]
    assert groups(samples, group="folder") == {"a/b/x_1": "a/b", "a/b/x_2": "a/b", "y_1": "."}
    assert groups(samples, group="image") == {sample: sample for sample in samples}
    assert groups(samples[:2], group="regex", pattern=r"(x)_\d") == {"a/b/x_1": "x", "a/b/x_2": "x"}


def test_rows_keep_their_columns_and_order():
    given = [{"id": "b", "image": "b.png", "width": 3}, {"id": "a", "image": "a.png", "width": 4}]
    assert assign_groups(given, {"group": "image"})[0] == [row | {"group": row["id"]} for row in given]


def test_samples_without_a_match_have_no_group():
    grouped, problems = assign_groups(rows("x_1", "y_1", "z"), {"group": "regex", "pattern": r"(x)_\d"})
    assert [row["id"] for row in grouped] == ["x_1"]
    assert [(p.id, p.file, p.kind) for p in problems] == [
        ("y_1", "pictures/y_1.png", "no_group"),
        ("z", "pictures/z.png", "no_group"),
    ]
    assert 'finds no group in "y_1"' in problems[0].detail


def test_slabs_are_contiguous_in_natural_order():
    found = groups([*(f"v/{i}" for i in range(12)), "w"], group="slab", slabs=3)
    assert [found[f"v/{i}"] for i in range(12)] == ["v/slab_1"] * 4 + ["v/slab_2"] * 4 + ["v/slab_3"] * 4
    assert found["w"] == "slab_1"


def test_natural_order():
    names = ["slice_10", "slice_2", "slice_02", "10", "a", "2"]
    assert sorted(names, key=natural_key) == ["2", "10", "a", "slice_02", "slice_2", "slice_10"]


def test_table_names_samples_by_id_file_or_folder(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("\ufeffid,age,group\na/1,3,anna\na/2.png,4,anna\nb,5,ben\na/e\u0301,6,carl\n", encoding="utf-8")
    found = groups(["a/1", "a/2", "b/x/1", "b/x/2", "a/é"], group="column", table=str(table))
    assert found == {"a/1": "anna", "a/2": "anna", "b/x/1": "ben", "b/x/2": "ben", "a/é": "carl"}


def test_all_samples_that_the_table_lacks_are_problems(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("id,group\na,1\nb,\n")
    grouped, problems = assign_groups(rows("a", "b", "c"), {"group": "column", "table": str(table)})
    assert [row["id"] for row in grouped] == ["a"]
    assert [(p.id, p.kind) for p in problems] == [("b", "no_group"), ("c", "no_group")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("id;group\na;1\n", "no column id and no column group; it has id;group"),
        ("name,group\na,1\n", "no column id"),
        ("", "it has none"),
        ("id,group\na,1\na.png,2\n", '"a.png": 1 and 2'),
        (None, "table.csv; correct the path, which is relative to"),
    ],
)
def test_wrong_tables(tmp_path, content, reason):
    table = tmp_path / "table.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(MaskmillError, match=re.escape(reason)):
        assign_groups(rows("a"), {"group": "column", "table": str(table)})


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        ({"group": "regex", "pattern": "x_"}, "captures nothing"),
        ({"group": "regex", "pattern": "("}, "no regular expression"),
        ({"group": "patient"}, "is unknown"),
        ({"group": "column"}, "give its path in split.table"),
        ({"group": "blocks"}, "needs dataset.split.block"),
        ({"group": "folder", "official": "names"}, "use folder or table"),
    ],
)
def test_wrong_options_are_errors(split, reason):
    with pytest.raises(MaskmillError, match=re.escape(reason)):
        assign_groups(rows("a"), split)


def test_blocks_are_squares_counted_from_the_least_corner(tmp_path):
    corners = {
        "a": (500_000, 4_000_100),
        "b": (500_100, 4_000_100),
        "c": (500_300, 4_000_100),
        "d": (500_000, 4_000_400),
    }
    pictures = [write_geotiff(tmp_path / f"{name}.tif", *corner) for name, corner in corners.items()]
    grouped, problems = assign_groups(pictures, {"group": "blocks", "block": 200.0})
    assert problems == []
    assert [row["group"] for row in grouped] == ["block_0_0", "block_0_0", "block_1_0", "block_0_1"]


def test_blocks_of_two_maps_are_apart(tmp_path):
    pictures = [
        write_geotiff(tmp_path / "a.tif", 500_000, 4_000_100),
        write_geotiff(tmp_path / "b.tif", 500_000, 4_000_100, crs="EPSG:32633"),
    ]
    grouped, _ = assign_groups(pictures, {"group": "blocks", "block": 200.0})
    assert [row["group"] for row in grouped] == ["crs_1/block_0_0", "crs_2/block_0_0"]
    assert neighbours(grouped, "blocks", 1e6).tolist() == []


def test_blocks_need_a_place_on_the_map(tmp_path):
    placed = write_geotiff(tmp_path / "a.tif", 500_000, 4_000_100)
    grouped, problems = assign_groups([placed, *rows("b", "c")], {"group": "blocks", "block": 200.0})
    assert [row["id"] for row in grouped] == ["a"]
    assert [(p.id, p.kind) for p in problems] == [("b", "missing_georeference"), ("c", "missing_georeference")]
    assert "GeoTIFF" in problems[0].remedy


def test_neighbours_in_a_stack_are_those_of_one_folder_within_the_buffer():
    stack = rows("v/10", "v/2", "v/1", "w/1", "v/3")
    assert sorted(map(tuple, np.sort(neighbours(stack, "slab", 1)).tolist())) == [(0, 4), (1, 2), (1, 4)]
    assert len(neighbours(stack, "slab", 2)) == 5
    assert len(neighbours(stack, "slab", 99)) == 6


def test_neighbours_on_the_map_are_those_whose_footprints_are_near(tmp_path):
    pictures = [write_geotiff(tmp_path / f"{x}.tif", 500_000 + x, 4_000_000) for x in (0, 100, 250)]
    assert neighbours(pictures, "blocks", 0).tolist() == [[0, 1]]
    assert neighbours(pictures, "blocks", 49).tolist() == [[0, 1]]
    assert sorted(neighbours(pictures, "blocks", 51).tolist()) == [[0, 1], [1, 2]]
    assert len(neighbours(pictures, "blocks", 151)) == 3


def test_other_groupings_have_no_neighbours():
    with pytest.raises(MaskmillError, match=r"group is folder; set the group to slab or blocks"):
        neighbours(rows("a", "b"), "folder", 1)


def test_official_parts_by_folder():
    files = {sample: f"{sample}.png" for sample in ("Training/a", "val/x/b", "test/c", "extra/d", "e")}
    parts, problems = official_parts(files, "folder", None)
    assert parts == {"Training/a": "train", "val/x/b": "validation", "test/c": "test"}
    assert [(p.id, p.kind) for p in problems] == [("extra/d", "no_part"), ("e", "no_part")]


def test_official_parts_by_table_and_samples_without_one(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("id,split\na,train\nb,Valid \nc,TEST\nd,fold 1\ne,dev\n")
    parts, problems = official_parts({sample: f"{sample}.png" for sample in "abcdef"}, "table", str(table))
    assert parts == {"a": "train", "b": "validation", "c": "test", "e": "validation"}
    assert [(p.id, p.detail) for p in problems] == [
        ("d", f'its split in {table} is "fold 1"'),
        ("f", f"its split in {table} is missing"),
    ]
    grouped, same = assign_groups(rows(*"abcdef"), {"group": "image", "official": "table", "table": str(table)})
    assert [row["id"] for row in grouped] == list("abce")
    assert [p.id for p in same] == ["d", "f"]
