"""A training of three epochs to report, and what arrived of it."""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskmill.tracking import Tracker

EPOCHS = [
    {"epoch": number, "loss": 1 / number, "validation_loss": 2 / number, "validation_iou": iou, "lr": 0.1, "seconds": 3}
    for number, iou in [(1, None), (2, 0.75), (3, 0.5)]
]
LOSSES = [(1, 1), (2, 0.5), (3, 1 / 3)]
DEAD = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


def tracker(uri: str, run: Path, mlflow_run: str | None = None, first_epoch: int = 1, **changed: Any) -> Tracker:
    """A tracker of a training whose outputs are in the folder `run`."""
    tags = {"run_id": "abc", "data_digest": "0123456789abcdef"}
    return Tracker(
        **{
            "uri": uri,
            "experiment": "roofs",
            "name": "baseline/fold0-seed0",
            "mlflow_run": mlflow_run,
            "tags": tags | changed.pop("tags", {}),
            "params": {"seed": 0, "model": {"width": 8}},
            "tensorboard": run / "tensorboard",
            "first_epoch": first_epoch,
            "source": "results/roofs/splits.csv",
            "samples": {"train": 5, "validation": 2},
            **changed,
        }
    )


def write_outputs(run: Path) -> list[Path]:
    """The files of a finished training."""
    run.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "config.yaml"):
        (run / name).write_text(name)
    return [run / "model.safetensors", run / "config.yaml"]


def picture(value: int = 200) -> np.ndarray:
    """A picture as `draw_patches` draws them, uint8 (8, 24, 3)."""
    return np.full((8, 24, 3), value, np.uint8)


def train(uri: str, run: Path, **changed: Any) -> Tracker:
    """Report a whole training; returns its tracker, closed."""
    with tracker(uri, run, **changed) as tracking:
        for number in (1, 2, 3):
            tracking.log_epochs(EPOCHS[:number])
            tracking.log_pictures(picture(number), number)
        tracking.finish(EPOCHS, write_outputs(run))
    return tracking


def runs(uri: str, experiment: str = "roofs") -> list[Any]:
    """All MLflow runs of an experiment that were not deleted."""
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def logged(uri: str, mlflow_run: str, metric: str = "loss") -> list[tuple[int, float]]:
    """Every value of a metric that MLflow has, with its step."""
    return sorted((entry.step, entry.value) for entry in MlflowClient(uri).get_metric_history(mlflow_run, metric))


def artifacts(uri: str, mlflow_run: str, folder: str | None = None) -> list[str]:
    """Names of the files and folders in a folder of an MLflow run."""
    return [file.path for file in MlflowClient(uri).list_artifacts(mlflow_run, folder)]


def accumulated(run: Path) -> EventAccumulator:
    """TensorBoard's own view of the events."""
    events = EventAccumulator(str(run / "tensorboard"))
    return events.Reload()


def scalars(run: Path, name: str = "loss") -> list[tuple[int, float]]:
    """A curve as TensorBoard shows it."""
    return [(event.step, round(event.value, 4)) for event in accumulated(run).Scalars(name)]
