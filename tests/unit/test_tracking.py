"""Tracking by MLflow and TensorBoard."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskmill.tracking import Tracker, create_store

EPOCHS = [
    {"epoch": number, "loss": 1 / number, "validation_loss": 2 / number, "validation_iou": iou, "lr": 0.1, "seconds": 3}
    for number, iou in [(1, None), (2, 0.5), (3, 0.75)]
]
DEAD = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """URI of a store whose tables exist."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/sub/mlflow.db"
    create_store(uri, folder / "marker.json")
    assert json.loads((folder / "marker.json").read_text()) == {"created": True}
    return uri


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def tracker(uri, folder, mlflow_run=None, first_epoch=1):
    return Tracker(
        uri, "experiment", "baseline/fold0-seed0", mlflow_run, {"run_id": "abc"},
        {"seed": 0, "model": {"width": 8}}, folder / "tensorboard", first_epoch,
    )  # fmt: skip


def logged(uri, run, metric="loss"):
    history = MlflowClient(uri).get_metric_history(run, metric)
    return [(entry.step, entry.value) for entry in sorted(history, key=lambda entry: entry.step)]


def scalars(folder, name="loss"):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def test_a_training_is_recorded(store, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    with tracker(store, tmp_path) as tracking:
        for number in (1, 2, 3):
            tracking.log_epochs(EPOCHS[:number])
        tracking.log_pictures(np.zeros((8, 24, 3), np.uint8), epoch=3)
        tracking.finish(EPOCHS, [tmp_path / "model.safetensors"])
    client = MlflowClient(store)
    run = client.get_run(tracking.mlflow_run)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "baseline/fold0-seed0"
    assert run.data.tags["run_id"] == "abc"
    assert run.data.params == {"seed": "0", "model.width": "8"}
    assert logged(store, tracking.mlflow_run) == [(1, 1), (2, 0.5), (3, 1 / 3)]
    assert logged(store, tracking.mlflow_run, "validation_iou") == [(2, 0.5), (3, 0.75)]
    assert [file.path for file in client.list_artifacts(tracking.mlflow_run)] == ["model.safetensors"]
    assert run.info.artifact_uri.startswith((Path(store.removeprefix("sqlite:///")).parent / "mlruns").as_uri())
    assert scalars(tmp_path) == [(1, 1), (2, 0.5), (3, 0.3333)]


def test_a_killed_training_goes_on_in_the_same_run(store, tmp_path):
    killed = tracker(store, tmp_path)
    killed.log_epochs(EPOCHS[:1])
    killed.log_epochs(EPOCHS[:2])
    with tracker(store, tmp_path, killed.mlflow_run, first_epoch=2) as tracking:
        tracking.log_epochs(EPOCHS[:2])
        tracking.log_epochs(EPOCHS)
        tracking.finish(EPOCHS, [])
    assert tracking.mlflow_run == killed.mlflow_run
    assert logged(store, tracking.mlflow_run) == [(1, 1), (2, 0.5), (3, 1 / 3)]
    assert scalars(tmp_path) == [(1, 1), (2, 0.5), (3, 0.3333)]


def test_a_fresh_training_leaves_no_old_curves(store, tmp_path):
    with tracker(store, tmp_path) as tracking:
        tracking.log_epochs(EPOCHS)
    with tracker(store, tmp_path) as tracking:
        tracking.log_epochs(EPOCHS[:1])
    assert scalars(tmp_path) == [(1, 1)]


def test_a_run_that_is_gone_is_replaced(store, tmp_path):
    with tracker(store, tmp_path, mlflow_run="0" * 32) as tracking:
        tracking.log_epochs(EPOCHS[:1])
    assert logged(store, tracking.mlflow_run) == [(1, 1)]


def test_an_error_marks_the_run_as_failed(store, tmp_path):
    with pytest.raises(RuntimeError, match="boom"), tracker(store, tmp_path) as tracking:
        raise RuntimeError("boom")
    assert MlflowClient(store).get_run(tracking.mlflow_run).info.status == "FAILED"


def test_a_dead_server_is_warned_of_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="maskmill"), tracker(DEAD, tmp_path) as tracking:
        tracking.log_epochs(EPOCHS[:1])
        tracking.finish(EPOCHS[:1], [])
    warnings = [record for record in caplog.records if record.name == "maskmill.tracking"]
    assert len(warnings) == 1
    assert DEAD in warnings[0].getMessage()
    assert scalars(tmp_path) == [(1, 1)]


def test_what_a_store_missed_is_sent_when_it_answers_again(store, tmp_path, monkeypatch):
    with tracker(store, tmp_path) as tracking:
        tracking.log_epochs(EPOCHS[:1])

        def fail(*arguments, **named):
            raise ConnectionError("away")

        with monkeypatch.context() as patched:
            patched.setattr(MlflowClient, "log_batch", fail)
            tracking.log_epochs(EPOCHS[:2])
        tracking.log_epochs(EPOCHS)
    assert logged(store, tracking.mlflow_run) == [(1, 1), (2, 0.5), (3, 1 / 3)]


def test_the_environment_names_the_store(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    with tracker(DEAD, tmp_path) as tracking:
        tracking.log_epochs(EPOCHS[:1])
    assert logged(store, tracking.mlflow_run) == [(1, 1)]


def test_a_dead_server_does_not_stop_the_workflow(tmp_path, caplog):
    create_store(DEAD, tmp_path / "marker.json")
    assert "does not answer" in caplog.text
    assert (tmp_path / "marker.json").exists()
