"""The comparison of experiments: its table, and what cannot be compared."""

import pytest

from maskmill.errors import MaskmillError
from maskmill.evaluation.comparison import COMPARISON_COLUMNS, compare_results
from maskmill.metrics import METRICS
from tests.unit.comparison_data import BASE, BETTER, MIXED, Experiments


@pytest.fixture
def experiments(tmp_path) -> Experiments:
    return Experiments(tmp_path)


def test_a_row_for_each_experiment_class_and_metric(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    rows, _ = experiments.compare()
    assert tuple(rows[0]) == COMPARISON_COLUMNS
    keys = [(row["experiment"], row["class"], row["metric"]) for row in rows]
    assert keys == [(e, c, m) for e in ("baseline", "cbam") for c in ("building", "mean") for m in METRICS]


def test_differences_are_to_the_first_experiment_which_has_none(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    rows, _ = experiments.compare()
    by_key = {(row["experiment"], row["class"], row["metric"]): row for row in rows}
    first, second = by_key["baseline", "building", "iou"], by_key["cbam", "building", "iou"]
    assert (first["compared_with"], first["difference"], first["verdict"]) == ("", "", "")
    assert float(second["mean"]) - float(first["mean"]) == pytest.approx(float(second["difference"]), rel=1e-4)
    assert 0 < float(second["difference_low"]) < float(second["difference"]) < float(second["difference_high"])
    assert (second["p"], second["paired_cases"], second["paired_groups"]) == ("0.015625", "7", "7")
    assert second["verdict"] == "better"


def test_smaller_distances_are_better(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BETTER)
    rows, _ = experiments.compare()
    row = next(row for row in rows if row["experiment"] == "cbam" and row["metric"] == "hd95")
    assert float(row["difference"]) < 0
    assert (row["verdict"], row["unit"]) == ("better", "px")


def test_a_false_alarm_counts_against_finding_nothing_in_the_difference_alone(experiments):
    nothing = float("nan")
    experiments.add("baseline", [*BASE, nothing, nothing], absent=(7,))
    experiments.add("alarmed", [*BASE, 0.0, 0.0], absent=(7,))  # of the last, whose class is there, one has no value
    rows, _ = experiments.compare()
    row = next(row for row in rows if (row["experiment"], row["metric"]) == ("alarmed", "iou"))
    assert (row["n_cases"], row["paired_cases"]) == ("9", "8")
    assert float(row["difference"]) == -1 / 8
    assert next(row["mean"] for row in rows if row["metric"] == "iou") == "0.65"


def test_what_the_task_asks_for_besides_is_compared_alike(experiments):
    nothing, metrics = float("nan"), ("pq", "ece")
    experiments.add("baseline", [*BASE, nothing], absent=(7,), extra=metrics)
    experiments.add("cbam", [*BETTER, 0.0], absent=(7,), extra=metrics)
    rows, _ = experiments.compare()
    assert [row["metric"] for row in rows if row["class"] == "mean"] == [*METRICS, *metrics] * 2
    iou, pq, ece = (
        next(row for row in rows if (row["experiment"], row["metric"]) == ("cbam", name)) for name in ("iou", *metrics)
    )
    columns = (
        "mean",
        "low",
        "high",
        "n_cases",
        "difference",
        "difference_low",
        "p",
        "p_holm",
        "paired_cases",
        "verdict",
    )
    assert [pq[column] for column in columns] == [iou[column] for column in columns]
    assert float(pq["difference"]) == pytest.approx((sum(BETTER) - sum(BASE) - 1) / 8)
    # one that finds nothing has a calibration error of 0 beside one that is wrong, here of 0 too
    assert float(ece["difference"]) == pytest.approx((sum(BETTER) - sum(BASE)) / 8)
    assert (pq["unit"], ece["verdict"]) == ("", "worse")


def test_extra_metrics_of_ensembles_stand_beside_those_of_their_members(experiments):
    for name, together in (("baseline", BASE), ("cbam", BETTER)):
        experiments.add(name, MIXED, MIXED, together=together, extra=("cldice",))
    rows, _ = experiments.compare()
    row = next(row for row in rows if (row["experiment"], row["metric"]) == ("cbam", "cldice"))
    assert float(row["mean"]) == pytest.approx(sum(BETTER) / 7, abs=1e-6)
    assert float(row["member_mean"]) == pytest.approx(sum(MIXED) / 7, abs=1e-6)
    assert row["verdict"] == "better"


def test_extra_tables_that_do_not_match_are_refused(experiments, tmp_path):
    experiments.add("baseline", BASE, extra=("pq",))
    summary, table = tmp_path / "baseline/summary.json", tmp_path / "baseline/fold0-seed0/test.csv"
    with pytest.raises(MaskmillError, match="1 metrics tables come with 2 of extra metrics"):
        compare_results(["baseline"], [summary], [table], experiments.extra * 2)
    experiments.add("cut", BASE[:-1], extra=("pq",))
    with pytest.raises(MaskmillError, match=r"extra_test.csv has other cases or classes than .*test.csv"):
        compare_results(["baseline"], [summary], [table], experiments.extra[1:])


def test_other_units_are_refused(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BASE, unit="mm")
    with pytest.raises(MaskmillError, match=r"distances of baseline are in px, others in another unit: cbam \(mm\)"):
        experiments.compare()


def test_other_classes_are_refused(experiments):
    experiments.add("baseline", BASE)
    experiments.add("cbam", BASE, class_name="road")
    with pytest.raises(MaskmillError, match=r"other classes than baseline \(building\): cbam"):
        experiments.compare()


def test_files_that_do_not_match_the_experiments_are_refused(tmp_path):
    with pytest.raises(MaskmillError, match="2 experiments come with 1 summaries and 1 metrics tables"):
        compare_results(["baseline", "cbam"], [tmp_path / "summary.json"], [tmp_path / "test.csv"])


def test_quartiles_and_the_range_of_the_members_stand_beside_the_mean(experiments):
    experiments.add("baseline", [0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.5, 0.6, 0.7])
    rows, _ = experiments.compare()
    row = next(row for row in rows if row["metric"] == "iou")
    keys = ("mean", "median", "q1", "q3", "member_low", "member_high")
    assert [row[key] for key in keys] == ["0.4", "0.4", "0.3", "0.5", "0.3", "0.5"]
