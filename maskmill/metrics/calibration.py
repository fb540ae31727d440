"""Whether probabilities mean what they say: reliability, expected calibration error, Brier score.

Each class by itself, as a question with two answers: is a pixel of the class or not.

References
----------
.. [1] Brier (1950), "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78(1).
.. [2] Naeini, Cooper & Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning", AAAI (ECE).
.. [3] Guo, Pleiss, Sun & Weinberger (2017), "On calibration of modern neural networks", ICML (15 bins).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from maskmill.metrics import LEVELS

BINS = 15
"""Bins of equal width: [0, 1/15), [1/15, 2/15), … [14/15, 1]."""


@dataclass(frozen=True)
class Calibration:
    """Pixels at each stored probability 0, 1, … 255 of a class; those of several pictures add up.

    pixels, positives: int64 (256), all pixels, and those of the class.
    """

    pixels: np.ndarray
    positives: np.ndarray

    def __add__(self, other: "Calibration") -> "Calibration":
        return Calibration(self.pixels + other.pixels, self.positives + other.positives)

    def brier(self) -> float | None:
        """Brier score [1]: mean squared difference of the probability from 1 (class) or 0; None without a pixel."""
        probability, total = np.arange(LEVELS + 1) / LEVELS, self.pixels.sum()
        squares = self.positives * (1 - probability) ** 2 + (self.pixels - self.positives) * probability**2
        return float(squares.sum() / total) if total else None

    def ece(self) -> float | None:
        """Expected calibration error [2]: mean over pixels of |share of the class − mean probability| of their bin."""
        gaps = [row["pixels"] * abs(row["share"] - row["probability"]) for row in self.reliability()]
        return sum(gaps) / int(self.pixels.sum()) if gaps else None

    def reliability(self) -> list[dict[str, Any]]:
        """A row for each bin with pixels: low, high (of the bin), pixels, mean probability, share of the class."""
        levels = np.arange(LEVELS + 1)
        bins = np.minimum(levels * BINS // LEVELS, BINS - 1)
        pixels, positives, sums = (
            np.bincount(bins, weights, BINS) for weights in (self.pixels, self.positives, self.pixels * levels)
        )
        return [
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "pixels": int(pixels[number]),
                "probability": float(sums[number] / pixels[number] / LEVELS),
                "share": float(positives[number] / pixels[number]),
            }
            for number in np.flatnonzero(pixels).tolist()
        ]


def join_reliability(tables: Iterable[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of `Calibration.reliability` of several models as one table, pixels of a bin taken together."""
    bins: dict[float, list[Mapping[str, Any]]] = {}
    for row in chain.from_iterable(tables):
        bins.setdefault(row["low"], []).append(row)
    joined = []
    for _, rows in sorted(bins.items()):
        weights = [row["pixels"] for row in rows]
        means = {
            name: float(np.average([row[name] for row in rows], weights=weights)) for name in ("probability", "share")
        }
        joined.append({"low": rows[0]["low"], "high": rows[0]["high"], "pixels": sum(weights), **means})
    return joined


def calibration(levels: np.ndarray, reference: np.ndarray, valid: np.ndarray) -> Calibration:
    """Count what `Calibration` holds: levels uint8, stored probabilities of a class; boolean reference and valid."""
    return Calibration(*(np.bincount(levels[mask], minlength=LEVELS + 1) for mask in (valid, reference & valid)))
