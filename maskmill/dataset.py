"""Patches of the cached pictures: random ones to train on, a fixed grid of them to validate on.

Everything random about a training patch follows from (seed, epoch, index), never from what was drawn before, so neither
the number of workers nor a restart in the middle changes a training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from maskmill.augment import Augmentation
from maskmill.cache import CachedSample, tile_count
from maskmill.classes import IGNORE
from maskmill.preprocess import Preprocessing

MAX_COORDINATES = 1000
"""Pixels kept a class and picture as possible centres of patches."""


@dataclass(frozen=True)
class _Picture:
    """What patches need to know of their picture: content box, moments, (rows, columns) of each class in the box."""

    box: tuple[slice, slice]
    moments: tuple[np.ndarray, np.ndarray]
    foreground: tuple[np.ndarray, ...]


class _Patches(Dataset):
    """Common ground of the two data sets: samples, how they are preprocessed, and patches of `size`² pixels."""

    def __init__(self, samples: Sequence[CachedSample], preprocessing: Preprocessing, size: int) -> None:
        self.samples = samples
        self.preprocessing = preprocessing
        self.size = size
        self._pictures: dict[int, _Picture] = {}

    def _picture(self, number: int) -> _Picture:
        """Facts about a whole picture, gathered when it is first used."""
        if number not in self._pictures:
            self._pictures[number] = _survey(self.samples[number], self.preprocessing)
        return self._pictures[number]

    def _cut(self, number: int, top: int, left: int) -> tuple[np.ndarray, np.ndarray]:
        """Unit intensities (size, size, C) and labels (size, size) of a patch; outside the box all 0 and ignored."""
        rows, columns = self._picture(number).box
        window = (
            slice(top, min(top + self.size, rows.stop)),
            slice(left, min(left + self.size, columns.stop)),
        )
        sample = self.samples[number]
        unit = self.preprocessing.unit(sample.image()[window])
        labels = np.array(sample.labels()[window])
        below, right = self.size - labels.shape[0], self.size - labels.shape[1]
        if below or right:
            unit = np.pad(unit, ((0, below), (0, right), (0, 0)))
            labels = np.pad(labels, ((0, below), (0, right)), constant_values=IGNORE)
        return unit, labels

    def _tensors(self, number: int, unit: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        normalized = self.preprocessing.normalize(unit, self._picture(number).moments)
        channels_first = np.ascontiguousarray(normalized.transpose(2, 0, 1), dtype=np.float32)
        return torch.from_numpy(channels_first), torch.from_numpy(labels.astype(np.int64))


class TrainingPatches(_Patches):
    """Random patches, normalised float32 (C, size, size) and int64 labels (size, size); item n is the n-th draw of all.

    per_epoch: draws an epoch; "auto" takes as many as tiles of `size` cover the training pictures. Pictures are drawn
    in proportion to their number of tiles, in a new order each epoch.
    foreground: probability that a patch is centred on a pixel of a class, each class of the picture alike.
    """

    def __init__(
        self,
        samples: Sequence[CachedSample],
        preprocessing: Preprocessing,
        size: int,
        per_epoch: int | str,
        foreground: float,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__(samples, preprocessing, size)
        self._deck = np.repeat(np.arange(len(samples)), [tile_count(sample, size) for sample in samples])
        self.per_epoch = len(self._deck) if per_epoch == "auto" else int(per_epoch)
        self._foreground = foreground
        self._augmentation = augmentation
        self._seed = seed
        self._order: tuple[tuple[int, int], np.ndarray] | None = None

    def __len__(self) -> int:
        return self.per_epoch

    def __getitem__(self, draw: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, index = divmod(draw, self.per_epoch)
        sequence = np.random.SeedSequence((self._seed, epoch, index))
        random = np.random.default_rng(sequence)
        number = self._drawn_picture(epoch, index)
        unit, labels = self._cut(number, *self._position(number, random))
        unit, labels = self._augmentation(unit, labels, int(random.integers(2**31)))
        return self._tensors(number, unit, labels)

    def _drawn_picture(self, epoch: int, index: int) -> int:
        """Deal the pictures from a shuffled deck; where an epoch needs more than one deck, each is shuffled anew."""
        round_, place = divmod(index, len(self._deck))
        if self._order is None or self._order[0] != (epoch, round_):
            shuffle = np.random.default_rng(np.random.SeedSequence((self._seed, epoch, round_), spawn_key=(1,)))
            self._order = ((epoch, round_), shuffle.permutation(self._deck))
        return int(self._order[1][place])

    def _position(self, number: int, random: np.random.Generator) -> tuple[int, int]:
        """Top and left of a random patch inside the content box."""
        picture = self._picture(number)
        centred = random.random() < self._foreground
        if centred and picture.foreground:
            pixels = picture.foreground[random.integers(len(picture.foreground))]
            row, column = pixels[random.integers(len(pixels))]
            wanted = (int(row) - self.size // 2, int(column) - self.size // 2)
            return tuple(
                min(max(start, side.start), _last_start(side, self.size))
                for start, side in zip(wanted, picture.box, strict=True)
            )
        return tuple(int(random.integers(side.start, _last_start(side, self.size) + 1)) for side in picture.box)


class ValidationPatches(_Patches):
    """Patches that cover each picture's content box; no pixel counts twice: overlaps are ignored the second time."""

    def __init__(self, samples: Sequence[CachedSample], preprocessing: Preprocessing, size: int) -> None:
        super().__init__(samples, preprocessing, size)
        self._corners = [
            (number, top, left)
            for number in range(len(samples))
            for rows, columns in [self._picture(number).box]
            for top in range(rows.start, rows.stop, size)
            for left in range(columns.start, columns.stop, size)
        ]

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        number, top, left = self._corners[index]
        rows, columns = self._picture(number).box
        top_inside, left_inside = min(top, _last_start(rows, self.size)), min(left, _last_start(columns, self.size))
        unit, labels = self._cut(number, top_inside, left_inside)
        labels[: top - top_inside] = IGNORE
        labels[:, : left - left_inside] = IGNORE
        return self._tensors(number, unit, labels)


class EpochSampler(Sampler[int]):
    """The draw numbers of the epoch that `epoch` is set to."""

    def __init__(self, per_epoch: int) -> None:
        self.epoch = 0
        self._per_epoch = per_epoch

    def __len__(self) -> int:
        return self._per_epoch

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self._per_epoch, (self.epoch + 1) * self._per_epoch))


def build_loader(dataset: Dataset, sampler: Sampler[int] | None, batch_size: int, workers: int) -> DataLoader:
    """Batches of patches, made by `workers` processes ahead of their use, or by this one where there are none."""
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


def _last_start(side: slice, size: int) -> int:
    """Last position along a side of the content box where a patch still fits; the start where it never does."""
    return max(side.start, side.stop - size)


def _survey(sample: CachedSample, preprocessing: Preprocessing) -> _Picture:
    box, moments = _box_and_moments(sample, preprocessing)
    labels = sample.labels()[box]
    random = np.random.default_rng(0)
    foreground = []
    for value in np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE)[1:IGNORE]) + 1:
        pixels = np.flatnonzero(labels == value)
        if len(pixels) > MAX_COORDINATES:
            pixels = np.sort(random.choice(pixels, MAX_COORDINATES, replace=False))
        rows, columns = np.unravel_index(pixels, labels.shape)
        foreground.append(np.stack([rows + box[0].start, columns + box[1].start], axis=1).astype(np.int32))
    return _Picture(box, moments, tuple(foreground))


def _box_and_moments(
    sample: CachedSample, preprocessing: Preprocessing
) -> tuple[tuple[slice, slice], tuple[np.ndarray, np.ndarray]]:
    if not preprocessing.crop_border and preprocessing.normalization == "dataset":  # the picture need not be read
        return (slice(0, sample.height), slice(0, sample.width)), preprocessing.moments(np.empty(0))
    unit = preprocessing.unit(sample.image())
    return preprocessing.content_box(unit), preprocessing.moments(unit)
