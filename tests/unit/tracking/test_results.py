"""Results of the evaluation in MLflow."""

import json
import logging

import pytest
import yaml

from maskmill.files import write_table
from maskmill.metrics import CASE_COLUMNS, METRICS
from maskmill.runs import joined_run_id
from maskmill.tracking import tracker as module
from maskmill.tracking.results import EnsembleResults, MemberResults, describe_results, record_results
from tests.unit.tracking.tracking_data import DEAD, LOSSES, artifacts, logged, runs, train


def write_metrics(path, ious):
    """A table of two classes whose first metric is given by case and class, the others undefined."""
    rows = [
        dict.fromkeys(CASE_COLUMNS) | {"id": str(case), "group": "g", "class": name, "unit": "px", "iou": iou}
        for case, values in enumerate(ious)
        for name, iou in zip(("roof", "road"), values, strict=True)
    ]
    write_table(path, rows, CASE_COLUMNS)
    return path


@pytest.fixture
def member(tmp_path, monkeypatch):
    """Files of a member; its training is reported by the tests."""
    monkeypatch.setattr(module, "LAST_ATTEMPTS", (0,))
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"run_id": "abc"}))
    validation = write_metrics(run / "validation.csv", [(0.5, None)])
    return MemberResults(run / "config.yaml", validation, write_metrics(run / "test.csv", [(0.2, 0.8), (0.4, None)]))


def test_means_are_over_the_pictures_that_have_a_value_then_over_classes(member):
    results = describe_results({"validation": member.validation, "test": member.test})
    assert results == pytest.approx(
        {
            "validation/iou": 0.5,
            "validation/iou/roof": 0.5,
            "test/iou": 0.55,
            "test/iou/roof": 0.3,
            "test/iou/road": 0.8,
        }
    )
    assert "dice" in METRICS  # and is left out, since no picture has a value


def test_extra_metrics_of_the_test_stand_beside_the_others(member, tmp_path):
    rows = [
        {"id": str(i), "group": "g", "class": name, "unit": "", "reference_pixels": 5, "pq": pq, "ece": 0.25}
        for i, (name, pq) in enumerate([("roof", 0.1), ("roof", 0.5), ("road", None)])
    ]
    write_table(tmp_path / "extra_test.csv", rows, list(rows[0]))
    results = describe_results({"validation": member.validation, "test": member.test}, tmp_path / "extra_test.csv")
    assert {key: value for key, value in results.items() if "iou" not in key} == pytest.approx(
        {"test/pq": 0.3, "test/pq/roof": 0.3, "test/ece": 0.25, "test/ece/roof": 0.25, "test/ece/road": 0.25}
    )
    assert results["test/iou"] == pytest.approx(0.55)


def test_results_reach_the_run_of_their_training_once(member, store, tmp_path):
    run = member.config.parent
    train(store, run)
    member.config.write_text(yaml.safe_dump({"run_id": "abc"}))
    for _ in range(2):
        record_results([member], store, tmp_path / "recorded.json")
    (found,) = runs(store)
    assert found.data.metrics["test/iou"] == pytest.approx(0.55)
    assert logged(store, found.info.run_id, "test/iou/road") == [(3, 0.8)]
    assert logged(store, found.info.run_id) == LOSSES
    assert found.info.status == "FINISHED"
    assert json.loads((tmp_path / "recorded.json").read_text())["abc"]["validation/iou"] == 0.5


def test_a_dead_store_loses_nothing(member, store, tmp_path, caplog):
    run = member.config.parent
    train(DEAD, run)
    member.config.write_text(yaml.safe_dump({"run_id": "abc"}))
    with caplog.at_level(logging.WARNING):
        record_results([member], DEAD, tmp_path / "recorded.json")
    assert f"maskmill track {run}" in caplog.text
    assert (tmp_path / "recorded.json").exists()
    record_results([member], store, tmp_path / "recorded.json")
    assert runs(store)[0].data.metrics["test/iou"] == pytest.approx(0.55)


def test_a_training_without_its_record_is_said(member, store, tmp_path, caplog):
    record_results([member], store, tmp_path / "recorded.json")
    assert "run/tracking/abc is gone" in caplog.text


def test_an_ensemble_is_a_run_with_the_options_of_its_members(member, store, tmp_path):
    members = []
    for seed in (0, 1):
        run = tmp_path / f"baseline/fold0-seed{seed}"
        tags = {"run_id": f"run{seed}", "experiment": "baseline", "seed": str(seed)}
        train(store, run, tags=tags, params={"seed": seed, "model": {"width": 8}}, name=f"baseline/fold0-seed{seed}")
        (run / "config.yaml").write_text(yaml.safe_dump({"run_id": f"run{seed}"}))
        members.append(member._replace(config=run / "config.yaml"))
    ensemble = tmp_path / "baseline/ensemble"
    (ensemble / "metrics").mkdir(parents=True)
    (ensemble / "operating_point.json").write_text(json.dumps({"optimism": {"apparent": 0.72, "nested": 0.7}}))
    test = write_metrics(ensemble / "metrics/test.csv", [(0.9, 0.5)])
    files = EnsembleResults(ensemble / "operating_point.json", test)

    for _ in range(2):
        record_results(members, store, tmp_path / "recorded.json", files)

    found = {run.info.run_name: run for run in runs(store)}
    assert len(found) == 3
    run = found["baseline/ensemble"]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0, 1", "model.width": "8"}
    assert run.data.metrics["test/iou"] == pytest.approx(0.7)
    assert run.data.metrics["validation/iou"] == 0.7
    assert {"operating_point.json", "test.csv"} <= set(artifacts(store, run.info.run_id))
    assert run.data.tags["run_id"] == joined_run_id(["run0", "run1"])
    assert set(json.loads((tmp_path / "recorded.json").read_text())) == {"run0", "run1", run.data.tags["run_id"]}


def test_an_ensemble_whose_members_have_no_record_is_said(member, store, tmp_path, caplog):
    (tmp_path / "operating_point.json").write_text(json.dumps({"optimism": {"apparent": None, "nested": None}}))

    record_results(
        [member], store, tmp_path / "r.json", EnsembleResults(tmp_path / "operating_point.json", member.test)
    )

    assert "MLflow does not get the ensemble" in caplog.text
    assert runs(store) == []
