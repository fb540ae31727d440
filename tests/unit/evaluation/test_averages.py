"""Metrics of cases, from rows and tables, and what they are on average."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.evaluation.averages import MEAN, case_values, read_case_values, summarize_cases
from maskmill.files import write_table

Values = dict[str, dict[str, float | None]]


def rows(values: Values, unit: str = "px", absent: Collection[str] = (), metric: str = "iou") -> list[dict]:
    """Rows with a metric of every case (id "group/case") and class. absent: cases whose reference is empty."""
    return [
        {"id": case, "group": case.split("/")[0], "class": name, "unit": unit, metric: value}
        | {"reference_pixels": 0 if case in absent else 9}
        for case, classes in values.items()
        for name, value in classes.items()
    ]


def table(path: Path, values: Values, unit: str = "px") -> Path:
    write_table(path, rows(values, unit), ["id", "group", "class", "unit", "reference_pixels", "iou"])
    return path


def test_values_are_sorted_by_id_and_keep_the_order_of_classes(tmp_path):
    given: Values = {"b/1": {"y": 0.1, "x": None}, "a/1": {"y": 0.0, "x": 0.4}}
    for values in (read_case_values([table(tmp_path / "t.csv", given)], ["iou"]), case_values(rows(given), ["iou"])):
        assert (values.ids, values.groups, values.classes) == (("a/1", "b/1"), ("a", "b"), ("y", "x"))
        np.testing.assert_array_equal(values.of("iou", "x"), [[0.4], [np.nan]])
        np.testing.assert_array_equal(values.of("iou", MEAN), [[0, 0.4], [0.1, np.nan]])


def test_members_that_rightly_find_nothing_are_perfect_beside_one_with_a_false_alarm(tmp_path):
    absent = ("a/1", "b/1")  # c has the class, and the last two members do not find it
    members: list[Values] = [
        {"a/1": {"x": a}, "b/1": {"x": None}, "c/1": {"x": c}} for a, c in [(0.0, 0.6), (None, None), (None, None)]
    ]
    tables = [tmp_path / f"{seed}.csv" for seed in range(3)]
    for path, values in zip(tables, members, strict=True):
        write_table(path, rows(values, absent=absent), ["id", "group", "class", "unit", "reference_pixels", "iou"])
    for cases in (
        read_case_values(tables, ["iou"]),
        case_values([r for m in members for r in rows(m, "px", absent)], ["iou"]),
    ):
        np.testing.assert_allclose(cases.values["iou"], [[(0 + 1 + 1) / 3], [np.nan], [0.6]])
        np.testing.assert_array_equal(cases.absent_of("x"), [[True], [True], [False]])


def test_the_distance_of_rightly_finding_nothing_is_zero():
    found = [row for value in (9.0, None) for row in rows({"a/1": {"x": value}}, absent=["a/1"], metric="hd95")]
    assert case_values(found, ["hd95"]).values["hd95"] == [[4.5]]


def test_distances_must_be_in_one_unit(tmp_path):
    tables = [table(tmp_path / f"{unit}.csv", {"a/1": {"x": 0.1}}, unit) for unit in ("px", "mm")]
    with pytest.raises(MaskmillError, match="distances are in mm and px; evaluate"):
        read_case_values(tables, ["iou"])


def test_a_class_called_mean_is_refused():
    with pytest.raises(MaskmillError, match="rename"):
        case_values(rows({"a/1": {"mean": 0.1}}), ["iou"])


def test_each_class_counts_the_same_in_the_mean_over_classes():
    common = dict(zip("abcd", (0.2, 0.4, 0.6, 1.0), strict=True))
    values = {f"{group}/1": {"x": x, "y": 0.5 if group == "a" else None} for group, x in common.items()}
    cases = case_values(rows(values), ["iou"])

    own, over = summarize_cases(cases, "iou", "x"), summarize_cases(cases, "iou", MEAN)

    assert [own[key] for key in ("mean", "q1", "median", "q3", "n_cases")] == [0.55, 0.35, 0.5, 0.7, 4]
    assert [over[key] for key in ("mean", "q1", "median", "q3", "n_cases")] == [0.525, 0.425, 0.5, 0.6, 4]
    assert 0.2 <= own["low"] < 0.55 < own["high"] <= 1
