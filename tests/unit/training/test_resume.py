"""Trainings that are killed and go on."""

import random
import signal
import time
from contextlib import contextmanager, suppress

import pytest
import torch
from mlflow import MlflowClient

import maskmill.training.loop
import maskmill.training.member
import maskmill.training.state
from maskmill.data.dataset import TrainingPatches
from maskmill.files import read_table, sha256_file
from maskmill.tracking import Tracker
from maskmill.training.learner import Learner
from maskmill.training.state import StateFolder
from tests.unit.training.runs import arguments, start, train
from tests.unit.training_data import options


class Killed(BaseException):
    """Ends a training at once, whatever it is doing."""


def kill_at(monkeypatch, owner, name, count):
    """Let the call number `count` of a function end the process; it does not take place."""
    original, calls = getattr(owner, name), []

    def killing(*arguments, **named):
        calls.append(name)
        if len(calls) == count:
            raise Killed
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, killing)


@contextmanager
def killed_at(monkeypatch, owner, name, count):
    """As `kill_at`, for what is done within, which must end there."""
    with monkeypatch.context() as patched, suppress(Killed):
        kill_at(patched, owner, name, count)
        yield
        pytest.fail(f"{name} was not called {count} times")


@pytest.fixture
def always_saved(monkeypatch):
    """Save the state after every step."""
    monkeypatch.setattr(maskmill.training.state, "SECONDS_BETWEEN_SAVES", -1)


PLACES = {
    "before the first state": (StateFolder, "save", 1),
    "in the first epoch": (Learner, "step", 3),
    "in the last epoch": (Learner, "learn", 14),
    "before validation": (maskmill.training.loop, "validate", 2),
    "after an epoch": (Tracker, "log_epochs", 2),
    "before the outputs": (maskmill.training.member, "save_model", 1),
    "before the last output": (maskmill.training.member, "plot_history", 1),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_interrupted_training_goes_on_to_the_same_bytes(reference, data, store, tmp_path, monkeypatch, place):
    with killed_at(monkeypatch, *PLACES[place]):
        train(data, tmp_path, store)
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")
    assert [row["loss"] for row in read_table(tmp_path / "history.csv")] == [
        row["loss"] for row in read_table(reference / "history.csv")
    ]


@pytest.mark.parametrize(
    "chosen",
    [
        {"ema": 0.9, "accumulate": 3, "clip": 0.5, "optimizer": "radam", "schedule": "poly"},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "sgd", "lr": 0.01, "patience": 1, "precision": "bf16"}, marks=pytest.mark.slow),
    ],
)
def test_a_training_killed_over_and_over_goes_on_to_the_same_bytes(
    data, store, tmp_path, monkeypatch, always_saved, chosen
):
    expected = train(data, tmp_path / "undisturbed", store, options(**chosen))
    kills = 0
    for count in (1, 2, 1, 3, 2, 1):
        with monkeypatch.context() as patched, suppress(Killed):
            kill_at(patched, Learner, "step", count + 1)
            train(data, tmp_path / "killed", store, options(**chosen))
        kills += not (tmp_path / "killed/model.safetensors").exists()
    assert kills >= 3
    assert train(data, tmp_path / "killed", store, options(**chosen)) == expected


def test_what_was_trained_within_an_epoch_is_not_trained_again(data, store, tmp_path, monkeypatch, always_saved):
    draws = []
    original = TrainingPatches.__getitem__
    monkeypatch.setattr(TrainingPatches, "__getitem__", lambda self, draw: draws.append(draw) or original(self, draw))
    with killed_at(monkeypatch, Learner, "step", 8):  # the third of the second epoch, its batch of four drawn
        train(data, tmp_path, store)
    assert draws == list(range(32))
    train(data, tmp_path, store)
    assert draws == [*range(32), *range(28, 60)]  # three epochs of the four tiles of five pictures


def test_a_training_killed_in_validation_after_its_state_was_saved_goes_on(
    reference, data, store, tmp_path, monkeypatch, always_saved
):
    with killed_at(monkeypatch, maskmill.training.loop, "validate", 2):
        train(data, tmp_path, store)
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")


@pytest.mark.parametrize("damaged", ["state.pt", "both"])
def test_a_training_goes_on_from_damaged_states(reference, data, store, tmp_path, monkeypatch, caplog, damaged):
    with killed_at(monkeypatch, Tracker, "log_epochs", 2):
        train(data, tmp_path, store)
    for name in ("state.pt", "previous.pt") if damaged == "both" else ("state.pt",):
        path = tmp_path / "state" / name
        path.write_bytes(path.read_bytes()[:1000])
    caplog.set_level("INFO")
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")
    assert "state.pt cannot be read" in caplog.text
    assert ("going on after 1 epochs" in caplog.text) == (damaged != "both")


def test_a_finished_training_is_not_trained_again(reference, data, store, tmp_path, monkeypatch):
    train(data, tmp_path, store)
    kill_at(monkeypatch, Learner, "learn", 1)
    for name in ("model.safetensors", "history.csv", "config.yaml", "training.png"):
        (tmp_path / name).unlink()
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["lock", "state.pt"]


SLOW_AND_OFTEN = """
import io, os, random, time
import torch
import maskmill.training.state as state
state.SECONDS_BETWEEN_SAVES = -1
save = torch.save

def write_slowly(content, file):
    whole = io.BytesIO()
    save(content, whole)
    print("saving", file=sys.stderr, flush=True)
    parts = 4
    for part in range(parts):
        size = len(whole.getvalue()) // parts + 1
        file.write(whole.getvalue()[part * size : (part + 1) * size])
        file.flush()
        time.sleep(0.01)

torch.save = write_slowly
"""


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "seed"), [(0, 1), (0, 2), (2, 3)])
def test_a_training_killed_by_force_goes_on_to_the_same_bytes(reference, data, store, tmp_path, workers, seed):
    chance = random.Random(seed)
    given = arguments(data, tmp_path, store, workers=workers)
    for words, times in [("run ", 1), *(("saving", chance.randrange(1, 5)) for _ in range(4))]:  # of 19 states
        lines = kill_after(start(tmp_path / "train.py", given, SLOW_AND_OFTEN), words, times, chance.uniform(0, 0.06))
        assert not (tmp_path / "model.safetensors").exists(), "".join(lines)
    mlflow_run = torch.load(tmp_path / "state/state.pt", weights_only=True)["state"]["mlflow_run"]
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")
    client = MlflowClient(f"sqlite:///{store}")
    assert client.get_run(mlflow_run).info.status == "FINISHED"
    assert sorted(entry.step for entry in client.get_metric_history(mlflow_run, "loss")) == [1, 2, 3]


def kill_after(process, words, times, delay):
    """Kill a training `delay` seconds after it said `words` so many times; returns what it said."""
    lines = []
    with process:
        for line in process.stderr:
            lines.append(line)
            times -= words in line
            if not times:
                break
        time.sleep(delay)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "".join(lines)
    return lines
