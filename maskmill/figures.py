"""Figures: PNG files with axes, units and a legend, in colours that colour-blind readers can tell apart."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from maskmill.classes import Classes
from maskmill.files import atomic_path

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG; equal figures give equal bytes."""
    with atomic_path(path) as aside:
        figure.savefig(aside, format="png", dpi=120, metadata={"Software": None})


def plot_history(history: Sequence[Mapping[str, Any]], best_epoch: int, path: str | os.PathLike) -> None:
    """Draw the losses and the validation IoU of a training over its epochs, the epoch whose weights are kept marked.

    history: one mapping an epoch with `epoch`, `loss`, `validation_loss` and `validation_iou` (None where undefined).
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(7, 6), layout="constrained")
    losses, overlap = figure.subplots(2, 1, sharex=True)
    losses.plot(epochs, [row["loss"] for row in history], color=BLUE, marker=".", label="training")
    losses.plot(epochs, [row["validation_loss"] for row in history], color=ORANGE, marker=".", label="validation")
    losses.set_ylabel("loss")
    iou = [float("nan") if row["validation_iou"] is None else row["validation_iou"] for row in history]
    overlap.plot(epochs, iou, color=ORANGE, marker=".", label="validation")
    overlap.set(ylabel="IoU at threshold 0.5", xlabel="epoch", ylim=(0, 1))
    overlap.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (losses, overlap):
        axes.axvline(best_epoch, color=GREEN, linestyle="--", label=f"kept: epoch {best_epoch}")
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)


def draw_patches(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, classes: Classes) -> np.ndarray:
    """Draw one row a patch: picture, reference, prediction; RGB uint8.

    images: normalised (N, C, H, W), each stretched to full contrast; labels (N, H, W), ignored pixels white;
    probabilities (N, K, H, W), each class in its colour and as bright as it is probable.
    """
    palette = np.asarray(classes.palette(), dtype=np.uint8).reshape(256, 3)
    colours = palette[1 : len(classes) + 1].astype(np.float32)
    low, high = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    rgb = images[:, :3] if images.shape[1] >= 3 else images[:, :1].repeat(3, axis=1)
    pictures = (255 * (rgb - low) / np.maximum(high - low, 1e-6)).transpose(0, 2, 3, 1).astype(np.uint8)
    references = palette[labels]
    predictions = np.einsum("nkhw,kc->nhwc", probabilities, colours).clip(0, 255).astype(np.uint8)
    rows = np.concatenate([pictures, references, predictions], axis=2)
    return rows.reshape(-1, rows.shape[2], 3)
