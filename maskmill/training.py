"""Train one model: from cached pictures to weights, in a loop that, killed anywhere, goes on to the same weights.

The weights kept are those of the epoch with the best validation IoU (the lower validation loss among equals). On one
kind of machine, the same options, data, code and number of threads give the same weights, bit for bit.
"""

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from maskmill.augment import Augmentation
from maskmill.cache import CachedSample, read_split
from maskmill.classes import IGNORE, Classes
from maskmill.compute import describe_compute, find_device, resolve_compute, start_compute
from maskmill.dataset import EpochSampler, TrainingPatches, ValidationPatches, build_loader
from maskmill.errors import MaskmillError
from maskmill.figures import draw_patches, plot_history
from maskmill.files import atomic_path, read_json, sha256_json, write_table
from maskmill.losses import SegmentationLoss
from maskmill.models import build_model, foreground_probabilities, output_channels, save_model
from maskmill.optimization import build_optimizer, learning_rate
from maskmill.preprocess import Preprocessing
from maskmill.state import StateFolder
from maskmill.tracking import Tracker

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = ("epoch", "loss", "validation_loss", "validation_iou", "lr", "seconds")
SHOWN_PATCHES = 4


@dataclass(frozen=True)
class Job:
    """What is to be trained on what."""

    experiment: str
    fold: int
    seed: int
    classes: Classes
    preprocessing: Preprocessing
    training: list[CachedSample]
    validation: list[CachedSample]
    options: Mapping[str, Mapping[str, Any]]
    workers: int

    def data_digest(self) -> str:
        """Digest of all pictures, labels and numbers from the data set that training and validation see."""
        splits = {"train": self.training, "validation": self.validation}
        digests = {
            split: [(sample.id, sample.sha256_image, sample.sha256_labels) for sample in samples]
            for split, samples in splits.items()
        }
        return sha256_json([digests, self.preprocessing.as_dict(), self.classes.names])

    def decisive_options(self, compute: Mapping[str, Any]) -> dict[str, Any]:
        """The options that the weights follow from, with `compute` in them; prediction changes no weight."""
        sections = {name: dict(self.options[name]) for name in ("model", "loss", "augment", "train")}
        sections["train"] |= compute
        return {"fold": self.fold, "seed": self.seed, **sections}

    def build_network(self) -> nn.Module:
        """A network with initial weights drawn from torch's random numbers."""
        return build_model(self.options["model"], self.preprocessing.channels, output_channels(len(self.classes)))


def train_model(
    cache: Sequence[str | os.PathLike],
    splits: str | os.PathLike,
    fingerprint: str | os.PathLike,
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

    cache: the shards' cache folders; options: the sections model, loss, augment, train and predict of the config.
    code_digest: of all code that the weights follow from. model, config, history, figure: the outputs.
    state: folder where a killed training is taken up again; a second process waits there for the first.
    tensorboard: folder for events. tracking: {"uri": MLflow store, "experiment": name of the experiment there}.
    workers: processes that read and augment patches; they change no number.
    """
    job = Job(
        experiment=experiment,
        fold=fold,
        seed=seed,
        classes=Classes.from_config(classes),
        preprocessing=Preprocessing.from_dict(read_json(fingerprint)["folds"][fold]["preprocessing"]),
        training=read_split(cache, splits, fold, "train"),
        validation=read_split(cache, splits, fold, "validation"),
        options=options,
        workers=workers,
    )
    device, data_digest = find_device(), job.data_digest()
    with StateFolder(
        state, sha256_json([job.decisive_options({"device": device}), data_digest, code_digest])
    ) as states:
        saved = states.load()
        compute = saved["compute"] if saved else resolve_compute(options["train"], device)
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
            first_epoch=saved["epoch"] + 1 if saved else 1,
        ) as tracker:
            logger.info("run %s: %s, fold %d, seed %d, on %s", run_id, experiment, fold, seed, compute)
            finished = _fit(job, compute, saved, states, tracker)
            _write_model(model, job, run_id, finished["best"]["weights"])
            _write_config(config, job, run_id, compute)
            write_table(history, finished["history"], HISTORY_COLUMNS)
            plot_history(finished["history"], finished["best"]["epoch"], figure)
            tracker.finish(finished["history"], [model, config, history, figure])
        states.save(finished | {"network": None, "optimizer": None, "scaler": None, "random": None})
        states.forget_previous()


def _write_model(path: str | os.PathLike, job: Job, run_id: str, weights: Mapping[str, Tensor]) -> None:
    network = job.build_network()
    network.load_state_dict(weights)
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
        "train": {**job.options["train"], **compute},
    }
    with atomic_path(path) as aside:
        aside.write_text(yaml.safe_dump(described, allow_unicode=True, sort_keys=False), encoding="utf-8")


def _fit(
    job: Job, compute: Mapping[str, Any], saved: dict[str, Any] | None, states: StateFolder, tracker: Tracker
) -> dict[str, Any]:
    """Train from the beginning or from the `saved` state on; returns the last state."""
    train = job.options["train"]
    epochs = train["epochs"]
    if saved and saved["epoch"] == epochs:
        logger.info("all %d epochs were trained before", epochs)
        return saved

    fabric = start_compute(compute)
    torch.manual_seed(job.seed)
    network = job.build_network().to(memory_format=torch.channels_last)
    network, optimizer = fabric.setup(network, build_optimizer(network, train))
    loss_function = SegmentationLoss(**job.options["loss"])
    patches = _training_patches(job)
    validation_patches = ValidationPatches(job.validation, job.preprocessing, size=train["patch"])
    sampler = EpochSampler(len(patches))
    loader = build_loader(patches, sampler, train["batch_size"], job.workers)
    validation_loader = build_loader(validation_patches, None, train["batch_size"], job.workers)
    shown = _shown_patches(validation_patches)
    steps = len(loader)

    def current_state(epoch: int, history: list[dict[str, Any]], best: dict[str, Any] | None) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "history": history,
            "best": best,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scaler": fabric.strategy.precision.state_dict(),
            "random": _random_state(),
            "compute": dict(compute),
            "mlflow_run": tracker.mlflow_run,
        }

    if saved:
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        fabric.strategy.precision.load_state_dict(saved["scaler"])
        _set_random_state(saved["random"])
        history, best = saved["history"], saved["best"]
        logger.info("going on after epoch %d of %d", saved["epoch"], epochs)
    else:
        history, best = [], None
        states.save(current_state(0, history, best))

    for epoch in range(len(history) + 1, epochs + 1):
        started = time.perf_counter()
        sampler.epoch = epoch - 1
        network.train()
        losses = []
        for step, (images, labels) in enumerate(_to_device(fabric, loader), steps * (epoch - 1)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps, train)
            loss = loss_function(network(images), labels)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
        mean_loss = _finite(torch.stack(losses).mean().item(), epoch)
        trained = time.perf_counter()
        validation_loss, iou = _validate(fabric, network, loss_function, validation_loader)
        seconds = time.perf_counter() - started
        history.append(
            {
                "epoch": epoch,
                "loss": mean_loss,
                "validation_loss": validation_loss,
                "validation_iou": iou,
                "lr": optimizer.param_groups[0]["lr"],
                "seconds": round(seconds, 3),
            }
        )
        score = [iou or 0.0, -validation_loss]
        improved = best is None or score > best["score"]
        if improved:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
            best = {"epoch": epoch, "score": score, "weights": weights}
        states.save(current_state(epoch, history, best))
        tracker.log_epochs(history)
        if improved:
            tracker.log_pictures(_draw_shown(fabric, network, shown, job.classes), epoch)
        logger.info(
            "epoch %d of %d: loss %.4f, validation: loss %.4f, IoU %s (best: epoch %d), %.1f patches/s, %s left",
            epoch, epochs, mean_loss, validation_loss, "undefined" if iou is None else f"{iou:.4f}", best["epoch"],
            len(sampler) / (trained - started), _duration(seconds * (epochs - epoch)),
        )  # fmt: skip
    return current_state(epochs, history, best)


def _training_patches(job: Job) -> TrainingPatches:
    train = job.options["train"]
    return TrainingPatches(
        job.training,
        job.preprocessing,
        size=train["patch"],
        per_epoch=train["patches_per_epoch"],
        foreground=train["foreground"],
        augmentation=Augmentation(**job.options["augment"]),
        seed=job.seed,
    )


def _to_device(fabric: Fabric, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches on the training device, channels last; with a bar on a terminal."""
    for images, labels in tqdm(loader, leave=False, disable=not sys.stderr.isatty()):
        images, labels = fabric.to_device((images, labels))
        yield images.contiguous(memory_format=torch.channels_last), labels


@torch.no_grad()
def _validate(
    fabric: Fabric, network: nn.Module, loss_function: nn.Module, loader: DataLoader
) -> tuple[float, float | None]:
    """Mean loss of the batches, and IoU at threshold 0.5 from pixels pooled over all pictures, averaged over classes.

    Classes that neither prediction nor reference show are left out; None where that are all.
    """
    network.eval()
    losses, intersection, union = [], 0, 0
    for images, labels in _to_device(fabric, loader):
        logits = network(images)
        losses.append(loss_function(logits, labels))
        probabilities = foreground_probabilities(logits)
        values = torch.arange(1, probabilities.shape[1] + 1, device=labels.device).view(1, -1, 1, 1)
        predicted, reference = probabilities > 0.5, labels.unsqueeze(1) == values
        valid = (labels != IGNORE).unsqueeze(1)
        intersection = intersection + (predicted & reference).sum(dim=(0, 2, 3))
        union = union + ((predicted & valid) | reference).sum(dim=(0, 2, 3))
    present = union > 0
    iou = (intersection[present] / union[present]).mean().item() if present.any() else None
    return torch.stack(losses).mean().item(), iou


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise MaskmillError(
            f"the training loss became {loss} in epoch {epoch}; lower train.lr, or set train.precision to 32"
        )
    return loss


def _random_state() -> dict[str, Any]:
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None}


def _set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])


def _shown_patches(validation: ValidationPatches) -> tuple[Tensor, Tensor]:
    """A few validation patches, evenly spread: normalised images (N, C, H, W) and labels (N, H, W)."""
    count = min(SHOWN_PATCHES, len(validation))
    images, labels = zip(*(validation[i * len(validation) // count] for i in range(count)), strict=True)
    return torch.stack(images), torch.stack(labels)


@torch.no_grad()
def _draw_shown(fabric: Fabric, network: nn.Module, shown: tuple[Tensor, Tensor], classes: Classes) -> Any:
    network.eval()
    images, labels = shown
    probabilities = foreground_probabilities(network(fabric.to_device(images))).cpu()
    return draw_patches(images.numpy(), labels.numpy(), probabilities.numpy(), classes)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
