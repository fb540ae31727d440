"""Groups stay together, shares and classes come out alike, and too few groups are an error that says what to do."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_table
from maskmill.splits import assign_parts, part_shares, split_samples


def write_samples(folder, groups, pixels=None):
    """samples.csv and one folder of statistics; groups: group of every sample, pixels: foreground pixels of 1000."""
    rows = [{"id": f"{i:03d}", "group": group, "shard": f"{i % 8:02d}"} for i, group in enumerate(groups)]
    write_table(folder / "samples.csv", rows, ["id", "group", "shard"])
    counts = pixels or [100] * len(rows)
    statistics = [
        {"id": row["id"], "class": value, "pixels": number}
        for row, count in zip(rows, counts, strict=True)
        for value, number in ((0, 1000 - count), (1, count), (255, 77))
    ]
    write_table(folder / "labels" / "statistics.csv", statistics, ["id", "class", "pixels"])


def split(folder, test=0.2, validation=0.2, folds=1, seed=0):
    split_samples(folder / "samples.csv", [folder / "labels"], test, validation, folds, seed, folder / "splits.csv")
    return read_table(folder / "splits.csv")


def parts_of_groups(rows, fold="fold0"):
    parts = defaultdict(set)
    for row in rows:
        parts[row["group"]].add(row[fold])
    return parts


@settings(max_examples=25, deadline=None)
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


def test_order_of_samples_does_not_matter_to_the_groups(tmp_path):
    groups = [f"g{i % 9}" for i in range(36)]
    write_samples(tmp_path, groups)
    parts = parts_of_groups(split(tmp_path))
    write_samples(tmp_path, groups[::-1])
    assert parts_of_groups(split(tmp_path)) == parts


def test_samples_left_out_do_not_count(tmp_path):
    write_samples(tmp_path, [f"g{i}" for i in range(10)])
    write_table(tmp_path / "samples.csv", read_table(tmp_path / "samples.csv")[:6], ["id", "group", "shard"])
    assert len(split(tmp_path)) == 6


@pytest.mark.parametrize(("groups", "folds", "needed"), [(".", 1, 3), ("ab", 1, 3), ("abcd", 4, 5)])
def test_too_few_groups(tmp_path, groups, folds, needed):
    write_samples(tmp_path, list(groups) * 5)
    with pytest.raises(MaskmillError, match=rf"only {len(groups)} group.*at least {needed}.*group to image"):
        split(tmp_path, folds=folds)


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
