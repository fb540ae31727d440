"""The batches that one process trains and validates on."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from lightning_fabric import Fabric
from torch import Tensor

from maskmill.dag.option_checks import batch_mistakes
from maskmill.data.augment import Augmentation
from maskmill.data.dataset import TrainingPatches, ValidationPatches, build_loader
from maskmill.data.sampling import EpochSampler
from maskmill.errors import MaskmillError
from maskmill.training.job import Job


@dataclass(frozen=True)
class Batch:
    """Patches of one process: images (N, C, …) and labels (N, …), … being H, W or D, H, W.

    patches: number in the batches of all processes together. step: of the epoch, from 0, that the batch belongs to;
    share: its part in that step's patches. waited: seconds until it was there.
    """

    images: Tensor
    labels: Tensor
    patches: int
    step: int
    share: float
    ends_step: bool
    waited: float


class Feed:
    """Training batches, epoch by epoch, and validation batches; each of the processes that train together has its own.

    patches: those that all processes together draw in an epoch. steps: of the optimiser in an epoch.
    """

    def __init__(self, job: Job, fabric: Fabric) -> None:
        train, batch_size = job.train, job.train["batch_size"]
        training = TrainingPatches(
            job.training,
            job.preprocessing,
            job.patch,
            job.dimensions,
            per_epoch=train["patches_per_epoch"],
            foreground=train["foreground"],
            class_shares=train["class_shares"],
            augmentation=Augmentation(**job.options["augment"]),
            seed=job.seed,
        )
        world = fabric.world_size
        self.patches = len(training) - len(training) % world
        if not self.patches:
            raise MaskmillError(
                f"an epoch has {len(training)} patches for {world} devices; raise train.patches_per_epoch, "
                "or lower train.devices or train.nodes"
            )
        counted = {**train, "patches_per_epoch": self.patches, "devices": world, "nodes": 1}
        for finding, remedy in batch_mistakes(job.options["model"], counted, job.dimensions):
            raise MaskmillError(f"{finding}; {remedy}")
        self._batch = batch_size * world
        self._together = self._batch * train["accumulate"]
        self.steps = math.ceil(self.patches / self._together)
        self._sampler = EpochSampler(len(training), batch_size, fabric.global_rank, world)
        self._loader = build_loader(training, self._sampler, batch_size, job.workers)
        self._fabric = fabric

        self.validation_patches = ValidationPatches(job.validation, job.preprocessing, job.patch, job.dimensions)
        indices = range(len(self.validation_patches))
        batches = [indices[start : start + batch_size] for start in indices[::batch_size]]
        own = [index for batch in batches[fabric.global_rank :: world] for index in batch]
        self.validation = build_loader(self.validation_patches, own, batch_size, job.workers)

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0, after the first `start` patches of all processes together."""
        self._sampler.epoch, self._sampler.start = epoch, start
        asked = time.perf_counter()
        for images, labels in self._loader:
            waited = time.perf_counter() - asked
            images, labels = self._fabric.to_device((images, labels))
            patches = len(images) * self._fabric.world_size
            step = start // self._together
            of_step = min((step + 1) * self._together, self.patches) - step * self._together
            start += patches
            ends_step = start == step * self._together + of_step
            yield Batch(images, labels, patches, step, patches / of_step, ends_step, waited)
            asked = time.perf_counter()
