"""From cached pictures to a trained model."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import maskmill.training.loop
import maskmill.training.member
from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file
from maskmill.inference.preprocess import Preprocessing
from maskmill.models import foreground_probabilities, load_model
from maskmill.training.validation import Validation
from tests.unit.training.runs import SPLITS, train
from tests.unit.training_data import draw_sample, options, write_data


def test_outputs_are_those_of_the_contract(reference):
    history = read_table(reference / "history.csv")
    assert [row["epoch"] for row in history] == ["1", "2", "3"]
    assert list(history[0]) == [
        "epoch", "loss", "validation_loss", "validation_iou", "lr", "seconds", "patches_per_second", "waiting",
        "peak_memory_mb",
    ]  # fmt: skip
    assert all(0 < float(row["waiting"]) < 1 for row in history)
    peaks = [float(row["peak_memory_mb"]) for row in history]
    assert peaks == sorted(peaks)
    assert peaks[0] > 1
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


def validation_iou(folder):
    """IoU of a run's model over the validation pictures, pixels pooled."""
    model, _ = load_model(folder / "model.safetensors")
    preprocessing = Preprocessing.from_dict(yaml.safe_load((folder / "config.yaml").read_text())["preprocessing"])
    intersection = union = 0
    for number, split in enumerate(SPLITS):
        if split == "validation":
            image, labels = draw_sample(number, 64)
            content, _ = preprocessing.prepare(image[np.newaxis])
            for top, left in np.ndindex(2, 2):
                window = slice(32 * top, 32 * top + 32), slice(32 * left, 32 * left + 32)
                with torch.no_grad():
                    logits = model(torch.from_numpy(content[0][window].transpose(2, 0, 1)[None]))
                predicted = foreground_probabilities(logits)[0, 0].numpy() > 0.5
                intersection += (predicted & (labels[window] == 1)).sum()
                union += (predicted | (labels[window] == 1)).sum()
    return intersection / union


def test_the_weights_are_those_of_the_best_epoch(reference):
    best = max(float(row["validation_iou"]) for row in read_table(reference / "history.csv"))
    assert validation_iou(reference) == pytest.approx(best, abs=1e-4)


def test_the_averaged_weights_are_validated_and_kept(reference, data, store, tmp_path):
    assert train(data, tmp_path, store, options(ema=0.9)) != sha256_file(reference / "model.safetensors")
    history = read_table(tmp_path / "history.csv")
    assert [row["loss"] for row in history] == [row["loss"] for row in read_table(reference / "history.csv")]
    best = max(float(row["validation_iou"]) for row in history)
    assert validation_iou(tmp_path) == pytest.approx(best, abs=1e-4)


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
        monkeypatch.setattr(
            maskmill.training.loop, "validate", lambda *arguments, given=validations: Validation(*next(given))
        )
        train(data, tmp_path / str(epochs), store, options(epochs=epochs, schedule="constant"))
        weights.append(load_model(tmp_path / str(epochs) / "model.safetensors")[0].state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


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


def test_a_loss_that_explodes_is_reported(data, store, tmp_path):
    said = r'training loss became .* in epoch \d; lower train.lr, or set train.precision to "32"'
    with pytest.raises(MaskmillError, match=said):
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


def test_training_ends_early_without_progress(data, store, tmp_path, monkeypatch, caplog):
    ious = iter([0.5, 0.6, 0.4, 0.6, 0.7, 0.8])
    monkeypatch.setattr(maskmill.training.loop, "validate", lambda *arguments: Validation(1.0, next(ious)))
    caplog.set_level("INFO")
    train(data, tmp_path, store, options(epochs=6, patience=2))
    assert [row["epoch"] for row in read_table(tmp_path / "history.csv")] == ["1", "2", "3", "4"]
    assert "done: 4 epochs, the best is epoch 2 with validation IoU 0.6000" in caplog.text


def test_the_last_words_say_where_everything_is(reference, data, store, tmp_path, caplog):
    caplog.set_level("INFO")
    train(data, tmp_path, store, options(epochs=1))
    words = caplog.messages[-1]
    assert words.startswith("done: 1 epochs, the best is epoch 1")
    assert all(str(tmp_path / name) in words for name in ("model.safetensors", "training.png", "history.csv"))


def test_what_the_options_leave_open_is_taken_from_the_plan(data, store, tmp_path):
    chosen = options(epochs=1, patch="auto", batch_size="auto", foreground="auto")
    chosen["model"]["depth"] = "auto"
    chosen["loss"]["class_weights"] = "auto"
    train(data, tmp_path, store, chosen)
    plan = yaml.safe_load((tmp_path / "plan.yaml").read_text())["options"]
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    for key in ("train.patch", "train.batch_size", "train.foreground", "model.depth", "loss.class_weights"):
        section, name = key.split(".")
        assert plan[key]["used"] == config[section][name] != "auto"


@pytest.mark.parametrize(("dimensions", "patch"), [(3, [8, 16, 16]), (2, [16, 16])])
def test_volumes_are_trained_on_whole_or_slice_by_slice(store, tmp_path, dimensions, patch):
    data = write_data(tmp_path / "data", SPLITS, size=32, classes=2, volumes=True)
    chosen = options(epochs=1, patch=patch, patches_per_epoch=8)
    chosen["model"] |= {"dimensions": dimensions, "norm": "instance"}
    digests = {train(data, tmp_path / str(workers), store, chosen, workers=workers) for workers in (0, 2)}
    assert len(digests) == 1
    model, _ = load_model(tmp_path / "0/model.safetensors")
    assert model(torch.zeros(1, 1, *[16] * dimensions)).shape == (1, 3, *[16] * dimensions)
    assert yaml.safe_load((tmp_path / "0/config.yaml").read_text())["train"]["patch"] == [
        *([1] * (3 - len(patch))),
        *patch,
    ]


def test_determinism_can_be_switched_off(data, store, tmp_path):
    train(data, tmp_path, store, options(epochs=1, deterministic=False))
    assert not torch.are_deterministic_algorithms_enabled()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["train"]["deterministic"] is False


def test_nothing_is_trained_on_pictures_that_the_disk_lost(store, tmp_path):
    given = write_data(tmp_path / "data", SPLITS)
    file = Path(given["cache"][0], "site 0/é0.image.npy")
    file.write_bytes(file.read_bytes()[:128].ljust(file.stat().st_size, b"\0"))
    with pytest.raises(MaskmillError, match=r"é0\.image\.npy first, cannot be used"):
        train(given, tmp_path, store)
