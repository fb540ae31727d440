"""The summary of an experiment from hand-made tables of metrics."""

from collections.abc import Collection
from pathlib import Path

import pytest
import yaml

from maskmill.evaluation.averages import MEAN
from maskmill.evaluation.summary import Member, deployed_results, summarize_experiment, validation_score
from maskmill.files import read_json, write_json, write_table
from maskmill.metrics import CASE_COLUMNS, METRICS


def metrics_table(
    path: Path, iou: dict[str, dict[str, float | None]], unit: str = "px", absent: Collection[str] = ()
) -> Path:
    """Write a table in which every metric of a case (id "group/case") and class has the value given for its IoU.

    absent: cases whose reference is empty.
    """
    rows = []
    for case, classes in iou.items():
        for name, value in classes.items():
            pixels = 0 if case in absent else 9
            counts = {"reference_pixels": pixels, "predicted_pixels": 7 if value == 0 else 0, "tp": 0, "fp": 0, "fn": 0}
            metrics = dict.fromkeys(METRICS, value)
            rows.append({"id": case, "group": case.split("/")[0], "class": name, "unit": unit} | counts | metrics)
    write_table(path, rows, CASE_COLUMNS)
    return path


def member(folder: Path, seed: int, validation: dict, test: dict, absent: Collection[str] = ()) -> Member:
    folder = folder / f"fold0-seed{seed}"
    folder.mkdir()
    config = {"run_id": f"run{seed}", "experiment": "baseline", "fold": 0, "seed": seed, "classes": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    epochs = [{"epoch": i, "loss": 1, "seconds": 2.5} for i in range(4)]
    write_table(folder / "history.csv", epochs, ["epoch", "loss", "seconds"])
    return Member(
        folder.name,
        folder / "config.yaml",
        folder / "history.csv",
        metrics_table(folder / "validation.csv", validation),
        metrics_table(folder / "test.csv", test, absent=absent),
    )


def cases(**values: float | None) -> dict:
    """One class, one case a group."""
    return {f"{group}/0": {"cell": value} for group, value in values.items()}


def test_the_ensemble_is_measured_by_its_own_masks(tmp_path):
    members = [member(tmp_path, seed, cases(v=0.5), cases(g=0.2 + seed / 10, h=0.4)) for seed in (0, 1)]
    table = metrics_table(tmp_path / "ensemble.csv", cases(g=0.8, h=0.6))

    summarize_experiment("baseline", members, 2.0, tmp_path / "plain.json")
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json", ensemble=table)

    plain, summary = (read_json(tmp_path / f"{name}.json") for name in ("plain", "summary"))
    ensemble = summary.pop("ensemble")
    assert summary == plain
    assert ensemble["test"][MEAN]["iou"]["mean"] == 0.7
    assert ensemble["test"][MEAN]["iou"]["n_cases"] == 2
    assert ensemble["outcomes"]["cell"]["cases"] == 2


def test_what_is_deployed_is_the_ensemble_where_there_is_one():
    alone = {"members": [1, 2], "test": {"a": 1}, "outcomes": {"a": 2}}

    assert deployed_results(alone) == alone
    assert deployed_results(alone | {"ensemble": {"test": {"a": 3}, "outcomes": {"a": 4}}})["test"] == {"a": 3}


def test_validation_is_scored_on_pictures_that_chose_nothing_where_that_is_known():
    assert validation_score({"optimism": {"apparent": 0.8, "nested": 0.7}}) == 0.7
    assert validation_score({"optimism": {"apparent": 0.8, "nested": None}}) == 0.8
    assert validation_score({"optimism": {"apparent": None, "nested": None}}) is None


def test_members_and_the_best_of_them(tmp_path):
    members = [
        member(tmp_path, 0, {"v/0": {"a": 0.9, "b": None}, "v/1": {"a": 0.7, "b": 0.2}}, cases(g=0.5)),
        member(tmp_path, 1, {"v/0": {"a": 0.6, "b": None}, "v/1": {"a": 0.6, "b": 0.6}}, cases(g=0.5)),
    ]
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json")
    summary = read_json(tmp_path / "summary.json")
    # means over classes of the means over defined cases: (0.8 + 0.2) / 2 and (0.6 + 0.6) / 2
    assert [m["validation"]["mean_iou"] for m in summary["members"]] == [0.5, 0.6]
    assert summary["best_member"] == "fold0-seed1"
    assert summary["run_ids"] == ["run0", "run1"]
    first = summary["members"][0]
    assert (first["fold"], first["seed"], first["epochs"], first["training_seconds"]) == (0, 0, 4, 10.0)
    assert (summary["experiment"], summary["boundary_tolerance"], summary["level"]) == ("baseline", 2.0, 0.95)


def test_the_first_name_is_best_among_equals(tmp_path):
    members = [member(tmp_path, seed, cases(v=0.5), cases(g=0.5)) for seed in (2, 1)]
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json")
    assert read_json(tmp_path / "summary.json")["best_member"] == "fold0-seed1"


def test_a_member_without_a_validation_value_is_never_best(tmp_path):
    members = [member(tmp_path, 0, cases(v=None), cases(g=0.5)), member(tmp_path, 1, cases(v=0.0), cases(g=0.5))]
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json")
    summary = read_json(tmp_path / "summary.json")
    assert summary["members"][0]["validation"]["mean_iou"] is None
    assert summary["best_member"] == "fold0-seed1"


def test_each_case_is_averaged_over_members_before_the_statistics(tmp_path):
    members = [
        member(tmp_path, 0, cases(v=0.5), cases(a=0.2, b=0.4, c=0.9, d=None)),
        member(tmp_path, 1, cases(v=0.5), cases(a=0.4, b=None, c=0.5, d=None)),
    ]
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json")
    summary = read_json(tmp_path / "summary.json")["test"]
    iou = summary["cell"]["iou"]
    assert iou["mean"] == pytest.approx((0.3 + 0.4 + 0.7) / 3, rel=1e-5)
    assert iou["median"] == 0.4
    assert (iou["low"], iou["high"]) == (0.3, 0.7)
    assert (iou["resampled"], iou["n_cases"], iou["n_groups"], iou["undefined"]) == ("groups", 3, 3, 1)
    assert summary[MEAN] == summary["cell"]


def test_quartiles_are_of_the_averaged_cases_and_the_range_of_the_members_own_means(tmp_path):
    members = [
        member(tmp_path, 0, cases(v=0.5), cases(a=0.1, b=0.2, c=0.3, d=0.4, e=0.5)),
        member(tmp_path, 1, cases(v=0.5), cases(a=0.3, b=0.4, c=None, d=0.6, e=0.7)),
    ]
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json")
    iou = read_json(tmp_path / "summary.json")["test"]["cell"]["iou"]
    # cases: 0.2, 0.3, 0.3, 0.5, 0.6; members: 1.5 / 5 and 2.0 / 4
    assert (iou["q1"], iou["median"], iou["q3"]) == (0.3, 0.3, 0.5)
    assert (iou["member_low"], iou["member_high"]) == (0.3, 0.5)


def test_a_metric_without_a_value_has_no_quartiles_and_no_range(tmp_path):
    members = [member(tmp_path, 0, cases(v=0.5), cases(a=None))]
    summarize_experiment("baseline", members, 2.0, tmp_path / "summary.json")
    iou = read_json(tmp_path / "summary.json")["test"]["cell"]["iou"]
    assert [iou[key] for key in ("mean", "q1", "q3", "member_low", "member_high")] == [None] * 5


def test_mean_over_classes_is_the_mean_of_what_the_classes_show(tmp_path):
    test = {"a/0": {"x": 0.2, "y": None}, "b/0": {"x": 0.4, "y": 0.9}, "c/0": {"x": 0.6, "y": None}}
    summarize_experiment("e", [member(tmp_path, 0, cases(v=1.0), test)], 2.0, tmp_path / "summary.json")
    summary = read_json(tmp_path / "summary.json")["test"]
    assert (summary["x"]["iou"]["mean"], summary["y"]["iou"]["mean"]) == (0.4, 0.9)
    assert summary[MEAN]["iou"]["mean"] == 0.65
    assert summary[MEAN]["iou"]["median"] == 0.65


def test_empty_masks_are_counted_over_all_members(tmp_path):
    test, absent = cases(a=0.0, b=None, c=None), ("a/0", "b/0", "c/0")
    members = [member(tmp_path, seed, cases(v=1.0), test, absent) for seed in (0, 1)]
    summarize_experiment("e", members, 2.0, tmp_path / "summary.json")
    outcome = read_json(tmp_path / "summary.json")["outcomes"]["cell"]
    assert (outcome["cases"], outcome["both_empty"], outcome["empty_reference"]) == (6, 4, 2)
    assert outcome["false_positive_pixels_on_empty"] == 14


def test_the_same_input_gives_the_same_bytes(tmp_path):
    members = [member(tmp_path, 0, cases(v=1.0), cases(a=0.1, b=0.2, c=0.4))]
    for name in ("one.json", "two.json"):
        summarize_experiment("e", members, 2.0, tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_the_unit_of_distances_is_recorded(tmp_path):
    one = member(tmp_path, 0, cases(v=1.0), cases(a=0.1))
    metrics_table(one.test, cases(a=0.1), unit="mm")
    summarize_experiment("e", [one], 2.0, tmp_path / "summary.json")
    assert read_json(tmp_path / "summary.json")["unit"] == "mm"


def test_extra_metrics_are_summarised_alike(tmp_path):
    members = [member(tmp_path, seed, cases(v=1.0), cases(a=0.1, b=0.2, c=0.6)) for seed in (0, 1)]
    tables, wholes = [], []
    for seed, last in enumerate((0.5, 0.7)):
        bins = {"low": 0.2, "high": 0.25, "pixels": 3000001, "probability": 0.21, "share": 0.1 + 0.2 * seed}
        values = zip("abc", (0.1, None, last), strict=True)
        rows = [
            {"id": g, "group": g, "class": "cell", "unit": "", "reference_pixels": 9, "pq": pq, "ece": 0.1}
            for g, pq in values
        ]
        tables.append(tmp_path / f"{seed}.csv")
        write_table(tables[-1], rows, list(rows[0]))
        wholes.append(tmp_path / f"{seed}.json")
        write_json(wholes[-1], {"cell": {"ece": 0.02 + 0.02 * seed, "reliability": [bins], "v_rand_threshold": 0.5}})
    summarize_experiment("e", members, 2.0, tmp_path / "summary.json", tables, wholes)
    extra = read_json(tmp_path / "summary.json")["extra"]
    assert extra["metrics"] == ["pq", "ece"]
    assert extra["test"]["cell"]["pq"]["mean"] == pytest.approx((0.1 + 0.6) / 2)
    assert (extra["test"]["cell"]["pq"]["n_cases"], extra["test"]["cell"]["pq"]["undefined"]) == (2, 1)
    assert extra["test"][MEAN]["ece"]["mean"] == 0.1
    assert extra["pooled"] == {"cell": {"ece": 0.03}}
    assert extra["reliability"] == {"cell": [bins | {"pixels": 6000002, "share": 0.2}]}


def test_without_extra_metrics_the_summary_has_none(tmp_path):
    summarize_experiment("e", [member(tmp_path, 0, cases(v=1.0), cases(a=0.1))], 2.0, tmp_path / "summary.json")
    assert "extra" not in read_json(tmp_path / "summary.json")
