"""Patches of the cached pictures: random ones to train on, a fixed grid of them to validate on.

A patch has a size (depth, height, width); for a network of two dimensions its depth is 1, and a volume is its slices.
"""

from collections.abc import Iterable, Sequence
from itertools import product

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from maskmill.classes import IGNORE
from maskmill.data.augment import Augmentation
from maskmill.data.cache import CachedSample
from maskmill.data.sampling import ClassCentres, Deck
from maskmill.inference.preprocess import Preprocessing, Survey, mirror_to
from maskmill.sizes import Size

Corner = tuple[int, int, int]
"""First slice, row and column of a patch."""


class _Patches(Dataset):
    """Common ground of the two data sets: samples, how they are preprocessed, patches of a size and their tensors."""

    def __init__(
        self, samples: Sequence[CachedSample], preprocessing: Preprocessing, size: Size, dimensions: int
    ) -> None:
        self.samples = samples
        self.preprocessing = preprocessing
        self.size = size
        self.dimensions = dimensions
        self._surveys: dict[int, Survey] = {}

    def _survey(self, number: int) -> Survey:
        """What patches need to know of their picture, found when it is first used."""
        if number not in self._surveys:
            sample = self.samples[number]
            self._surveys[number] = self.preprocessing.survey(sample.image(), sample.percentiles)
        return self._surveys[number]

    def _cut(self, number: int, corner: Corner) -> tuple[np.ndarray, np.ndarray]:
        """Unit intensities (*size, C) and labels (*size) of a patch; beyond the content box mirrored and ignored."""
        survey, sample = self._survey(number), self.samples[number]
        window = tuple(
            slice(start, min(start + length, side.stop))
            for start, length, side in zip(corner, self.size, survey.box, strict=True)
        )
        unit = self.preprocessing.unit(sample.image()[window], survey.ranges)
        labels = np.array(sample.labels()[window])
        if labels.shape != self.size:
            missing = [(0, length - found) for length, found in zip(self.size, labels.shape, strict=True)]
            unit = mirror_to(unit, self.size)
            labels = np.pad(labels, missing, constant_values=IGNORE)
        return unit, labels

    def _tensors(self, number: int, unit: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 (C, D, H, W) and int64 (D, H, W), for a network of two dimensions without D."""
        image = np.moveaxis(self.preprocessing.normalize(unit, self._survey(number)), -1, 0)
        if self.dimensions == 2:
            image, labels = image[:, 0], labels[0]
        return torch.from_numpy(np.ascontiguousarray(image)), torch.from_numpy(labels.astype(np.int64))


class TrainingPatches(_Patches):
    """Random patches, normalised float32 (C, *size) and int64 labels (*size); item n is the n-th draw of all epochs.

    per_epoch: draws an epoch; "auto" takes as many as tiles of `size` cover the training pictures. Pictures are drawn
    in proportion to their number of tiles, in a new order each epoch.
    foreground: probability that a patch is instead centred on a pixel of a class; class_shares: see `ClassCentres`.
    """

    def __init__(
        self,
        samples: Sequence[CachedSample],
        preprocessing: Preprocessing,
        size: Size,
        dimensions: int,
        per_epoch: int | str,
        foreground: float,
        class_shares: Sequence[float],
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__(samples, preprocessing, size, dimensions)
        self._deck = Deck(samples, size, seed)
        self.per_epoch = len(self._deck) if per_epoch == "auto" else int(per_epoch)
        self._foreground = foreground
        self._centres = ClassCentres(samples, dimensions, class_shares)
        self._augmentation = augmentation
        self._seed = seed

    def __len__(self) -> int:
        return self.per_epoch

    def __getitem__(self, draw: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = divmod(draw, self.per_epoch)
        random = np.random.default_rng(np.random.SeedSequence((self._seed, epoch, index)))
        number, corner = self._place(epoch, index, random)
        unit, labels = self._cut(number, corner)
        isotropic = self.samples[number].isotropic
        unit, labels = self._augmentation(unit, labels, int(random.integers(2**31)), isotropic)
        return self._tensors(number, unit, labels)

    def _place(self, epoch: int, index: int, random: np.random.Generator) -> tuple[int, Corner]:
        """Number of a picture and first corner of a patch, which leaves the content box only where it must."""
        centre = self._centres.draw(random) if random.random() < self._foreground else None
        if centre is None:
            number = self._deck.picture(epoch, index)
            sides = zip(self._survey(number).box, self.size, strict=True)
            return number, tuple(int(random.integers(side.start, _last_start(side, n) + 1)) for side, n in sides)
        number, pixel = centre
        return number, tuple(
            min(max(position - length // 2, side.start), _last_start(side, length))
            for position, length, side in zip(pixel, self.size, self._survey(number).box, strict=True)
        )


class ValidationPatches(_Patches):
    """Patches that cover each picture's content box; no pixel counts twice: overlaps are ignored the second time."""

    def __init__(
        self, samples: Sequence[CachedSample], preprocessing: Preprocessing, size: Size, dimensions: int
    ) -> None:
        super().__init__(samples, preprocessing, size, dimensions)
        self._corners = [
            (number, corner)
            for number in range(len(samples))
            for corner in product(
                *(
                    range(side.start, side.stop, length)
                    for side, length in zip(self._survey(number).box, size, strict=True)
                )
            )
        ]

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        number, corner = self._corners[index]
        box = self._survey(number).box
        inside = [min(start, _last_start(side, n)) for start, side, n in zip(corner, box, self.size, strict=True)]
        unit, labels = self._cut(number, tuple(inside))
        for axis, (wanted, start) in enumerate(zip(corner, inside, strict=True)):
            np.moveaxis(labels, axis, 0)[: wanted - start] = IGNORE
        return self._tensors(number, unit, labels)


def build_loader(dataset: Dataset, sampler: Iterable[int] | None, batch_size: int, workers: int) -> DataLoader:
    """Batches of patches, made by `workers` processes ahead of their use, or by this one where there are none.

    sampler: numbers of the patches, each time it is iterated; None for all in their order.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_limit_threads,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # so that loading leaves torch's own random numbers alone
    )


def _limit_threads(_worker: int) -> None:
    """Keep a loading process to one thread: the cores belong to the training."""
    cv2.setNumThreads(0)


def _last_start(side: slice, length: int) -> int:
    """Last position along a side of the content box where a patch still fits; the start where it never does."""
    return max(side.start, side.stop - length)
