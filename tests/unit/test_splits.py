"""Groups stay together, shares and classes come out alike, and too few groups are an error that says what to do."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.splits import assign_parts, exclude_near, part_shares, split_samples, unite_groups

COLUMNS = ["id", "image", "group", "shard"]


def write_samples(folder, groups, pixels=None):
    """samples.csv and one folder of statistics; groups: group of every sample, pixels: foreground pixels of 1000."""
    rows = [
        {"id": f"{i:03d}", "image": f"{i:03d}.png", "group": group, "shard": f"{i % 8:02d}"}
        for i, group in enumerate(groups)
    ]
    write_table(folder / "samples.csv", rows, COLUMNS)
    counts = pixels or [100] * len(rows)
    statistics = [
        {"id": row["id"], "class": value, "pixels": number}
        for row, count in zip(rows, counts, strict=True)
        for value, number in ((0, 1000 - count), (1, count), (255, 77))
    ]
    write_table(folder / "labels" / "statistics.csv", statistics, ["id", "class", "pixels"])


def split(folder, test=0.2, validation=0.2, folds=1, seed=0, **options):
    shares = test, validation, folds, seed
    names = {"classes": ["building"], "page": "quality/audit.html"}
    split_samples(folder / "samples.csv", [folder / "labels"], *shares, folder / "splits.csv", **names, **options)
    return read_table(folder / "splits.csv")


def write_official(folder, parts):
    """A table with the official part of the samples 000, 001, …; the options that make it count."""
    write_table(folder / "table.csv", [{"id": f"{i:03d}", "split": p} for i, p in enumerate(parts)], ["id", "split"])
    return {"official": "table", "table": str(folder / "table.csv")}


def parts_of_groups(rows, fold="fold0"):
    parts = defaultdict(set)
    for row in rows:
        parts[row["group"]].add(row[fold])
    return parts


@settings(max_examples=25)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=12, max_size=40), st.integers(1, 3), st.integers(0, 5))
def test_no_group_is_in_two_parts_and_no_part_is_empty(tmp_path_factory, groups, folds, seed):
    groups += list("abcdefgh")
    folder = tmp_path_factory.mktemp("split")
    write_samples(folder, groups)
    rows = split(folder, folds=folds, seed=seed)
    assert [row["id"] for row in rows] == [f"{i:03d}" for i in range(len(groups))]
    for fold in range(folds):
        parts = parts_of_groups(rows, f"fold{fold}")
        assert all(len(part) == 1 for part in parts.values())
        assert set.union(*parts.values()) == {"train", "validation", "test"}


def test_shares_come_out_where_groups_allow_it(tmp_path):
    write_samples(tmp_path, [f"g{i // 2}" for i in range(100)])
    parts = [row["fold0"] for row in split(tmp_path, test=0.3, validation=0.1)]
    assert (parts.count("test"), parts.count("validation"), parts.count("train")) == (30, 10, 60)


def test_folds_are_disjoint_and_cover_all_that_is_not_for_testing(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(30)])
    rows = split(tmp_path, folds=4)
    for row in rows:
        parts = [row[f"fold{fold}"] for fold in range(4)]
        assert parts == ["test"] * 4 or sorted(parts) == ["train", "train", "train", "validation"]
    assert sum(row["fold0"] == "test" for row in rows) == 6
    assert [sum(row[f"fold{fold}"] == "validation" for row in rows) for fold in range(4)] == [6, 6, 6, 6]


def test_class_fractions_are_alike(tmp_path):
    pixels = [900 if i % 4 == 0 else 10 for i in range(40)]
    write_samples(tmp_path, [f"g{i}" for i in range(40)], pixels)
    parts = defaultdict(list)
    for row, count in zip(split(tmp_path), pixels, strict=True):
        parts[row["fold0"]].append(count)
    means = [np.mean(counts) for counts in parts.values()]
    assert max(means) / min(means) < 1.01


def test_best_of_the_possible_divisions_of_few_groups_is_found():
    weights = np.array([[1, 900, 100], [1, 500, 500], [2, 1800, 200], [2, 1000, 1000]], dtype=float)
    parts = assign_parts(weights, [1 / 3, 1 / 3, 1 / 3], seed=0)
    totals = [weights[parts == part, 0].sum() for part in range(3)]
    assert sorted(totals) == [2, 2, 2]
    assert parts[0] == parts[1]


def test_same_seed_same_split_other_seed_another(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(40)])
    first = split(tmp_path)
    assert split(tmp_path) == first
    assert split(tmp_path, seed=1) != first


def test_splits_are_those_of_earlier_runs(tmp_path):
    write_samples(tmp_path, [f"g{i % 7}" for i in range(21)], [37 * i % 500 for i in range(21)])
    letters = {"train": ".", "validation": "v", "test": "X"}
    assert "".join(letters[row["fold0"]] for row in split(tmp_path, seed=3)) == "..vXv.." * 3
    folds = split(tmp_path, folds=3, seed=3)
    shown = ["".join(letters[row[f"fold{fold}"]] for row in folds[:7]) for fold in range(3)]
    assert shown == ["..vXv..", "v..X..v", ".v.X.v."]


def test_order_of_samples_does_not_matter_to_the_groups(tmp_path):
    groups = [f"g{i % 9}" for i in range(36)]
    write_samples(tmp_path, groups)
    parts = parts_of_groups(split(tmp_path))
    write_samples(tmp_path, groups[::-1])
    assert parts_of_groups(split(tmp_path)) == parts


def test_samples_left_out_do_not_count(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(10)])
    write_table(tmp_path / "samples.csv", read_table(tmp_path / "samples.csv")[:6], COLUMNS)
    assert len(split(tmp_path)) == 6


@pytest.mark.parametrize(("groups", "folds", "needed"), [(".", 1, 3), ("ab", 1, 3), ("abcd", 4, 5)])
def test_too_few_groups(tmp_path, groups, folds, needed):
    write_samples(tmp_path, list(groups) * 5)
    with pytest.raises(MaskmillError, match=rf"only {len(groups)} group.*at least {needed}.*group to image"):
        split(tmp_path, folds=folds)


@pytest.mark.parametrize(
    ("groups", "folds", "remedy"),
    [
        ("ab", 1, "Annotate at least 3 pictures."),
        ("aa", 1, "Annotate at least 3 pictures."),
        ("abcd", 4, "Annotate at least 5 pictures; or ask for fewer folds."),
    ],
)
def test_too_few_samples_for_any_grouping(tmp_path, groups, folds, remedy):
    write_samples(tmp_path, list(groups))
    with pytest.raises(MaskmillError) as error:
        split(tmp_path, folds=folds)
    assert f"{remedy}\n" in str(error.value)


def test_few_groups_for_testing_are_a_warning(tmp_path, caplog):
    write_samples(tmp_path, list("abcde"))
    split(tmp_path)
    assert "only 1 group for testing" in caplog.text
    caplog.clear()
    write_samples(tmp_path, [f"g{i}" for i in range(30)])
    split(tmp_path)
    assert "for testing" not in caplog.text


@pytest.mark.parametrize(("test", "validation"), [(0.0, 0.2), (0.2, 0.0), (0.5, 0.5)])
def test_shares_that_leave_a_part_empty(test, validation):
    with pytest.raises(MaskmillError, match="leave something to train on"):
        part_shares(test, validation, 1)


def test_official_split_is_kept(tmp_path):
    parts = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    write_samples(tmp_path, ["one group"] * 10)
    assert [row["fold0"] for row in split(tmp_path, **write_official(tmp_path, parts))] == parts


def test_validation_is_dealt_by_groups_where_the_official_split_has_none(tmp_path):
    parts = ["train", "train", "test", "train", "train"] * 8
    write_samples(tmp_path, [f"g{i // 4}" for i in range(40)])
    rows = split(tmp_path, validation=0.2, **write_official(tmp_path, parts))
    dealt = [row["fold0"] for row in rows]
    assert [part == "test" for part in dealt] == [part == "test" for part in parts]
    assert dealt.count("validation") == pytest.approx(8, abs=1)
    groups = parts_of_groups([row for row in rows if row["fold0"] != "test"])
    assert all(len(found) == 1 for found in groups.values())


def test_folds_are_dealt_from_the_official_training_samples(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(12)])
    rows = split(tmp_path, folds=3, **write_official(tmp_path, ["train"] * 9 + ["test"] * 3))
    for row in rows[:9]:
        assert sorted(row[f"fold{fold}"] for fold in range(3)) == ["train", "train", "validation"]
    assert all(row[f"fold{fold}"] == "test" for row in rows[9:] for fold in range(3))


def test_test_is_dealt_too_where_the_official_split_has_only_training_samples(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(20)])
    dealt = [row["fold0"] for row in split(tmp_path, **write_official(tmp_path, ["train"] * 20))]
    assert [dealt.count(part) for part in ("train", "validation", "test")] == [12, 4, 4]
    dealt = [row["fold0"] for row in split(tmp_path, **write_official(tmp_path, ["train"] * 16 + ["val"] * 4))]
    assert dealt[16:] == ["validation"] * 4
    assert [dealt.count(part) for part in ("train", "test")] == [12, 4]


@pytest.mark.parametrize(
    ("parts", "folds", "reason"),
    [
        (["train"] * 8 + ["val", "test"], 3, "folds is 3, but the official split has a validation part"),
        (["test"] * 9 + ["val"], 1, "no train sample"),
        (["train"] * 2 + ["test"] * 8, 1, "2 samples for training, too few"),
        (["train"] * 8 + ["test"], 1, "009: its split in .* is missing"),
    ],
)
def test_official_splits_that_do_not_fit(tmp_path, parts, folds, reason):
    write_samples(tmp_path, [f"g{i}" for i in range(10)])
    with pytest.raises(MaskmillError, match=reason):
        split(tmp_path, folds=folds, **write_official(tmp_path, parts))


def test_samples_near_to_a_part_that_counts_more_are_excluded():
    parts = np.array([list("tttvvXXvt")]).T.astype(object)
    names = {"t": "train", "v": "validation", "X": "test"}
    parts = np.vectorize(names.get, otypes=[object])(parts)
    exclude_near(parts, np.array([(i, i + 1) for i in range(8)]))
    shown = "".join({"train": "t", "validation": "v", "test": "X", "excluded": "."}[part] for part in parts[:, 0])
    # 2 is beside validation, 4 and 7 are beside the test; 8 is beside 7 alone, which is excluded and keeps nothing away
    assert shown == "tt.v.XX.t"


def test_slabs_keep_a_distance_in_every_fold(tmp_path):
    write_samples(tmp_path, [f"slab_{i // 8:02d}" for i in range(80)])
    rows = split(tmp_path, folds=2, group="slab", buffer=2)
    for fold in ("fold0", "fold1"):
        parts = [row[fold] for row in rows]
        assert set(parts) == {"train", "validation", "test", "excluded"}
        for i, part in enumerate(parts):
            assert len({part, *parts[i + 1 : i + 3]} - {"excluded"}) <= 1
        assert parts.count("test") == 16


def test_a_buffer_that_leaves_nothing_is_an_error(tmp_path):
    write_samples(tmp_path, [f"slab_{i}" for i in range(9)])
    with pytest.raises(MaskmillError, match=r"fold 0 has no train sample.*smaller buffer"):
        split(tmp_path, group="slab", buffer=9)


def test_groups_that_show_the_same_are_united():
    rows = [{"id": str(i), "group": group} for i, group in enumerate(["g10", "g2", "g3", "g2", "g4"])]
    united = unite_groups(rows, [{"id_a": "0", "id_b": "1"}, {"id_a": "3", "id_b": "4"}])
    assert [row["group"] for row in united] == ["g2", "g2", "g3", "g2", "g2"]
    assert unite_groups(rows, []) == rows


def test_united_groups_are_dealt_as_one(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(30)])
    pairs = [{"id_a": f"{i:03d}", "id_b": f"{i + 1:03d}"} for i in range(30) if i % 3 != 2]
    write_table(tmp_path / "pairs.csv", pairs, ["id_a", "id_b"])
    for seed in range(3):
        rows = split(tmp_path, seed=seed, pairs=tmp_path / "pairs.csv")
        parts = [row["fold0"] for row in rows]
        assert all(len(set(parts[i : i + 3])) == 1 for i in range(0, 30, 3))
        assert len({row["group"] for row in rows}) == 10


def test_groups_stay_as_they_are_where_uniting_them_leaves_too_few(tmp_path, caplog):
    write_samples(tmp_path, [f"g{i}" for i in range(5)])
    pairs = [{"id_a": "000", "id_b": f"{i:03d}"} for i in range(1, 5)]
    write_table(tmp_path / "pairs.csv", pairs, ["id_a", "id_b"])
    rows = split(tmp_path, pairs=tmp_path / "pairs.csv")
    assert [row["group"] for row in rows] == [f"g{i}" for i in range(5)]
    assert {row["fold0"] for row in rows} == {"train", "validation", "test"}
    assert "leaves 1 of 5, and the split needs at least 3" in caplog.text


def test_where_the_labels_are_shown_is_said_where_they_cannot_be_split(tmp_path):
    write_samples(tmp_path, "ab")
    with pytest.raises(MaskmillError) as error:
        split(tmp_path)
    assert "annotate at least 3 pictures" in str(error.value).lower()
    assert "quality/audit.html shows them" in str(error.value)


def test_parts_are_logged_with_the_names_of_the_classes(tmp_path, caplog):
    caplog.set_level("INFO")
    write_samples(tmp_path, "abcd", [250] * 4)
    split(tmp_path)
    assert "fold 0, test: 1 group, 1 sample; pixels: building 25.00 %" in caplog.text
    assert "fold 0, train: 2 groups, 2 samples; pixels: building 25.00 %" in caplog.text
