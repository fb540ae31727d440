"""How unsure a network is of each pixel: the entropy of its class probabilities.

H(x) = −Σ p_k(x) log p_k(x) / log(K + 1), over background and the K classes: 0 where the network is sure, 1 where all
are as likely. Of probabilities averaged over members of an ensemble or over turned tiles, this is the predictive
entropy, what the data leave open and what the members disagree on together [1, 2].

References
----------
.. [1] Czolbe, Arnavaz, Krause & Feragen (2021), "Is segmentation uncertainty useful?", IPMI.
.. [2] Lakshminarayanan, Pritzel & Blundell (2017), "Simple and scalable predictive uncertainty estimation using deep
   ensembles", NeurIPS.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from maskmill.imaging.lazy import let_go
from maskmill.inference.sliding_window import LEVELS, Band

POSSIBLE = 0.1
"""Probability of all classes together from which on a pixel may be foreground, and is averaged over."""

MAP_SIDE = 8192
"""Greatest side of an entropy map, in pixels."""

LISTED = 4
"""Cases that are listed for a person at most."""

_PART_PIXELS = 1 << 21
_PROBABILITIES = np.arange(1, LEVELS + 1) / LEVELS
_TERMS = np.concatenate([[0], -_PROBABILITIES * np.log(_PROBABILITIES)]).astype(np.float32)


@dataclass(frozen=True)
class CaseEntropy:
    """Mean entropy of a case over the pixels that may be foreground, 0 where none may be.

    pixels: how many those are. page: the slice with the greatest sum of entropy, 0 of a picture.
    """

    mean: float
    pixels: int
    page: int


def pixel_entropy(levels: np.ndarray) -> np.ndarray:
    """Entropy in [0, 1], float32 (…), of stored probabilities of the classes, uint8 (K, …), rounded 255-fold."""
    terms = sum(_TERMS[of_class] for of_class in levels) + _TERMS[LEVELS - _foreground(levels)]
    return np.clip(terms / np.float32(np.log(len(levels) + 1)), 0, 1)  # rounded probabilities may sum to more than 1


def case_entropy(probabilities: np.ndarray) -> CaseEntropy:
    """The entropy of a case. probabilities: uint8 (K, D, H, W), which may be memory-mapped: it is read in parts."""
    sums, step = EntropySums(), max(1, _PART_PIXELS // probabilities.shape[3])
    for page, top in product(range(probabilities.shape[1]), range(0, probabilities.shape[2], step)):
        sums.add(Band(page, top, np.asarray(probabilities[:, page, top : top + step])))
        let_go(probabilities)
    return sums.result


class EntropySums:
    """The entropy of a case that comes in bands, from its first slice on."""

    def __init__(self) -> None:
        self._of_pages: dict[int, float] = defaultdict(float)
        self._pixels = 0

    def add(self, band: Band) -> None:
        """Count a band."""
        step = max(1, _PART_PIXELS // band.values.shape[2])
        for top in range(0, band.values.shape[1], step):
            levels = band.values[:, top : top + step]
            possible = _foreground(levels) >= POSSIBLE * LEVELS
            self._of_pages[band.page] += pixel_entropy(levels)[possible].sum(dtype=np.float64)
            self._pixels += int(possible.sum())

    @property
    def result(self) -> CaseEntropy:
        """The entropy of what has come."""
        if not self._pixels:
            return CaseEntropy(0.0, 0, 0)
        sums = np.array(list(self._of_pages.values()))
        return CaseEntropy(float(sums.sum() / self._pixels), self._pixels, list(self._of_pages)[sums.argmax()])


def least_confident(rows: Sequence[Mapping[str, Any]], name: str = "id") -> list[Mapping[str, Any]]:
    """The cases that a person should look at, least confident first: four, but no more than half of them.

    rows: with `confidence`, and `name`, which decides among equals.
    """
    most = min(LISTED, (len(rows) + 1) // 2)
    return sorted(rows, key=lambda row: (row["confidence"], row[name]))[:most]


class EntropyMap:
    """The entropy of a slice, drawn band by band: `levels`, uint8 (h, w), its 255-fold.

    Of a larger slice every second, third, … row and column is drawn, so that no side exceeds `MAP_SIDE`.
    """

    def __init__(self, height: int, width: int) -> None:
        self._step = -(-max(height, width) // MAP_SIDE)
        self.levels = np.zeros((-(-height // self._step), -(-width // self._step)), np.uint8)

    def add(self, band: Band) -> None:
        """Draw a band of the slice."""
        first = -(-band.top // self._step)
        rows = band.values[:, first * self._step - band.top :: self._step, :: self._step]
        self.levels[first : first + rows.shape[1]] = np.rint(pixel_entropy(rows) * LEVELS)


def draw_entropy(probabilities: np.ndarray, page: int) -> np.ndarray:
    """The `EntropyMap` of a slice of probabilities, uint8 (K, D, H, W), which may be memory-mapped."""
    height, width = probabilities.shape[2:]
    drawn, step = EntropyMap(height, width), max(1, _PART_PIXELS // width)
    for top in range(0, height, step):
        drawn.add(Band(page, top, np.asarray(probabilities[:, page, top : top + step])))
        let_go(probabilities)
    return drawn.levels


def _foreground(levels: np.ndarray) -> np.ndarray:
    """Stored probability of any class, int (…), of those of the classes."""
    return np.minimum(levels.sum(axis=0, dtype=np.int32), LEVELS)
