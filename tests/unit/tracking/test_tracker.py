"""A training reports to MLflow and TensorBoard, whatever happens to it or to them."""

import io
import json
import logging
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from maskmill.tracking import delivery
from maskmill.tracking import tracker as module
from tests.unit.tracking.tracking_data import (
    DEAD,
    EPOCHS,
    LOSSES,
    accumulated,
    artifacts,
    logged,
    picture,
    runs,
    scalars,
    tracker,
    train,
    write_outputs,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Ask a store that failed again at once."""
    monkeypatch.setattr(module, "PAUSE", 0)
    monkeypatch.setattr(module, "LAST_ATTEMPTS", (0,))


@pytest.fixture
def away(monkeypatch):
    """A function that makes the store fail, and one that brings it back."""
    original = delivery.connect

    def fail(*arguments, **named):
        raise ConnectionError("away")

    def turn(dead):
        monkeypatch.setattr(delivery, "connect", fail if dead else original)
        for name in ("log_batch", "log_artifact", "log_image", "set_terminated"):
            monkeypatch.setattr(MlflowClient, name, fail) if dead else monkeypatch.undo()

    return turn


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_training_is_recorded(store, tmp_path):
    tracking = train(store, tmp_path / "run")
    client = MlflowClient(store)
    run = client.get_run(tracking.mlflow_run)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "baseline/fold0-seed0"
    assert run.info.artifact_uri.startswith((tmp_path / "mlruns").as_uri())
    assert run.data.tags["run_id"] == "abc"
    assert run.data.params == {"seed": "0", "model.width": "8"}
    assert logged(store, tracking.mlflow_run) == LOSSES
    assert logged(store, tracking.mlflow_run, "validation_iou") == [(2, 0.75), (3, 0.5)]
    assert logged(store, tracking.mlflow_run, "best_validation_iou") == [(2, 0.75), (3, 0.75)]
    assert "epoch" not in run.data.metrics
    assert {"model.safetensors", "config.yaml", "validation.png"} <= set(artifacts(store, tracking.mlflow_run))


def test_the_data_set_the_packages_and_the_machine_are_recorded(store, tmp_path):
    tracking = train(store, tmp_path / "run")
    client = MlflowClient(store)
    (given,) = client.get_run(tracking.mlflow_run).inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("roofs", "0123456789ab")
    assert json.loads(given.dataset.source) == {"uri": "results/roofs/splits.csv"}
    assert json.loads(given.dataset.profile) == {"train": 5, "validation": 2}
    folder = Path(client.download_artifacts(tracking.mlflow_run, "environment", str(tmp_path)))
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert f"numpy=={np.__version__}" in requirements
    hardware = json.loads((folder / "hardware.json").read_text())
    assert hardware["processor"]
    assert hardware["memory_gib"] > 0.5
    assert 0 < hardware["cores_usable"] <= hardware["cores"]


def test_pictures_are_recorded_by_epoch_and_their_number_stays_small(store, tmp_path):
    with tracker(store, tmp_path / "run") as tracking:
        for epoch in range(1, 101):
            tracking.log_pictures(picture(epoch), epoch)
        tracking.finish(EPOCHS, write_outputs(tmp_path / "run"))
    names = [name for name in artifacts(store, tracking.mlflow_run, "images") if name.endswith(".png")]
    steps = sorted(int(name.split("step+")[1].split("+")[0]) for name in names)
    assert steps[:7] == [1, 2, 3, 4, 5, 6, 8]
    assert len(steps) < 25
    assert [event.step for event in accumulated(tmp_path / "run").Images("validation")][-1] == steps[-1]
    file = MlflowClient(store).download_artifacts(tracking.mlflow_run, "validation.png", str(tmp_path))
    assert np.array_equal(np.asarray(Image.open(file)), picture(100))


def test_tensorboard_shows_every_curve_and_the_pictures(store, tmp_path):
    train(store, tmp_path / "run")
    assert scalars(tmp_path / "run") == [(1, 1), (2, 0.5), (3, 0.3333)]
    assert scalars(tmp_path / "run", "validation_iou") == [(2, 0.75), (3, 0.5)]
    shown = accumulated(tmp_path / "run").Images("validation")
    assert [event.step for event in shown] == [1, 2, 3]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown[2].encoded_image_string))), picture(3))


def test_a_killed_training_goes_on_in_the_same_run(store, tmp_path):
    with tracker(store, tmp_path / "run") as killed:
        for number in (1, 2):
            killed.log_epochs(EPOCHS[:number])
            killed.log_pictures(picture(number), number)
    with tracker(store, tmp_path / "run", killed.mlflow_run, first_epoch=2) as tracking:
        tracking.log_epochs(EPOCHS[:2])
        tracking.log_pictures(picture(20), 2)
        tracking.log_epochs(EPOCHS)
        tracking.finish(EPOCHS, [])
    assert tracking.mlflow_run == killed.mlflow_run
    assert len(runs(store)) == 1
    assert logged(store, tracking.mlflow_run) == LOSSES
    assert scalars(tmp_path / "run") == [(1, 1), (2, 0.5), (3, 0.3333)]
    shown = accumulated(tmp_path / "run").Images("validation")
    assert [event.step for event in shown] == [1, 2]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown[1].encoded_image_string))), picture(20))


def test_an_epoch_that_a_kill_left_unreported_is_reported_afterwards(store, tmp_path):
    with tracker(store, tmp_path / "run") as killed:
        killed.log_epochs(EPOCHS[:1])
    with tracker(store, tmp_path / "run", killed.mlflow_run, first_epoch=3) as tracking:
        tracking.log_epochs(EPOCHS)
    assert logged(store, tracking.mlflow_run) == LOSSES
    assert scalars(tmp_path / "run") == [(1, 1), (2, 0.5), (3, 0.3333)]


def test_a_training_that_was_finished_before_is_not_sent_again(store, tmp_path, monkeypatch):
    first = train(store, tmp_path / "run")

    def refuse(*arguments, **named):
        raise AssertionError("sent again")

    with monkeypatch.context() as patched:
        for name in ("log_batch", "log_image", "log_text", "log_inputs", "create_run"):
            patched.setattr(MlflowClient, name, refuse)
        with tracker(store, tmp_path / "run", first.mlflow_run, first_epoch=4) as tracking:
            tracking.finish(EPOCHS, write_outputs(tmp_path / "run"))
    assert MlflowClient(store).get_run(first.mlflow_run).info.status == "FINISHED"
    assert logged(store, first.mlflow_run) == LOSSES


def test_a_training_that_begins_again_gets_its_own_run_and_curves(store, tmp_path):
    first = train(store, tmp_path / "run")
    with tracker(store, tmp_path / "run") as tracking:
        tracking.log_epochs(EPOCHS[:1])
    assert tracking.mlflow_run != first.mlflow_run
    assert scalars(tmp_path / "run") == [(1, 1)]


def test_a_killed_training_whose_state_is_lost_is_closed_by_the_one_that_begins_again(store, tmp_path):
    with tracker(store, tmp_path / "run") as killed:
        killed.log_epochs(EPOCHS[:2])

    again = train(store, tmp_path / "run")

    status = {run.info.run_id: run.info.status for run in runs(store)}
    assert status == {killed.mlflow_run: "KILLED", again.mlflow_run: "FINISHED"}
    assert [folder.name for folder in (tmp_path / "run/tracking").iterdir() if folder.is_dir()] == ["abc"]


def test_a_training_killed_before_its_first_epoch_leaves_no_empty_run(store, tmp_path):
    with tracker(store, tmp_path / "run"):
        pass
    train(store, tmp_path / "run")
    assert len(runs(store)) == 1


def test_a_run_that_was_created_unnoticed_is_found(store, tmp_path, monkeypatch):
    original = MlflowClient.create_run

    def too_late(*arguments, **named):
        original(*arguments, **named)
        raise TimeoutError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "create_run", too_late)
        tracking = tracker(store, tmp_path / "run")
        tracking.__enter__()
    assert tracking.mlflow_run is None
    with tracking:
        tracking.log_epochs(EPOCHS)
    assert [run.info.run_id for run in runs(store)] == [tracking.mlflow_run]
    assert logged(store, tracking.mlflow_run) == LOSSES


@pytest.mark.parametrize("gone", ["unknown", "deleted"])
def test_a_run_that_is_gone_is_replaced(store, tmp_path, gone):
    with tracker(store, tmp_path / "run") as first:
        first.log_epochs(EPOCHS[:1])
    mlflow_run = first.mlflow_run
    if gone == "deleted":
        MlflowClient(store).delete_run(mlflow_run)
    else:
        shutil.rmtree(tmp_path / "run/tracking")
        mlflow_run = "0" * 32
    with tracker(store, tmp_path / "run", mlflow_run, first_epoch=2) as tracking:
        tracking.log_epochs(EPOCHS)
    assert tracking.mlflow_run not in (mlflow_run, first.mlflow_run)
    assert logged(store, tracking.mlflow_run) == LOSSES
    assert "environment" in artifacts(store, tracking.mlflow_run)


def test_a_run_deleted_during_the_training_is_replaced(store, tmp_path, caplog):
    with tracker(store, tmp_path / "run") as tracking:
        tracking.log_epochs(EPOCHS[:1])
        first = tracking.mlflow_run
        MlflowClient(store).delete_run(first)
        tracking.log_epochs(EPOCHS[:2])
        tracking.log_epochs(EPOCHS)
    assert tracking.mlflow_run != first
    assert logged(store, tracking.mlflow_run) == LOSSES


def test_the_run_of_the_training_state_counts_where_the_record_is_lost(store, tmp_path):
    with tracker(store, tmp_path / "run") as first:
        first.log_epochs(EPOCHS[:2])
    (tmp_path / "run/tracking/abc/record.json").write_text("{")
    with tracker(store, tmp_path / "run", first.mlflow_run, first_epoch=3) as tracking:
        tracking.log_epochs(EPOCHS)
    assert tracking.mlflow_run == first.mlflow_run
    assert logged(store, tracking.mlflow_run) == LOSSES


def test_a_deleted_experiment_is_said_with_its_remedy(store, tmp_path, caplog):
    train(store, tmp_path / "first")
    client = MlflowClient(store)
    client.delete_experiment(client.get_experiment_by_name("roofs").experiment_id)
    train(store, tmp_path / "second")
    assert f"MLFLOW_TRACKING_URI={store} mlflow experiments restore --experiment-id 1" in caplog.text


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_an_error_marks_the_run(store, tmp_path, error, status):
    with pytest.raises(error), tracker(store, tmp_path / "run") as tracking:
        raise error
    assert MlflowClient(store).get_run(tracking.mlflow_run).info.status == status
    train(store, tmp_path / "run")
    assert [run.info.status for run in runs(store)] == ["FINISHED"]


def test_many_long_and_strange_parameters(store, tmp_path):
    params = {"augment": {f"option {number}": number for number in range(250)}, "shares": {"roof (flat)": "x" * 9000}}
    with tracker(store, tmp_path / "run", params=params) as tracking:
        pass
    recorded = MlflowClient(store).get_run(tracking.mlflow_run).data.params
    assert len(recorded) == 251
    assert recorded["augment.option 249"] == "249"
    assert recorded["shares.roof _flat_"] == "x" * 499 + "…"


def test_many_epochs_at_once_and_numbers_that_are_none(store, tmp_path):
    history = [{"epoch": number, "loss": float("nan"), "lr": np.float32(1)} for number in range(1, 601)]
    for _ in range(2):
        with tracker(store, tmp_path / "run", first_epoch=601) as tracking:
            tracking.log_epochs(history)
    assert logged(store, tracking.mlflow_run, "lr") == [(number, 1) for number in range(1, 601)]
    assert all(value != value for _, value in logged(store, tracking.mlflow_run))


def test_a_dead_store_is_warned_of_once_and_again_at_the_end(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(DEAD, tmp_path / "my run")
    first, last = warnings(caplog)
    assert f"MLflow at {DEAD} fails" in first
    assert f"keeps in {tmp_path}/my run/tracking/abc what it misses" in first
    assert last.endswith(f"send them with: maskmill track '{tmp_path}/my run'")
    assert scalars(tmp_path / "my run") == [(1, 1), (2, 0.5), (3, 0.3333)]


def test_what_a_store_missed_is_sent_when_it_answers_again(store, tmp_path, away, caplog):
    caplog.set_level(logging.INFO)
    with tracker(store, tmp_path / "run") as tracking:
        tracking.log_epochs(EPOCHS[:1])
        away(True)
        tracking.log_epochs(EPOCHS[:2])
        tracking.log_pictures(picture(), 2)
        away(False)
        tracking.log_epochs(EPOCHS)
    assert logged(store, tracking.mlflow_run) == LOSSES
    assert len(artifacts(store, tracking.mlflow_run, "images")) == 2
    assert [message for message in caplog.messages if "answers again and has all 3 epochs" in message]


def test_what_one_process_kept_the_next_one_sends(store, tmp_path, away):
    away(True)
    with tracker(store, tmp_path / "run") as killed:
        killed.log_epochs(EPOCHS[:2])
        killed.log_pictures(picture(), 2)
    away(False)
    with tracker(store, tmp_path / "run", None, first_epoch=3) as tracking:
        pass
    assert logged(store, tracking.mlflow_run) == LOSSES[:2]
    assert len(artifacts(store, tracking.mlflow_run, "images")) == 2
    run = MlflowClient(store).get_run(tracking.mlflow_run)
    times = [entry.timestamp for entry in MlflowClient(store).get_metric_history(tracking.mlflow_run, "loss")]
    assert run.info.start_time <= min(times)


def test_a_failing_store_is_left_alone_in_proportion_to_what_it_costs(tmp_path, monkeypatch):
    asked = []

    def slow(*arguments):
        asked.append(arguments)
        time.sleep(0.05)
        raise ConnectionError("away")

    monkeypatch.setattr(delivery, "connect", slow)
    monkeypatch.setattr(module, "PAUSE", 20)
    with tracker(DEAD, tmp_path / "run") as tracking:
        for number in range(1, 4):
            tracking.log_epochs(EPOCHS[:number])
        assert len(asked) == 1
        time.sleep(1.1)
        tracking.log_epochs(EPOCHS)
        assert len(asked) == 2
        tracking.finish(EPOCHS, [])
    assert len(asked) == 3


def test_the_end_is_attempted_several_times(store, tmp_path, monkeypatch, caplog):
    original = MlflowClient.set_terminated
    calls = []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ConnectionError("away")
        return original(*arguments)

    monkeypatch.setattr(module, "LAST_ATTEMPTS", (0, 0))
    monkeypatch.setattr(MlflowClient, "set_terminated", once)
    train(store, tmp_path / "run")
    assert [run.info.status for run in runs(store)] == ["FINISHED"]
    assert "maskmill track" not in caplog.text


def test_a_training_that_was_given_up_is_closed_by_the_next_one(store, tmp_path, away):
    away(True)
    with tracker(store, tmp_path / "run") as given_up:
        given_up.log_epochs(EPOCHS[:2])
    away(False)
    train(store, tmp_path / "run", tags={"run_id": "other"})
    status = {run.data.tags["run_id"]: run.info.status for run in runs(store)}
    assert status == {"abc": "KILLED", "other": "FINISHED"}
    assert [folder.name for folder in (tmp_path / "run/tracking").iterdir() if folder.is_dir()] == ["other"]


def test_a_record_that_cannot_be_sent_is_kept_for_later(store, tmp_path, away):
    away(True)
    train(store, tmp_path / "run")
    train(store, tmp_path / "run", tags={"run_id": "other"})
    assert {folder.name for folder in (tmp_path / "run/tracking").iterdir() if folder.is_dir()} == {"abc", "other"}


def test_the_environment_names_the_store(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    tracking = train(DEAD, tmp_path / "run")
    assert logged(store, tracking.mlflow_run) == LOSSES


def test_a_password_is_neither_said_nor_kept(tmp_path, caplog):
    train("http://ann:secret@127.0.0.1:9", tmp_path / "run")
    assert "MLflow at http://127.0.0.1:9 fails" in caplog.text
    assert "secret" not in caplog.text
    assert "secret" not in (tmp_path / "run/tracking/abc/record.json").read_text()
