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

DOTTED_EPOCHS = 60
"""Up to so many epochs each is a dot on its curve."""


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure as PNG; equal figures give equal bytes."""
    with atomic_path(path) as aside:
        figure.savefig(aside, format="png", dpi=120, metadata={"Software": None})


def plot_history(history: Sequence[Mapping[str, Any]], best_epoch: int, path: str | os.PathLike) -> None:
    """Draw losses, validation IoU and learning rate of a training by epoch; the epoch whose weights are kept is marked.

    history: one mapping an epoch with `epoch`, `loss`, `validation_loss`, `validation_iou` (None where undefined) and
    `lr`.
    """
    epochs = [row["epoch"] for row in history]
    figure = Figure(figsize=(7, 7.5), layout="constrained")
    panels = losses, overlap, rates = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.2))
    style = {"marker": "." if len(epochs) <= DOTTED_EPOCHS else None}
    losses.plot(epochs, _curve(history, "loss"), color=BLUE, label="training", **style)
    losses.plot(epochs, _curve(history, "validation_loss"), color=ORANGE, label="validation", **style)
    losses.set_ylabel("loss")
    best = next(row for row in history if row["epoch"] == best_epoch)["validation_iou"]
    kept = f"kept: epoch {best_epoch}" + ("" if best is None else f", IoU {best:.3f}")
    overlap.plot(epochs, _curve(history, "validation_iou"), color=ORANGE, label="validation", **style)
    overlap.set(ylabel="IoU at threshold 0.5", ylim=(0, 1))
    rates.plot(epochs, _curve(history, "lr"), color=BLUE, label="at the end of the epoch", **style)
    rates.set(ylabel="learning rate", xlabel="epoch", xlim=(0.5, epochs[-1] + 0.5))
    rates.set_ylim(bottom=0)
    rates.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    rates.xaxis.set_major_locator(MaxNLocator(integer=True))
    for panel in panels:
        panel.axvline(best_epoch, color=GREEN, linestyle="--", zorder=1, label=kept if panel is overlap else None)
        panel.grid(alpha=0.3)
    for panel in (losses, overlap):
        panel.legend()
    save_figure(figure, path)


def _curve(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float("nan") if row[name] is None else row[name] for row in history]


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
