"""In which order training patches are drawn, and from where.

Everything random about a draw follows from (seed, epoch, index), never from what was drawn before, so neither the
number of workers or processes nor a restart in the middle changes a training.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from maskmill.data.cache import CachedSample, tile_count
from maskmill.data.places import class_slices, draw_place
from maskmill.sizes import Size


class EpochSampler(Sampler[int]):
    """The numbers of an epoch's draws: epoch · per_epoch + index.

    epoch: which epoch comes next. start: index in it to begin at, after a restart a multiple of the global batch.
    batch_size, rank, world: where `world` processes train together, each takes its contiguous part of every global
    batch of world · batch_size draws, so that together they see what one process with that batch would; draws that the
    processes cannot share evenly at an epoch's end are left out. The length is that of a whole epoch.
    """

    def __init__(self, per_epoch: int, batch_size: int = 1, rank: int = 0, world: int = 1) -> None:
        self.epoch = 0
        self.start = 0
        self._per_epoch = per_epoch
        self._batch_size = batch_size
        self._rank = rank
        self._world = world

    def __len__(self) -> int:
        return self._per_epoch // self._world

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self._per_epoch
        shared = self._per_epoch - self._per_epoch % self._world
        step = self._batch_size * self._world
        for start in range(self.start, shared, step):
            part = min(step, shared - start) // self._world
            begin = first + start + self._rank * part
            yield from range(begin, begin + part)


class Deck:
    """Deals pictures in proportion to the tiles that cover them, shuffled anew each epoch and whenever it runs out."""

    def __init__(self, samples: Sequence[CachedSample], size: Size, seed: int) -> None:
        self._cards = np.repeat(np.arange(len(samples)), [tile_count(sample, size) for sample in samples])
        self._seed = seed
        self._shuffled: tuple[tuple[int, int], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._cards)

    def picture(self, epoch: int, index: int) -> int:
        """Number of the picture that is dealt at an index of an epoch."""
        round_, place = divmod(index, len(self._cards))
        if self._shuffled is None or self._shuffled[0] != (epoch, round_):
            shuffle = np.random.default_rng(np.random.SeedSequence((self._seed, epoch, round_), spawn_key=(1,)))
            self._shuffled = ((epoch, round_), shuffle.permutation(self._cards))
        return int(self._shuffled[1][place])


class ClassCentres:
    """Draws a class, then a picture that shows it, then one of its pixels there.

    class_shares: probability of each class, from value 1 on; those of classes that no picture shows are dealt to the
    others. A picture is a sample, for a network of two dimensions a slice; all that show a class are alike likely.
    """

    def __init__(self, samples: Sequence[CachedSample], dimensions: int, class_shares: Sequence[float]) -> None:
        self._samples = samples
        shown = {value: _pictures(samples, value, dimensions) for value in range(1, len(class_shares) + 1)}
        self._shown = {value: pictures for value, pictures in shown.items() if len(pictures)}
        shares = np.array([class_shares[value - 1] for value in self._shown], np.float64)
        self._shares = np.cumsum(shares / shares.sum()) if shares.sum() else None

    def draw(self, random: np.random.Generator) -> tuple[int, tuple[int, int, int]] | None:
        """Number of the sample and (slice, row, column) of the pixel; None where no class is to be seen."""
        if self._shares is None:
            return None
        chosen = np.searchsorted(self._shares, random.random() * self._shares[-1], side="right")
        value, pictures = list(self._shown.items())[chosen]
        number, page = (int(part) for part in pictures[random.integers(len(pictures))])
        return number, draw_place(self._samples[number].places(), value, None if page < 0 else page, random)


def _pictures(samples: Sequence[CachedSample], value: int, dimensions: int) -> np.ndarray:
    """Sample number and slice (n, 2) of what shows a class; the slice is -1 where the whole sample is meant."""
    found = [np.empty((0, 2), np.int32)]
    for number, sample in enumerate(samples):
        if value in sample.pixels:
            slices = class_slices(sample.places(), value) if dimensions == 2 and sample.depth > 1 else [-1]
            found.append(np.stack([np.full(len(slices), number), slices], axis=1))
    return np.concatenate(found)
