"""What a training shows while it runs: a bar on a terminal, lines in the log."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from maskmill.training.progress import Progress

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1
"""At the loss, for the bar."""

SECONDS_BETWEEN_LINES = 60
"""In the log, within an epoch."""


class Display:
    """Shows how far a training is: a bar `bar` over all patches of all epochs, which may be hidden, and log lines.

    epochs, patches: their number, and that of the patches in each. done: patches trained by a killed training before.
    """

    def __init__(self, bar: tqdm, epochs: int, patches: int, done: int) -> None:
        self._bar = bar
        self._epochs, self._patches = epochs, patches
        self._before = self._done = done
        self._started = self._said = time.monotonic()
        self._shown = 0.0
        self._figures: dict[str, str] = {}

    def advance(self, epoch: int, progress: Progress) -> None:
        """Tell of what epoch number `epoch` (from 1) has had so far.

        The loss is looked at once a second at most, since a GPU has to be waited for.
        """
        done = (epoch - 1) * self._patches + progress.patches
        self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        if not self._bar.disable and now - self._shown > SECONDS_BETWEEN_LOOKS:
            self._shown = now
            self._bar.set_description(f"epoch {epoch}/{self._epochs}", refresh=False)
            self._show(loss=f"{progress.mean_loss():.4f}")
        if now - self._said > SECONDS_BETWEEN_LINES:
            self._said = now
            logger.info(
                "%d %% of epoch %d: loss %.4f, %.1f patches/s, %s left",
                100 * progress.patches / self._patches, epoch, progress.mean_loss(), self._rate(), self._left(),
            )  # fmt: skip

    def close_epoch(self, row: Mapping[str, Any], best: Mapping[str, Any]) -> None:
        """Tell of an epoch, a row of the history, and of the best one so far."""
        iou, best_iou = (_number(value) for value in (row["validation_iou"], best["iou"]))
        self._show(IoU=f"{iou} (best {best_iou})")
        self._said = time.monotonic()
        logger.info(
            "epoch %d of %d: loss %.4f, validation: loss %.4f, IoU %s (best: %s in epoch %d), %.1f patches/s, "
            "%.0f %% of the time waiting for data, %s left",
            row["epoch"], self._epochs, row["loss"], row["validation_loss"], iou, best_iou, best["epoch"],
            row["patches_per_second"], 100 * row["waiting"], self._left(),
        )  # fmt: skip

    def _show(self, **figures: str) -> None:
        self._figures |= figures
        self._bar.set_postfix(self._figures, refresh=False)

    def _rate(self) -> float:
        """Patches a second since this process began, validation included."""
        return (self._done - self._before) / (time.monotonic() - self._started)

    def _left(self) -> str:
        rate = self._rate()
        if not rate:  # nothing but a validation was left of the epoch that a killed training broke off
            return "unknown time"
        return duration((self._epochs * self._patches - self._done) / rate)


@contextmanager
def show_training(epochs: int, patches: int, done: int, hidden: bool) -> Iterator[Display]:
    """A display of `epochs` of so many `patches`, of which `done` in all were trained before; `hidden` has no bar."""
    hidden = hidden or not sys.stderr.isatty()
    bar = tqdm(total=epochs * patches, initial=done, unit=" patches", dynamic_ncols=True, disable=hidden)
    with bar, nullcontext() if hidden else logging_redirect_tqdm():
        yield Display(bar, epochs, patches, done)


def duration(seconds: float) -> str:
    """Such as "2 h 5 min", "3 min 20 s" or "8 s"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _number(iou: float | None) -> str:
    return "undefined" if iou is None else f"{iou:.4f}"
