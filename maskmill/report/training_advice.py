"""What stands out in the course of a training; rules as in `maskmill.report.advice`."""

import numpy as np

from maskmill.report.remarks import Evidence, Remark
from maskmill.wording import count_of, signed

FEWEST_EPOCHS = 9
"""A shorter training says nothing about its course."""

OSCILLATION = 0.02
"""Standard deviation of the validation IoU around its trend in the last third of the epochs."""

OSCILLATION_SHARE = 0.05
"""The same, by what the training gained."""

RISE = 1.1
"""Validation loss at the end, by its lowest."""

WAITING = 0.2
"""Share of the training's time spent waiting for batches."""


def broken_loss(evidence: Evidence) -> list[Remark]:
    """Validation loss that is not a number, or infinite; a training loss like that ends the training."""
    losses = [
        float("nan") if epoch["validation_loss"] is None else epoch["validation_loss"] for epoch in evidence.history
    ]
    broken = np.flatnonzero(~np.isfinite(losses))
    if not len(broken):
        return []
    return [
        Remark(
            f"Validation loss is infinite or not a number in {len(broken)} of {count_of(len(losses), 'epoch')}, "
            f"first in epoch {broken[0] + 1}",
            "weights run away, or numbers grow larger than the precision holds",
            "lower train.lr, train.clip such as 1, train.precision 32",
        )
    ]


def oscillating_iou(evidence: Evidence) -> list[Remark]:
    """Validation IoU that goes up and down around its trend late in training, by more than learning explains."""
    iou = np.array([epoch["validation_iou"] for epoch in evidence.history if epoch["validation_iou"] is not None])
    if len(iou) < FEWEST_EPOCHS:
        return []
    late = iou[-(len(iou) // 3) :]
    epochs = np.arange(len(late))
    spread = float(np.std(late - np.polyval(np.polyfit(epochs, late, 1), epochs)))
    gain = float(late.mean() - iou[0])
    if spread < OSCILLATION or spread < OSCILLATION_SHARE * gain:
        return []
    change = f"gain of all: {signed(gain)}"
    symptom = f"Validation IoU still varies by ±{spread:.3f} in the last third of the epochs ({change})"
    return [
        Remark(
            symptom,
            "the learning rate is too high, or augmentation, rotation above all, is too strong; or validation is small",
            "lower train.lr or let it fall (train.schedule), set train.ema, lower augment.rotate_limit",
        )
    ]


def overfitting(evidence: Evidence) -> list[Remark]:
    """Training loss that goes on falling while validation loss has risen from its lowest."""
    history = evidence.history
    if len(history) < FEWEST_EPOCHS:
        return []
    losses, training = (np.array([epoch[name] for epoch in history], float) for name in ("validation_loss", "loss"))
    if not np.isfinite(losses).all():
        return []
    best, end = int(losses.argmin()), losses[-3:].mean()
    if best >= len(history) - 3 or end <= RISE * losses[best] or training[-3:].mean() >= training[best]:
        return []
    symptom = (
        f"Validation loss rises from {losses[best]:.3f} in epoch {best + 1} to {end:.3f} at the end, "
        f"while training loss falls from {training[best]:.3f} to {training[-3:].mean():.3f}"
    )
    return [
        Remark(
            symptom,
            "overfitting: the network learns the training pictures by heart",
            "more training pictures, stronger augment options, more train.weight_decay, a smaller model.width, "
            "train.patience to end earlier",
        )
    ]


def waiting_for_data(evidence: Evidence) -> list[Remark]:
    """A training that waits for its batches."""
    shares = [epoch["waiting"] for epoch in evidence.history if epoch.get("waiting") is not None]
    if not shares or np.mean(shares) < WAITING:
        return []
    return [
        Remark(
            f"Training spent {100 * np.mean(shares):.0f} % of its time waiting for batches",
            "reading and augmenting pictures takes longer than the network does",
            "more train.workers (masks and numbers stay the same), results/ on a faster disk",
        )
    ]
