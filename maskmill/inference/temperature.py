"""Temperature scaling: probabilities that mean what they say, by one number chosen on validation [1].

p_k ∝ p_k^(1/T) over background and the K classes, which is dividing logits by T: above 1 it makes a network less sure,
below 1 surer. Of averaged probabilities (ensembles, turned tiles) it is taken after the mean [2].

References
----------
.. [1] Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", ICML.
.. [2] Rahaman & Thiery (2021), "Uncertainty quantification and deep ensembles", NeurIPS.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from maskmill.classes import IGNORE
from maskmill.imaging.lazy import let_go
from maskmill.inference.sliding_window import LEVELS

_PART_PIXELS = 1 << 20
_SHARES = np.arange(LEVELS + 1) / LEVELS
_LEAST = 0.5 / LEVELS
"""Probability that a class which is rounded to 0 is judged by."""


def scale_probabilities(levels: np.ndarray, temperature: float) -> np.ndarray:
    """Rounded probabilities at a temperature, uint8 (K, …), from those of the network, uint8 (K, …), 255-fold.

    What is rounded to 0 or to 1 stays so. A temperature of 1 gives the same array, others a new one.
    """
    if temperature == 1:
        return levels
    table = _powers(temperature)
    if len(levels) == 1:
        return np.rint(LEVELS * table / (table + table[::-1])).astype(np.uint8)[levels]
    flat = levels.reshape(len(levels), -1)
    scaled = np.empty(flat.shape, np.uint8)
    for part in _parts(flat.shape[1]):
        weights = table[_with_background(flat[:, part])]
        scaled[:, part] = np.rint(LEVELS * weights[1:] / weights.sum(axis=0))
    return scaled.reshape(levels.shape)


def log_losses(levels: np.ndarray, reference: np.ndarray, temperatures: Sequence[float]) -> np.ndarray:
    """Negative log-likelihood of the labels at each temperature, float64 (temperatures): means over pixels, in nats.

    levels: uint8 (K, D, H, W), 255-fold probabilities, which may be memory-mapped; reference: label values (D, H, W).
    NaN where every pixel is ignored. A class that is rounded to 0 counts as half a level.
    """
    tables = [_powers(temperature) for temperature in temperatures]
    sums, pixels = np.zeros(len(tables)), 0
    flat, every_label = levels.reshape(len(levels), -1), reference.reshape(-1)
    for part in _parts(len(every_label)):
        labels = every_label[part]
        valid = labels != IGNORE
        every = _with_background(flat[:, part])[:, valid]
        true = np.take_along_axis(every, labels[valid].astype(np.intp)[np.newaxis], axis=0)[0]
        for number, table in enumerate(tables):
            share = table[true] / table[every].sum(axis=0)
            sums[number] -= np.log(np.maximum(share, _LEAST)).sum(dtype=np.float64)
        pixels += int(valid.sum())
        let_go(levels)
    return sums / pixels if pixels else np.full(len(tables), np.nan)


def _powers(temperature: float) -> np.ndarray:
    """p^(1/T) of every stored probability, float32 (256)."""
    return (_SHARES ** (1 / temperature)).astype(np.float32)


def _with_background(levels: np.ndarray) -> np.ndarray:
    """Stored probabilities of background and classes, uint8 (K + 1, …); rounded ones may sum to more than 1."""
    taken = np.minimum(levels.sum(axis=0, dtype=np.int32), LEVELS)
    return np.concatenate([(LEVELS - taken).astype(np.uint8)[np.newaxis], levels])


def _parts(pixels: int) -> Iterator[slice]:
    """Pieces of so many pixels, of about a million at most."""
    return (slice(first, first + _PART_PIXELS) for first in range(0, pixels, _PART_PIXELS))
