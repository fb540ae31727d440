"""Train one member, a fold and a seed of an experiment: from cached pictures to the files of a run."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from maskmill.data.cache import check_cache
from maskmill.figures import plot_history
from maskmill.files import atomic_path, sha256_json, write_table
from maskmill.models import save_model
from maskmill.planning.plan import resolve_options
from maskmill.tracking import Tracker
from maskmill.training.compute import describe_compute, find_device, resolve_compute
from maskmill.training.failures import explain_failures, warn_of_shortage
from maskmill.training.job import Job, read_job
from maskmill.training.loop import Desk, fit
from maskmill.training.progress import HISTORY_COLUMNS, Progress
from maskmill.training.state import StateFolder
from maskmill.training.team import gather_team
from maskmill.training.thin_volumes import has_thin_volumes

logger = logging.getLogger(__name__)


def train_model(
    cache: Sequence[str | os.PathLike],
    splits: str | os.PathLike,
    fingerprint: str | os.PathLike,
    plan: str | os.PathLike,
    classes: Sequence[str] | Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
    experiment: str,
    fold: int,
    seed: int,
    code_digest: str,
    model: str | os.PathLike,
    config: str | os.PathLike,
    history: str | os.PathLike,
    figure: str | os.PathLike,
    state: str | os.PathLike,
    tensorboard: str | os.PathLike,
    tracking: Mapping[str, str],
    workers: int = 0,
) -> None:
    """Train on a fold's training pictures, validate on its validation pictures, and write the four outputs at the end.

    cache: the shards' cache folders; plan: the plan of the fold, which decides what the options leave "auto".
    options: the sections model, loss, augment, train and, not for training, others of the config.
    code_digest: of all code that the weights follow from. model, config, history, figure: the outputs.
    state: folder where a killed training is taken up again; a second process waits there for the first.
    tensorboard: folder for events. tracking: {"uri": MLflow store, "experiment": name of the experiment there}.
    workers: processes that read and augment patches; they change no number.
    """
    arguments = {
        "cache": [os.fspath(folder) for folder in cache],
        "splits": os.fspath(splits),
        "fingerprint": os.fspath(fingerprint),
        "classes": classes,
        "options": resolve_options(options, plan),
        "experiment": experiment,
        "fold": fold,
        "seed": seed,
        "workers": workers,
    }
    job = read_job(**arguments)
    check_cache([*job.training, *job.validation])
    device, data_digest = find_device(), job.data_digest()
    digest = sha256_json([job.decisive_options({"device": device}), data_digest, code_digest])
    with StateFolder(state, digest) as states:
        saved = states.load()
        compute = saved["compute"] if saved else resolve_compute(job.train, device, has_thin_volumes(job))
        decisive = job.decisive_options(compute)
        run_id = sha256_json([experiment, decisive, data_digest, code_digest])[:12]
        with Tracker(
            uri=tracking["uri"],
            experiment=tracking["experiment"],
            name=f"{experiment}/fold{fold}-seed{seed}",
            mlflow_run=saved["mlflow_run"] if saved else None,
            tags={
                "run_id": run_id,
                "experiment": experiment,
                "fold": str(fold),
                "seed": str(seed),
                "data_digest": data_digest,
                "code_digest": code_digest,
                **describe_compute(compute),
            },
            params=decisive,
            tensorboard=tensorboard,
            first_epoch=len(saved["progress"]["history"]) + 1 if saved else 1,
            source=os.fspath(splits),
            samples={"train": len(job.training), "validation": len(job.validation)},
        ) as tracker:
            logger.info("run %s: %s, fold %d, seed %d, on %s", run_id, experiment, fold, seed, compute)
            progress = _train(job, arguments, saved, Desk(states, tracker, compute))
            _write_model(model, job, run_id, progress.best["weights"])
            _write_config(config, job, run_id, compute)
            write_table(history, progress.history, HISTORY_COLUMNS)
            plot_history(progress.history, progress.best["epoch"], figure)
            tracker.finish(progress.history, [model, config, history, figure])
        states.save({"progress": progress.as_dict(), "compute": compute, "mlflow_run": tracker.mlflow_run})
        states.forget_others()
    _say_where(progress, model, history, figure, tensorboard)


def _train(job: Job, arguments: Mapping[str, Any], saved: dict[str, Any] | None, desk: Desk) -> Progress:
    if saved and Progress(**saved["progress"]).is_over(job.train):
        progress = Progress(**saved["progress"])
        logger.info("all %d epochs were trained before", len(progress.history))
        return progress
    warn_of_shortage(job, desk.compute["device"])
    with explain_failures(job, desk.compute["device"]), gather_team(arguments, desk.compute) as fabric:
        return fit(job, fabric, fabric.broadcast(saved), desk)


def _write_model(path: str | os.PathLike, job: Job, run_id: str, weights: Mapping[str, Tensor]) -> None:
    with torch.device("meta"):
        network = job.build_network()
    network.load_state_dict(weights, assign=True)
    metadata = {
        "run_id": run_id,
        "model": dict(job.options["model"]),
        "channels": job.preprocessing.channels,
        "classes": list(job.classes.names),
    }
    save_model(path, network, metadata)


def _write_config(path: str | os.PathLike, job: Job, run_id: str, compute: Mapping[str, Any]) -> None:
    """Write all that made the model, with nothing left "auto", as YAML."""
    described = {
        "run_id": run_id,
        "experiment": job.experiment,
        "fold": job.fold,
        "seed": job.seed,
        "classes": job.classes.as_list(),
        "preprocessing": job.preprocessing.as_dict(),
        **{name: dict(section) for name, section in job.options.items()},
        "train": {**job.train, **compute},
    }
    with atomic_path(path) as aside:
        aside.write_text(yaml.safe_dump(described, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _say_where(progress: Progress, *places: str | os.PathLike) -> None:
    iou = progress.best["iou"]
    model, history, figure, events = (Path(place).resolve() for place in places)
    logger.info(
        "done: %d epochs, the best is epoch %d with validation IoU %s\n"
        "  weights     %s\n  curves      %s\n  history     %s\n  TensorBoard tensorboard --logdir %s",
        len(progress.history), progress.best["epoch"], "undefined" if iou is None else f"{iou:.4f}",
        model, figure, history, events,
    )  # fmt: skip
