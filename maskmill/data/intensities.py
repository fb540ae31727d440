"""Which stored values become 0 and 1: one range for all pictures, or each picture's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskmill.data.cache import CachedSample

WIDEST = 2.0
"""Widest range, by the narrowest, from which on each picture has its own."""

LEAST_COMMON = 0.1
"""Part of the middle range that pictures have in common below which each has its own."""

ODD = 10
"""One picture of this many may be as narrow, low or high as it likes: an empty one says little about the others."""


@dataclass(frozen=True)
class Intensities:
    """The choice: (low, high) of each channel, or None for each picture's own percentiles; its kind and its reason.

    kind: "window", "8-bit", "dataset" or "image".
    """

    ranges: tuple[tuple[float, float], ...] | None
    kind: str
    reason: str


def choose_intensities(percentiles: np.ndarray, dtypes: Sequence[str], options: Mapping[str, Any]) -> Intensities:
    """Choose as the options `window` and `intensities` say, and where that is "auto" as the pictures advise.

    percentiles: of the training pictures (pictures, channels, 2). dtypes: pixel types of all pictures of the data set.
    """
    channels = percentiles.shape[1]
    if options["window"]:
        center, width = options["window"]
        return Intensities(((center - width / 2, center + width / 2),) * channels, "window", "preprocess.window is set")
    if options["intensities"] == "image":
        return Intensities(None, "image", "preprocess.intensities is image")
    whole = tuple(
        (float(channel[:, 0].min()), float(channel[:, 1].max())) for channel in percentiles.transpose(1, 0, 2)
    )
    if options["intensities"] == "dataset":
        return Intensities(whole, "dataset", "preprocess.intensities is dataset")
    if len(set(dtypes)) > 1:
        return Intensities(None, "image", f"the pixel types differ ({', '.join(sorted(set(dtypes)))})")
    if dtypes[0] == "uint8":
        return Intensities(((0.0, 255.0),) * channels, "8-bit", "all pictures have 8 bits")
    if difference := _difference(percentiles):
        return Intensities(None, "image", difference)
    return Intensities(whole, "dataset", "the pictures' ranges of values are alike")


def _difference(percentiles: np.ndarray) -> str | None:
    """In what the ranges of pictures (pictures, channels, 2) differ, if they do so widely in a channel."""
    for low, high in percentiles.transpose(1, 2, 0):
        widths, odd = np.sort(high - low), len(low) // ODD
        if widths[-1] > WIDEST * widths[odd]:
            return f"the widest range of values in a picture is {widths[-1] / widths[odd]:.1f} times the narrowest"
        common = np.sort(high)[odd] - np.sort(low)[-1 - odd]
        if common < LEAST_COMMON * np.median(widths):
            return "the pictures' ranges of values hardly overlap"
    return None


def common_percentiles(samples: Sequence[CachedSample], channels: int) -> np.ndarray:
    """The value percentiles of pictures (pictures, channels, 2); those of grey ones stand for every channel."""
    return np.stack([np.broadcast_to(sample.percentiles, (channels, 2)) for sample in samples])
