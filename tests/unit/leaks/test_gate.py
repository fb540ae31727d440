"""The gate lets through what does not leak; what does it stops with a list and a page. Real videos and stacks too."""

import re
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file, write_table
from maskmill.indexing.groups import assign_groups
from maskmill.leaks.gate import LEAK_COLUMNS, check_leaks, detect_leaks
from maskmill.leaks.hashes import hash_pictures
from maskmill.leaks.near_duplicates import PAIR_COLUMNS, compare_pictures
from maskmill.leaks.page import SHOWN_PAIRS, draw_leaks
from maskmill.splits import split_samples

LETTERS = {"t": "train", "v": "validation", "X": "test", ".": "excluded"}


def pair(a, b, kind="near_duplicate", similarity=0.5):
    return {"kind": kind, "id_a": a, "id_b": b, "similarity": similarity, "detail": "they look alike"}


def detect(folder, parts, pairs, groups=None, before=None, **dealing):
    """Leaks of samples a, b, c, …; parts: a letter for each sample, a text for each fold.

    groups: those that were dealt; before: those of samples.csv, where they are others.
    """
    ids = [chr(ord("a") + i) if i < 26 else f"z{i}" for i in range(len(parts[0]))]
    rows = []
    for i, sample in enumerate(ids):
        Image.fromarray(np.full((10, 20), i, np.uint8)).save(folder / f"{sample}.png")
        rows.append({"id": sample, "image": str(folder / f"{sample}.png"), "depth": 1})
    write_table(
        folder / "samples.csv",
        [row | {"group": group} for row, group in zip(rows, before or groups or ids, strict=True)],
        [*rows[0], "group"],
    )
    splits = [
        {"id": row["id"], "group": (groups or ids)[i], "shard": "00"}
        | {f"fold{fold}": LETTERS[text[i]] for fold, text in enumerate(parts)}
        for i, row in enumerate(rows)
    ]
    write_table(folder / "proposed.csv", splits, list(splits[0]))
    write_table(folder / "similar.csv", pairs, PAIR_COLUMNS)
    find_leaks(folder, **dealing)
    return read_table(folder / "leaks.csv")


def find_leaks(folder, group="folder", buffer=0, on_leak="fail"):
    """leaks.csv and the folder leaks with its page."""
    dealing = {"group": group, "buffer": buffer, "on_leak": on_leak}
    detect_leaks(folder / "proposed.csv", folder / "similar.csv", dealing, folder / "leaks.csv")
    draw_leaks(folder / "leaks.csv", folder / "samples.csv", folder / "proposed.csv", "roofs <1>", folder / "leaks")


def check(folder, on_leak="fail"):
    check_leaks(folder / "proposed.csv", folder / "leaks.csv", folder / "leaks", on_leak, folder / "splits.csv")


def test_pairs_within_a_part_or_with_an_excluded_sample_are_no_leak(tmp_path):
    assert detect(tmp_path, ["ttvvXX."], [pair("a", "b"), pair("c", "d"), pair("e", "f"), pair("a", "g")]) == []
    check(tmp_path)
    assert (tmp_path / "splits.csv").read_bytes() == (tmp_path / "proposed.csv").read_bytes()
    assert "No leak was found" in (tmp_path / "leaks/index.html").read_text()


def test_leaks_are_listed_the_worst_first(tmp_path):
    pairs = [
        pair("a", "c", similarity=0.99),
        pair("c", "e", similarity=0.98),
        pair("b", "e", similarity=0.4),
        pair("a", "f", similarity=0.9),
        pair("b", "f", "identical", 1),
    ]
    leaks = detect(tmp_path, ["ttvvXX"], pairs)
    assert [(row["id_a"], row["id_b"]) for row in leaks] == [("b", "f"), ("a", "f"), ("b", "e"), ("c", "e"), ("a", "c")]
    assert tuple(leaks[0]) == LEAK_COLUMNS
    assert (leaks[0]["split_a"], leaks[0]["split_b"], leaks[0]["fold"]) == ("train", "test", "0")
    assert all(row["remedy"] for row in leaks)


def test_every_fold_is_looked_at(tmp_path):
    leaks = detect(tmp_path, ["tvX", "vtX", "ttX"], [pair("a", "b"), pair("b", "c")])
    assert [(row["fold"], row["split_a"], row["split_b"]) for row in leaks if row["id_a"] == "a"] == [
        ("0", "train", "validation"),
        ("1", "validation", "train"),
    ]
    assert sorted(row["fold"] for row in leaks if row["id_b"] == "c") == ["0", "1", "2"]
    assert "in fold 0: validation and test" in (tmp_path / "leaks/index.html").read_text().replace("\n", " ")


def test_divided_groups_leak(tmp_path):
    leaks = detect(tmp_path, ["tttvXXt"], [], groups=["g", "g", "h", "h", "g", "i", "i"])
    assert [(row["kind"], row["id_a"], row["id_b"], row["detail"]) for row in leaks] == [
        ("divided_group", "a", "e", 'the group "g" has 2 in train and 1 in test'),
        ("divided_group", "g", "f", 'the group "i" has 1 in train and 1 in test'),
        ("divided_group", "c", "d", 'the group "h" has 1 in train and 1 in validation'),
    ]


def test_gate_fails_with_the_first_leaks_their_number_and_the_remedy(tmp_path):
    detect(tmp_path, ["t" * 30 + "X"], [pair(chr(ord("a") + i), "z30") for i in range(25)])
    with pytest.raises(MaskmillError) as error:
        check(tmp_path)
    message = str(error.value)
    assert "near_duplicate (25): 25 between test and train" in message
    assert "  fold 0: a (train) and z30 (test): near_duplicate, they look alike\n" in message
    assert message.count("they look alike") == 20
    assert "and 5 more" in message
    assert str(tmp_path / "leaks" / "index.html") in message
    assert "on_leak to merge" in message
    assert not (tmp_path / "splits.csv").exists()
    with pytest.raises(MaskmillError, match=r"25 between(.|\n)*on_leak is merge, but the groups of these pictures"):
        check(tmp_path, "merge")


@pytest.mark.parametrize(
    ("kind", "dealing", "remedy"),
    [
        ("near_duplicate", {"group": "image"}, "say what belongs together with dataset.split.group (regex"),
        ("near_duplicate", {"group": "slab"}, "set dataset.split.buffer (slices or frames that are left out"),
        ("near_duplicate", {"group": "slab", "buffer": 2}, "make dataset.split.buffer larger than 2 (slices"),
        ("overlapping_footprint", {"group": "folder"}, "set dataset.split.group to blocks with a buffer"),
        ("overlapping_footprint", {"group": "blocks", "buffer": 0.5}, "make dataset.split.buffer larger than 0.5 (map"),
        ("identical", {}, "take one of the two away"),
    ],
)
@pytest.mark.parametrize("on_leak", ["fail", "merge"])
def test_the_remedy_is_one_that_was_not_tried(tmp_path, kind, dealing, remedy, on_leak):
    (row,) = detect(tmp_path, ["tX"], [pair("a", "b", kind)], on_leak=on_leak, **dealing)
    assert row["remedy"].startswith(remedy)
    assert ("on_leak to merge" in row["remedy"]) == (on_leak == "fail")


def test_page_says_which_groups_were_united(tmp_path):
    detect(tmp_path, ["ttvX"], [pair("a", "b")], groups=["g1", "g1", "g3", "g4"], before=["g1", "g2", "g3", "g4"])
    page = (tmp_path / "leaks/index.html").read_text()
    assert "No leak was found" in page
    assert "4 groups became 3, since pictures of different groups show the same" in page
    assert "<li>g1, g2</li>" in page
    assert "became" not in page_without_leaks(tmp_path)


def page_without_leaks(folder):
    """The page of a data set without leaks in which nothing was united."""
    detect(folder, ["tvX"], [])
    return (folder / "leaks/index.html").read_text()


def test_page_names_the_data_set(tmp_path):
    page = page_without_leaks(tmp_path)
    assert "<title>Leaks between training, validation and test: roofs &lt;1&gt;</title>" in page
    assert "<h1>Leaks between training, validation and test: roofs &lt;1&gt;</h1>" in page


def test_allowed_leaks_are_a_warning(tmp_path, caplog):
    detect(tmp_path, ["tvX"], [pair("a", "c")])
    check(tmp_path, "allow")
    assert "in spite of leaks" in caplog.text
    assert "a (train) and c (test)" in caplog.text
    assert (tmp_path / "splits.csv").read_bytes() == (tmp_path / "proposed.csv").read_bytes()


def test_page_shows_each_pair_once_with_its_pictures(tmp_path):
    detect(tmp_path, ["tvX", "vtX"], [pair("a", "c"), pair("b", "c", "identical", 1)])
    page = (tmp_path / "leaks/index.html").read_text()
    assert page.count("<figure>") == 2
    assert "2 pairs of samples" in page
    assert sorted(set(re.findall(r'src="([^"]+)"', page))) == [f"pictures/{i:04d}.jpg" for i in (1, 2, 3)]
    assert all((tmp_path / "leaks" / f"pictures/{i:04d}.jpg").is_file() for i in (1, 2, 3))


def test_page_says_how_many_it_does_not_show(tmp_path):
    count = SHOWN_PAIRS + 7
    names = [chr(ord("a") + i) if i < 26 else f"z{i}" for i in range(count)]
    detect(tmp_path, ["t" * count + "X"], [pair(name, f"z{count}") for name in names])
    page = (tmp_path / "leaks/index.html").read_text()
    assert page.count("<figure>") == SHOWN_PAIRS
    assert f"The first {SHOWN_PAIRS} are shown; 7 more are in leaks.csv" in page


def test_names_are_escaped_on_the_page(tmp_path):
    detect(tmp_path, ["tX"], [pair("a", "b") | {"detail": "<b>bold</b>"}])
    assert "&lt;b&gt;bold" in (tmp_path / "leaks/index.html").read_text()


def run_gate(folder, pictures, on_leak="fail", **split):
    """Group, hash, compare, deal and check real pictures (id → path); rows of splits.csv."""
    rows = [
        {"id": sample, "image": str(path), "depth": 1, "sha256_image": sha256_file(path), "shard": "00"}
        for sample, path in pictures.items()
    ]
    rows, problems = assign_groups(rows, split)
    assert problems == []
    write_table(folder / "samples.csv", rows, list(rows[0]))
    hash_pictures(folder / "samples.csv", folder / "hashes.npz")
    compare_pictures(folder / "samples.csv", [folder / "hashes.npz"], folder / "similar.csv", threads=2)
    statistics = [{"id": row["id"], "class": value, "pixels": 100} for row in rows for value in (0, 1)]
    write_table(folder / "labels/statistics.csv", statistics, ["id", "class", "pixels"])
    merged = {"pairs": folder / "similar.csv"} if on_leak == "merge" else {}
    shares = {"test": 0.25, "validation": 0.2, "folds": 1, "seed": 0}
    dealing = {"group": split["group"], "buffer": split.get("buffer", 0)} | shares | merged
    names = {"classes": ["building"], "page": "audit.html"}
    split_samples(folder / "samples.csv", [folder / "labels"], output=folder / "proposed.csv", **names, **dealing)
    find_leaks(folder, dealing["group"], dealing["buffer"], on_leak)
    check(folder, on_leak)
    return read_table(folder / "splits.csv")


@pytest.fixture
def frames(real_data):
    return {file.stem: file for file in sorted((real_data / "labelme_devices/train").glob("*.png"))}


@pytest.fixture
def slices(real_data):
    return {file.stem: file for file in sorted((real_data / "isbi2012_membrane/train/image").glob("*.png"))}


@pytest.mark.real
def test_frames_of_one_video_leak_where_every_frame_stands_for_itself(tmp_path, frames):
    with pytest.raises(MaskmillError, match=r"near_duplicate \(\d+\)"):
        run_gate(tmp_path, frames, group="image")
    similar = {(row["id_a"], row["id_b"]) for row in read_table(tmp_path / "similar.csv")}
    ordered = sorted(frames, key=int)
    following = {tuple(sorted(two, key=list(frames).index)) for two in pairwise(ordered)}
    assert following <= similar


@pytest.mark.real
def test_frames_of_one_video_are_one_group_when_they_are_merged(tmp_path, frames, real_data):
    nuts = {f"nuts_{file.stem}": file for file in sorted((real_data / "labelme_nuts/images").glob("*.jpg"))}
    rows = run_gate(tmp_path, frames | nuts, on_leak="merge", group="image")
    assert len({row["fold0"] for row in rows if row["id"] in frames}) == 1
    assert len({row["group"] for row in rows}) == 1 + len(nuts)
    with pytest.raises(MaskmillError, match="could not be united: too few would be left"):
        run_gate(tmp_path, frames, on_leak="merge", group="image")
    assert (tmp_path / "leaks/pictures").is_dir()


@pytest.mark.real
def test_neighbouring_slices_leak_unless_slabs_keep_a_distance(tmp_path, slices):
    with pytest.raises(MaskmillError, match="near_duplicate"):
        run_gate(tmp_path, slices, group="image")
    found = [abs(int(row["id_a"]) - int(row["id_b"])) for row in read_table(tmp_path / "similar.csv")]
    assert len(found) >= 12
    assert set(found) == {1}
    with pytest.raises(MaskmillError, match="near_duplicate"):
        run_gate(tmp_path, slices, group="slab", slabs=5)
    parts = [row["fold0"] for row in run_gate(tmp_path, slices, group="slab", slabs=5, buffer=1)]
    assert (parts.count("test"), parts.count("validation")) == (4, 4)
    assert 1 <= parts.count("excluded") <= 4


@pytest.mark.real
@pytest.mark.parametrize(
    ("folder", "pattern"),
    [
        ("dubai_aerial", "*/*/images/*.jpg"),
        ("labelme_nuts", "images/*.jpg"),
        ("dsb2018_nuclei", "stage1_train/*/images/*.png"),
    ],
)
def test_different_pictures_pass(tmp_path, real_data, folder, pattern):
    files = sorted((real_data / folder).glob(pattern))
    pictures = {str(file.relative_to(real_data).with_suffix("")): file for file in files}
    assert len(pictures) >= 12
    assert len(run_gate(tmp_path, pictures, group="image")) == len(pictures)
