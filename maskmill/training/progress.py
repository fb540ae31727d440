"""How far a training is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

HISTORY_COLUMNS = (
    "epoch", "loss", "validation_loss", "validation_iou", "lr", "seconds", "patches_per_second", "waiting",
    "peak_memory_mb",
)  # fmt: skip
"""Of the history of a training, one row an epoch."""


@dataclass
class Progress:
    """How far a training is: the epochs that are over, and what there is of the one that runs.

    history: a row an epoch. loss: mean over the patches; lr: the last learning rate; seconds: training and validation;
    waiting: share of the training's time until batches were there; peak_memory_mb: see `peak_memory_mb`.
    best: {"epoch", "iou", "score", "weights"} of the best epoch.
    patches: trained in the epoch that runs, by all processes. loss: sum over them, scalar float64. seconds: of training
    in it; waited: those of them that went by until batches were there.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    patches: int = 0
    loss: Tensor | float = 0.0
    seconds: float = 0.0
    waited: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values and tensors, from which it can be made again."""
        return vars(self) | {"loss": float(self.loss)}

    def mean_loss(self) -> float:
        """Of the epoch that runs."""
        return float(self.loss) / self.patches

    def is_over(self, train: Mapping[str, Any]) -> bool:
        """Whether all epochs are done, or `train.patience` of them went by without a better one."""
        done, patience = len(self.history), train["patience"]
        return done >= train["epochs"] or bool(patience and done and done - self.best["epoch"] >= patience)

    def close_epoch(
        self, validation_loss: float, validation_iou: float | None, rate: float, seconds: float, memory: float
    ) -> None:
        """Enter the epoch into the history.

        rate: the last learning rate; seconds: those that validation took; memory: the most so far, in MB.
        """
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                "loss": self.mean_loss(),
                "validation_loss": validation_loss,
                "validation_iou": validation_iou,
                "lr": rate,
                "seconds": round(self.seconds + seconds, 3),
                "patches_per_second": round(self.patches / self.seconds, 3),
                "waiting": round(self.waited / self.seconds, 4),
                "peak_memory_mb": round(memory, 1),
            }
        )
        self.patches, self.loss, self.seconds, self.waited = 0, 0.0, 0.0, 0.0
