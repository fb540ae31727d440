"""Jobs without pictures, for tests of what a training is made of."""

from typing import Any

import torch
from torch import Tensor

from maskmill.classes import Classes
from maskmill.inference.preprocess import Preprocessing
from maskmill.training.job import Job
from tests.unit.training_data import options

COMPUTE = {"threads": 1, "precision": "32", "device": "cpu"}


def make_job(
    model: dict[str, Any] | None = None, loss: dict[str, Any] | None = None, classes: int = 1, **train: Any
) -> Job:
    """A job with the options that tests train with, and changes to them; its pictures have one channel."""
    chosen = options(**train)
    chosen["model"] |= model or {}
    chosen["loss"] |= loss or {}
    return Job(
        experiment="test",
        fold=0,
        seed=0,
        classes=Classes.from_config([f"class {number}" for number in range(classes)]),
        preprocessing=Preprocessing(1, 1.0, ((0.0, 1.0),), 0, False, "dataset", (0.5,), (0.5,)),
        training=[],
        validation=[],
        options=chosen,
        workers=0,
    )


def make_batch(patches: int = 4, shape: tuple[int, ...] = (16, 16), seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random images (N, 1, …), and as labels (N, …) where they are bright, a few pixels ignored."""
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(patches, 1, *shape, generator=random)
    labels = (images[:, 0] > 0.3).long()
    labels[..., 0] = 255
    return images, labels
