"""From cached pictures to a trained model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mlflow import MlflowClient

import maskmill.training
from maskmill.dataset import TrainingPatches
from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file
from maskmill.models import foreground_probabilities, load_model
from maskmill.preprocess import Preprocessing
from maskmill.tracking import Tracker, create_store
from maskmill.training import train_model
from tests.unit.training_data import draw_sample, options, outputs, write_data

SPLITS = ["train"] * 5 + ["validation"] * 2 + ["test"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Arguments of train_model for eight pictures of one class."""
    return write_data(tmp_path_factory.mktemp("data"), SPLITS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    create_store(f"sqlite:///{folder}/mlflow.db", folder / "marker")
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def settings_of_torch(monkeypatch):
    """Leave torch as it was."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def train(data, folder, store, chosen=None, **changed):
    arguments = {
        "options": chosen or options(), "experiment": "baseline", "fold": 0, "seed": 0, "code_digest": "code",
    }  # fmt: skip
    train_model(**data, **outputs(folder, store), **(arguments | changed))
    return sha256_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def reference(data, store, tmp_path_factory):
    """Folder of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    train(data, folder, store)
    return folder


def test_outputs_are_those_of_the_contract(reference):
    history = read_table(reference / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    assert list(history[0]) == ["epoch", "loss", "validation_loss", "validation_iou", "lr", "seconds"]
    config = yaml.safe_load((reference / "config.yaml").read_text())
    assert config["classes"] == [{"name": "class 1", "colour": "#e69f00"}]
    assert config["train"]["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert {"model", "loss", "augment", "predict", "fold", "seed", "experiment"} <= set(config)
    Preprocessing.from_dict(config["preprocessing"])
    model, metadata = load_model(reference / "model.safetensors")
    assert metadata == {
        "run_id": config["run_id"], "model": config["model"], "channels": 3, "classes": ["class 1"],
    }  # fmt: skip
    assert (reference / "training.png").stat().st_size > 10_000
    assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 1, 8, 8)


def test_the_weights_are_those_of_the_best_epoch(reference):
    history = read_table(reference / "history.csv")
    best = max(float(row["validation_iou"]) for row in history)
    model, _ = load_model(reference / "model.safetensors")
    preprocessing = Preprocessing.from_dict(yaml.safe_load((reference / "config.yaml").read_text())["preprocessing"])
    intersection = union = 0
    for number, split in enumerate(SPLITS):
        if split == "validation":
            image, labels = draw_sample(number, 64)
            unit = preprocessing.unit(image)
            for top, left in np.ndindex(2, 2):
                window = slice(32 * top, 32 * top + 32), slice(32 * left, 32 * left + 32)
                normalized = preprocessing.normalize(unit[window], preprocessing.moments(unit))
                with torch.no_grad():
                    logits = model(torch.from_numpy(normalized.transpose(2, 0, 1)[None]))
                predicted = foreground_probabilities(logits)[0, 0].numpy() > 0.5
                intersection += (predicted & (labels[window] == 1)).sum()
                union += (predicted | (labels[window] == 1)).sum()
    assert intersection / union == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([(0.5, 0.2), (0.6, 0.9), (0.4, 0.5)], 2),
        ([(0.5, 0.2), (0.4, 0.2), (0.4, 0.2)], 2),
        ([(0.5, None), (0.6, None), (0.7, 0.0)], 1),
    ],
)
def test_the_kept_epoch_has_the_best_iou_and_then_the_lowest_loss(data, store, tmp_path, monkeypatch, scores, kept):
    better_and_better = [(0.3, 0.1), (0.2, 0.2), (0.1, 0.3)]
    weights = []
    for epochs, validations in ((3, iter(scores)), (kept, iter(better_and_better))):
        monkeypatch.setattr(maskmill.training, "_validate", lambda *arguments, given=validations: next(given))
        train(data, tmp_path / str(epochs), store, options(epochs=epochs, schedule="constant"))
        weights.append(load_model(tmp_path / str(epochs) / "model.safetensors")[0].state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_no_draw_is_repeated(data, store, tmp_path, monkeypatch):
    draws = []
    original = TrainingPatches.__getitem__
    monkeypatch.setattr(TrainingPatches, "__getitem__", lambda self, draw: draws.append(draw) or original(self, draw))
    train(data, tmp_path, store)
    assert draws == list(range(3 * 20))  # epochs times the four tiles of five pictures


def test_the_same_training_gives_the_same_bytes(reference, data, store, tmp_path):
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")
    assert sha256_file(tmp_path / "config.yaml") == sha256_file(reference / "config.yaml")


def test_seed_data_and_options_make_another_run(reference, data, store, tmp_path):
    first = yaml.safe_load((reference / "config.yaml").read_text())["run_id"]
    short = options(epochs=1)
    run_ids = {first}
    for number, changed in enumerate([{"seed": 1}, {"code_digest": "other"}, {"experiment": "other"}, {}]):
        train(data, tmp_path / str(number), store, short, **changed)
        run_ids.add(yaml.safe_load((tmp_path / str(number) / "config.yaml").read_text())["run_id"])
    assert len(run_ids) == 5


@pytest.mark.parametrize("where", ["before the first state", "mid-epoch", "after an epoch", "before the outputs"])
def test_an_interrupted_training_goes_on_to_the_same_bytes(reference, data, store, tmp_path, monkeypatch, where):
    class Killed(BaseException):
        pass

    calls = []

    def kill_at(count, owner, name):
        original = getattr(owner, name)

        def killing(*arguments, **named):
            calls.append(name)
            if len(calls) == count:
                raise Killed
            return original(*arguments, **named)

        return lambda patched: patched.setattr(owner, name, killing)

    arrange = {
        "before the first state": kill_at(1, maskmill.training.StateFolder, "save"),
        "mid-epoch": kill_at(8, maskmill.training, "learning_rate"),
        "after an epoch": kill_at(2, Tracker, "log_epochs"),
        "before the outputs": kill_at(1, maskmill.training, "save_model"),
    }[where]
    with monkeypatch.context() as patched:
        arrange(patched)
        with pytest.raises(Killed):
            train(data, tmp_path, store)
    assert not (tmp_path / "model.safetensors").exists()
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")


def test_another_option_starts_afresh_and_says_so(data, store, tmp_path, caplog):
    train(data, tmp_path, store, options(epochs=1))
    digest = train(data, tmp_path, store, options(epochs=1, lr=1e-3))
    assert "belongs to other options" in caplog.text
    assert digest == train(data, tmp_path / "fresh", store, options(epochs=1, lr=1e-3))


def test_prediction_options_and_workers_change_no_weight(data, store, tmp_path, caplog):
    chosen = options(epochs=1)
    digest = train(data, tmp_path, store, chosen)
    chosen["predict"]["tile"] = 128
    caplog.set_level("INFO")
    assert train(data, tmp_path, store, chosen, workers=3) == digest
    assert "were trained before" in caplog.text
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["predict"]["tile"] == 128


def test_a_resumed_training_keeps_the_recorded_threads_and_precision(data, store, tmp_path, monkeypatch):
    chosen = options(epochs=1, threads="auto", precision="auto")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {})
    train(data, tmp_path, store, chosen)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)), raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    train(data, tmp_path, store, chosen)
    recorded = yaml.safe_load((tmp_path / "config.yaml").read_text())["train"]
    if not torch.cuda.is_available():
        assert (recorded["threads"], recorded["precision"]) == (1, "32")


def test_several_classes_and_grey_pictures(store, tmp_path):
    data = write_data(tmp_path / "data", SPLITS, classes=2, channels=1)
    chosen = options(epochs=1)
    chosen["loss"]["ohem"] = 0.5
    train(data, tmp_path / "run", store, chosen)
    model, metadata = load_model(tmp_path / "run/model.safetensors")
    assert metadata["classes"] == ["class 1", "class 2"]
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 3, 8, 8)


def test_a_patch_that_the_network_cannot_take_is_refused(data, store, tmp_path):
    with pytest.raises(MaskmillError, match=r"both sides must be multiples of 4.*train.patch"):
        train(data, tmp_path, store, options(patch=30))


def test_a_loss_that_explodes_is_reported(data, store, tmp_path):
    with pytest.raises(MaskmillError, match=r"training loss became .* in epoch \d; lower train.lr"):
        train(data, tmp_path, store, options(lr=1e30, optimizer="sgd"))


@pytest.mark.slow
def test_it_learns(tmp_path, store):
    data = write_data(tmp_path / "data", ["train"] * 8 + ["validation"] * 4, size=128)
    train(data, tmp_path / "run", store, options(epochs=15, patch=64, batch_size=8))
    assert max(float(row["validation_iou"]) for row in read_table(tmp_path / "run/history.csv")) > 0.9


@pytest.mark.slow
def test_bf16_learns_and_repeats_itself(data, tmp_path, store):
    chosen = options(epochs=2, precision="bf16", threads=2)
    assert train(data, tmp_path / "a", store, chosen) == train(data, tmp_path / "b", store, chosen)


SCRIPT = """
import json, sys
from maskmill.logs import configure_logging
from maskmill.training import train_model
if __name__ == "__main__":
    configure_logging()
    train_model(**json.loads(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_killed_by_force_goes_on_to_the_same_bytes(reference, data, store, tmp_path, workers):
    given = {
        "options": options(),
        "workers": workers,
        "experiment": "baseline",
        "fold": 0,
        "seed": 0,
        "code_digest": "code",
    }
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "train.py", json.dumps(data | outputs(tmp_path, store) | given)]
    environment = os.environ | {"PYTHONPATH": str(Path(maskmill.__file__).parents[1])}
    for message in ("run ", "epoch 1 of 3", "epoch 2 of 3"):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if message in line:
                    process.kill()
                    break
        assert process.returncode == -signal.SIGKILL, "".join(lines)
        assert not (tmp_path / "model.safetensors").exists()
    mlflow_run = torch.load(tmp_path / "state/state.pt", weights_only=True)["state"]["mlflow_run"]
    assert train(data, tmp_path, store) == sha256_file(reference / "model.safetensors")
    client = MlflowClient(f"sqlite:///{store}")
    assert client.get_run(mlflow_run).info.status == "FINISHED"
    assert sorted(entry.step for entry in client.get_metric_history(mlflow_run, "loss")) == [1, 2, 3]
