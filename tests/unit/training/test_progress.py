"""How far a training is."""

import pytest
import torch

from maskmill.training.progress import HISTORY_COLUMNS, Progress


def test_an_epoch_is_entered_and_the_next_begins_at_nothing():
    progress = Progress(patches=20, loss=torch.tensor(30.0, dtype=torch.float64), seconds=4.0, waited=1.0)
    progress.close_epoch(1.25, None, 0.01, seconds=2.0, memory=321.04)
    assert progress.history == [
        {
            "epoch": 1, "loss": 1.5, "validation_loss": 1.25, "validation_iou": None, "lr": 0.01, "seconds": 6.0,
            "patches_per_second": 5.0, "waiting": 0.25, "peak_memory_mb": 321.0,
        }
    ]  # fmt: skip
    assert tuple(progress.history[0]) == HISTORY_COLUMNS
    assert (progress.patches, progress.loss, progress.seconds, progress.waited) == (0, 0, 0, 0)


def test_it_is_made_again_from_plain_values():
    progress = Progress([{"epoch": 1}], {"epoch": 1}, 8, torch.tensor(0.1, dtype=torch.float64), 2.0, 1.0)
    again = Progress(**progress.as_dict())
    assert again == progress
    assert again.loss == 0.1


@pytest.mark.parametrize(
    ("epochs", "best", "patience", "over"),
    [(9, 1, 0, False), (10, 10, 0, True), (4, 1, 3, True), (4, 2, 3, False), (0, None, 3, False)],
)
def test_it_is_over_after_all_epochs_or_too_many_without_a_better_one(epochs, best, patience, over):
    progress = Progress([{}] * epochs, {"epoch": best} if best else None)
    assert progress.is_over({"epochs": 10, "patience": patience}) == over
