"""The training loop, which goes on, killed at any step, to the same weights.

The weights kept are those of the epoch with the best validation IoU (the lower validation loss among equals). On one
kind of machine, the same options, data, code and number of threads give the same weights, bit for bit.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_fabric import Fabric

from maskmill.errors import MaskmillError
from maskmill.tracking import Tracker
from maskmill.training.compute import peak_memory_mb
from maskmill.training.display import Display, show_training
from maskmill.training.feed import Feed
from maskmill.training.job import Job
from maskmill.training.learner import Learner
from maskmill.training.optimization import learning_rate
from maskmill.training.pictures import choose_shown, draw_shown
from maskmill.training.progress import Progress
from maskmill.training.state import StateFolder
from maskmill.training.validation import validate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Desk:
    """Where the leading process puts what comes of a training. compute: what `resolve_compute` decided."""

    states: StateFolder
    tracker: Tracker
    compute: Mapping[str, Any]


def fit(job: Job, fabric: Fabric, saved: Mapping[str, Any] | None, desk: Desk | None = None) -> Progress:
    """Train from the beginning, or from the state `saved` on, to the end; returns how far it came.

    desk: of the process that leads; those beside it have none. Raises MaskmillError where the loss is lost.
    """
    learner, feed = Learner(job, fabric), Feed(job, fabric)
    progress = Progress()
    if saved:
        learner.load_state_dict(saved["learner"])
        progress = Progress(**saved["progress"])
        logger.info("going on after %d epochs and %d patches", len(progress.history), progress.patches)

    def save() -> None:
        """Save all that the next step depends on."""
        desk.states.save(
            {
                "learner": learner.state_dict(),
                "progress": progress.as_dict(),
                "compute": dict(desk.compute),
                "mlflow_run": desk.tracker.mlflow_run,
            }
        )

    def save_if_due() -> None:
        if desk and desk.states.is_due():
            save()

    if desk and not saved:
        save()
    shown = choose_shown(feed.validation_patches) if desk else None
    done = len(progress.history) * feed.patches + progress.patches
    with show_training(job.train["epochs"], feed.patches, done, hidden=desk is None) as display:
        while not progress.is_over(job.train):
            train_epoch(job, fabric, learner, feed, progress, display, save_if_due)
            improved = close_epoch(job, fabric, learner, feed, progress)
            if desk:
                save()
                desk.tracker.log_epochs(progress.history)
                if improved:
                    desk.tracker.log_pictures(draw_shown(learner, shown, job.classes, fabric), len(progress.history))
                display.close_epoch(progress.history[-1], progress.best)
    return progress


def train_epoch(
    job: Job,
    fabric: Fabric,
    learner: Learner,
    feed: Feed,
    progress: Progress,
    display: Display,
    save_if_due: Callable[[], None],
) -> None:
    """Train on what is left of an epoch. `save_if_due` is called after each step of the optimiser."""
    epoch = len(progress.history)
    learner.train()
    begun = time.perf_counter()
    for batch in feed.batches(epoch, progress.patches):
        loss = learner.learn(batch.images, batch.labels, batch.share, batch.ends_step)
        progress.loss = progress.loss + fabric.all_reduce(loss.double(), reduce_op="mean") * batch.patches
        progress.patches += batch.patches
        progress.waited += batch.waited
        if batch.ends_step:
            learner.step(learning_rate(epoch * feed.steps + batch.step, feed.steps, job.train))
        now = time.perf_counter()
        progress.seconds += now - begun
        display.advance(epoch + 1, progress)
        if batch.ends_step:
            save_if_due()
        begun = time.perf_counter()


def close_epoch(job: Job, fabric: Fabric, learner: Learner, feed: Feed, progress: Progress) -> bool:
    """Validate, enter the epoch into the history, and keep the weights where they are the best so far.

    Returns whether they are.
    """
    epoch = len(progress.history) + 1
    loss = progress.mean_loss()
    if not math.isfinite(loss):
        raise MaskmillError(
            f'the training loss became {loss} in epoch {epoch}; lower train.lr, or set train.precision to "32"'
        )
    begun = time.perf_counter()
    validation = validate(learner, feed.validation, len(job.classes), fabric)
    rate = learning_rate(epoch * feed.steps - 1, feed.steps, job.train)
    seconds = time.perf_counter() - begun
    progress.close_epoch(validation.loss, validation.iou, rate, seconds, peak_memory_mb(fabric.device))
    improved = progress.best is None or validation.score > progress.best["score"]
    if improved:
        weights = learner.weights() if fabric.is_global_zero else None
        progress.best = {"epoch": epoch, "iou": validation.iou, "score": validation.score, "weights": weights}
    return improved
