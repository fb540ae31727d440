"""Pairs of pictures that are alike, many of them, thinned so that what they connect stays connected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree

NEAREST = 10


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures, by index (first < second), with how alike they are (0 to 1) and why it is thought so."""

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray
    detail: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, float, str]]) -> "Pairs":
        """From rows of (first, second, similarity, detail)."""
        first, second, similarity, detail = zip(*rows, strict=True) if rows else ((), (), (), ())
        return cls(
            np.array(first, np.int64), np.array(second, np.int64), np.array(similarity, float), np.array(detail, object)
        )

    def __len__(self) -> int:
        return len(self.first)

    def __add__(self, other: "Pairs") -> "Pairs":
        fields = ("first", "second", "similarity", "detail")
        return Pairs(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in fields))

    def take(self, chosen: np.ndarray) -> "Pairs":
        """Some of the pairs: a mask or indices."""
        return Pairs(self.first[chosen], self.second[chosen], self.similarity[chosen], self.detail[chosen])

    def without(self, others: "Pairs") -> "Pairs":
        """The pairs that are not among the others."""
        count = 1 + max(self.second.max(initial=0), others.second.max(initial=0))
        numbers, taken = (number_pairs(p.first, p.second, count) for p in (self, others))
        return self.take(~np.isin(numbers, taken))


def number_pairs(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """One number for each pair of indices below `count`."""
    return first.astype(np.int64) * count + second


def thin(pairs: Pairs, count: int) -> Pairs:
    """Each pair once, of those among the ten most alike of either picture, or needed to connect what is connected.

    count: number of pictures.
    """
    order = np.lexsort((-pairs.similarity, number_pairs(pairs.first, pairs.second, count)))
    numbers, once = np.unique(number_pairs(pairs.first, pairs.second, count)[order], return_index=True)
    pairs = pairs.take(order[once])
    kept = _rank_within(pairs.first, pairs.similarity) < NEAREST
    kept |= _rank_within(pairs.second, pairs.similarity) < NEAREST
    lengths = coo_array((1.001 - pairs.similarity, (pairs.first, pairs.second)), shape=(count, count))
    kept |= np.isin(numbers, number_pairs(*minimum_spanning_tree(lengths.tocsr()).nonzero(), count))
    return pairs.take(kept)


def _rank_within(groups: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """How many pairs of its group are more alike than a pair."""
    order = np.lexsort((-similarity, groups))
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, counts)
    return ranks
