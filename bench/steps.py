"""Training steps on patches from memory, so that nothing but the steps is timed."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from maskmill.classes import Classes
from maskmill.inference.preprocess import Preprocessing
from maskmill.training.compute import Place, describe_compute, find_device, resolve_compute, start_compute
from maskmill.training.job import Job
from maskmill.training.learner import Learner

MODEL = {
    "architecture": "unet", "planar": 0, "residual": False, "deep_supervision": False, "act": "relu", "norm": "batch",
    "attention": "none", "downsampling": "maxpool", "upsampling": "interpolated", "init": "he_uniform",
}  # fmt: skip
LOSS = {
    "ce": 0.5, "dice": 0.3, "lovasz": 0.2, "boundary": 0.1, "ohem": 0.5, "class_weights": None, "per_sample": False,
}  # fmt: skip
TRAIN = {
    "optimizer": "adamw", "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4, "clip": 1.0, "ema": 0.99,
    "precision": "auto", "compile": False, "devices": 1, "threads": 2,
}  # fmt: skip


class Steps:
    """A U-Net in training on a batch of noise; called, it takes some steps of the optimiser.

    size: of a patch, (H, W) or (D, H, W), which decides the dimensions. train: what differs from `TRAIN`.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        patches: int,
        size: tuple[int, ...],
        train: Mapping[str, Any],
        deterministic: bool = True,
    ) -> None:
        options = {
            "model": {**MODEL, "dimensions": len(size), "width": width, "depth": depth},
            "loss": LOSS,
            "train": TRAIN | train,
        }
        self.compute = resolve_compute(options["train"], find_device())
        self._deterministic = deterministic
        preprocessing = Preprocessing(3, 1.0, ((0, 255),) * 3, 0, False, "dataset", (0.5,) * 3, (0.2,) * 3)
        job = Job("bench", 0, 0, Classes.from_config(["a", "b"]), preprocessing, [], [], options, 0)
        fabric = start_compute(self.compute, deterministic, Place())
        self._learner = Learner(job, fabric)
        images, labels = torch.randn(patches, 3, *size), torch.randint(3, (patches, *size))
        self._batch = fabric.to_device((images, labels))

    @property
    def hardware(self) -> str:
        """Device, threads and precision in words."""
        return f"{describe_compute(self.compute)['hardware']}, {self.compute['precision']}"

    def __call__(self, steps: int) -> None:
        start_compute(self.compute, self._deterministic, Place())  # which is the process's own, shared by all sides
        self._learner.train()
        for _ in range(steps):
            self._learner.learn(*self._batch, share=1, ends_step=True)
            self._learner.step(1e-3)
        if self.compute["device"] == "cuda":
            torch.cuda.synchronize()


def least_seconds(sides: Mapping[str, Callable[[int], None]], rounds: int, steps: int) -> dict[str, float]:
    """Seconds a step of each side: the least of some rounds of steps in turn, since other work only adds to them.

    A round before them warms up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, train in sides.items():
            started = time.perf_counter()
            train(steps)
            seconds[name].append((time.perf_counter() - started) / steps)
    return {name: min(times[1:]) for name, times in seconds.items()}
