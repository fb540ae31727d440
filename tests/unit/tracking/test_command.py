"""`maskmill track`."""

import json
import logging

import pytest
from mlflow import MlflowClient

from maskmill.cli import main
from maskmill.tracking import tracker as module
from tests.unit.tracking.tracking_data import (
    DEAD,
    EPOCHS,
    LOSSES,
    artifacts,
    logged,
    picture,
    runs,
    tracker,
    train,
)  # fmt: skip


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """The command line sets up logging for its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


@pytest.fixture
def missed(tmp_path, monkeypatch):
    """Folder of a training that no store knows of."""
    monkeypatch.setattr(module, "LAST_ATTEMPTS", (0,))
    train(DEAD, tmp_path / "results/roofs/runs/baseline/fold0-seed0")
    return tmp_path / "results/roofs/runs/baseline/fold0-seed0"


def record(run, name="abc"):
    return json.loads((run / f"tracking/{name}/record.json").read_text())


def track(*arguments):
    return main(["track", *map(str, arguments)])


def test_everything_that_was_missed_is_sent(missed, store):
    assert track(missed, "--uri", store) == 0
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (record(missed)["started"], record(missed)["ended"])
    assert run.data.params == {"seed": "0", "model.width": "8"}
    assert logged(store, run.info.run_id) == LOSSES
    assert set(artifacts(store, run.info.run_id)) == {
        "model.safetensors", "config.yaml", "validation.png", "environment", "images",
    }  # fmt: skip
    assert len(artifacts(store, run.info.run_id, "images")) == 6


def test_all_trainings_below_a_folder_are_sent_and_only_once(missed, store, tmp_path, capsys):
    train(DEAD, missed.with_name("fold0-seed1"), tags={"run_id": "def"})
    for _ in range(2):
        assert track(tmp_path / "results", "--uri", store) == 0
    assert sorted(run.data.tags["run_id"] for run in runs(store)) == ["abc", "def"]
    assert all(logged(store, run.info.run_id) == LOSSES for run in runs(store))
    assert "run def, baseline/fold0-seed0: 3 epochs" in capsys.readouterr().err


def test_a_run_that_was_deleted_after_it_was_sent_does_not_come_back(missed, store):
    track(missed, "--uri", store)
    MlflowClient(store).delete_run(record(missed)["mlflow_run"])
    assert track(missed) == 0
    assert runs(store) == []


def test_a_training_that_was_killed_is_closed(missed, store):
    with tracker(DEAD, missed, tags={"run_id": "killed"}) as killed:
        killed.log_epochs(EPOCHS[:2])
        killed.log_pictures(picture(), 2)
    assert track(missed, "--uri", store) == 0
    assert {run.data.tags["run_id"]: run.info.status for run in runs(store)} == {"abc": "FINISHED", "killed": "KILLED"}


def test_the_training_goes_on_in_the_run_that_was_sent(missed, store):
    with tracker(store, missed, tags={"run_id": "killed"}) as killed:
        killed.log_epochs(EPOCHS[:2])
    track(missed)
    with tracker(store, missed, killed.mlflow_run, first_epoch=3, tags={"run_id": "killed"}) as tracking:
        tracking.log_epochs(EPOCHS)
        assert MlflowClient(store).get_run(killed.mlflow_run).info.status == "RUNNING"
        tracking.finish(EPOCHS, [])
    assert tracking.mlflow_run == killed.mlflow_run
    assert logged(store, tracking.mlflow_run) == LOSSES


def test_a_training_that_runs_is_left_alone(tmp_path, store, capsys):
    with tracker(store, tmp_path / "run") as tracking:
        assert track(tmp_path / "run") == 0
        assert "is in training" in capsys.readouterr().err
    assert MlflowClient(store).get_run(tracking.mlflow_run).info.status == "RUNNING"


def test_files_of_another_training_are_not_sent(missed, store, capsys):
    (missed / "model.safetensors").write_text("other weights")
    assert track(missed, "--uri", store) == 0
    assert "model.safetensors is no longer that of run abc" in capsys.readouterr().err
    assert "model.safetensors" not in artifacts(store, record(missed)["mlflow_run"])


def test_a_folder_without_records_and_a_dead_store_are_named(missed, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert track(tmp_path / "empty", missed) == 1
    error = capsys.readouterr().err
    assert f"  - {tmp_path}/empty: there is no record of a training" in error
    assert f"  - {missed}/tracking/abc: MLflow at {DEAD} fails" in error
    assert "Traceback" not in error


def test_a_damaged_record_is_named_and_the_others_are_sent(missed, store, capsys):
    (missed / "tracking/aaa").mkdir()
    (missed / "tracking/aaa/record.json").write_text("[]")
    assert track(missed, "--uri", store) == 1
    assert "record.json is damaged" in capsys.readouterr().err
    assert len(runs(store)) == 1
