"""Resize pictures, probabilities and labels: pictures whole or in bands of rows, which give the same values.

Reducing averages areas, enlarging is bilinear; pixel centres lie at halves. Averages are those of OpenCV, bit by bit;
OpenCV itself cannot resize a band, as it would take the band for the whole picture.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

_MOST_CHANNELS = 4
"""Channels that OpenCV resizes at once."""

_NEGLIGIBLE = 1e-3
"""Part of a source pixel below which averages leave it out, as OpenCV's do."""


@dataclass(frozen=True, eq=False)
class _Taps:
    """Along one axis: each target pixel is a weighted sum of source pixels that follow one another.

    first: (target), the first of them; weights: (target, most), float32, 0 behind the last.
    """

    first: np.ndarray
    weights: np.ndarray

    def apply(self, values: np.ndarray, axis: int) -> np.ndarray:
        """Sums along the axis, one a target pixel; `first` counts from where `values` begin."""
        shape = [-1 if other == axis else 1 for other in range(values.ndim)]
        total = 0
        for tap, weights in enumerate(self.weights.T):
            chosen = np.minimum(self.first + tap, values.shape[axis] - 1)
            total = total + values.take(chosen, axis) * weights.astype(values.dtype).reshape(shape)
        return total


class Resampling:
    """From pictures of the size `source` (height, width) to `target`: area averaging down, bilinear up."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        self.identity = source == target
        fewer = target[0] <= source[0] and target[1] <= source[1]
        whole = fewer and source[0] % target[0] == 0 and source[1] % target[1] == 0
        self._factor, self._width = source[0] // target[0] if whole else 0, target[1]
        taps = _area_taps if fewer else _linear_taps
        self._down, self._along = (taps(*lengths) for lengths in zip(source, target, strict=True))
        self._reach = self._down.weights.shape[1]
        self._height = source[0]

    def source_rows(self, start: int, stop: int) -> slice:
        """The source rows that the target rows from `start` to before `stop` are made of."""
        return slice(int(self._down.first[start]), min(int(self._down.first[stop - 1]) + self._reach, self._height))

    def target_rows(self, start: int, stop: int) -> slice:
        """The target rows that any of the source rows from `start` to before `stop` may have a part in."""
        begin = np.searchsorted(self._down.first + self._reach, start, side="right")
        return slice(int(begin), int(np.searchsorted(self._down.first, stop)))

    def complete_rows(self, stop: int) -> int:
        """How many target rows, from the first on, are made of the source rows before `stop` alone."""
        ends = np.minimum(self._down.first + self._reach, self._height)
        return int(np.searchsorted(ends, stop, side="right"))

    def rows(self, values: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Target rows (stop - start, width, C) from their source rows `source_rows(start, stop)`, in the same dtype."""
        if self.identity:
            return values
        if self._factor and values.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64):
            return self._reduce(values, stop - start)
        exact = values.dtype in (np.uint8, np.uint16, np.int8, np.int16, np.float16, np.float32)
        down = _Taps(self._down.first[start:stop] - self._down.first[start], self._down.weights[start:stop])
        resized = down.apply(self._along.apply(values.astype(np.float32 if exact else np.float64), 1), 0)
        return (resized if values.dtype.kind == "f" else np.rint(resized)).astype(values.dtype)

    def _reduce(self, values: np.ndarray, height: int) -> np.ndarray:
        """Means of blocks of pixels, which OpenCV has a faster way for, that rounds halves up."""
        groups = np.split(values, range(_MOST_CHANNELS, values.shape[2], _MOST_CHANNELS), axis=2)
        size = self._width, height
        reduced = (cv2.resize(np.ascontiguousarray(group), size, interpolation=cv2.INTER_AREA) for group in groups)
        return np.concatenate([part.reshape(height, self._width, -1) for part in reduced], axis=2)


@lru_cache(maxsize=64)  # small pictures of one size come by the thousand
def _area_taps(source: int, target: int) -> _Taps:
    """Weights of averages over source / target pixels each."""
    scale = source / target
    begin = np.arange(target) * scale
    cell = np.minimum(scale, source - begin)
    last = np.minimum(np.floor(begin + scale), source - 1).astype(int)
    second = np.minimum(np.ceil(begin), last).astype(int)
    before, after = second - begin, begin + scale - last
    first = np.where(before > _NEGLIGIBLE, second - 1, second)
    end = np.maximum(np.where(after > _NEGLIGIBLE, last + 1, last), first + 1)
    pixel = first[:, np.newaxis] + np.arange(int((end - first).max()))
    weights = np.where((pixel >= second[:, None]) & (pixel < last[:, None]), 1.0, 0.0)
    weights += np.where(pixel < second[:, None], before[:, None], 0)
    reached = np.where(after > _NEGLIGIBLE, np.minimum(np.minimum(after, 1), cell), 0)
    weights += np.where(pixel == last[:, None], reached[:, None], 0)
    return _Taps(first, (weights / cell[:, np.newaxis]).astype(np.float32))


@lru_cache(maxsize=64)
def _linear_taps(source: int, target: int) -> _Taps:
    """Weights of the two source pixels whose centres are nearest; beyond the outer ones, of the outer one."""
    centre = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    first = np.minimum(np.floor(centre).astype(int), max(0, source - 2))
    share = (centre - first).astype(np.float32)
    return _Taps(first, np.stack([1 - share, share], axis=1))


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture or probabilities (H, W, C), keeping the dtype: area averaging down, bilinear up."""
    return Resampling(image.shape[:2], (height, width)).rows(image, 0, height)


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a label image (H, W) of class indices by nearest neighbour."""
    if labels.shape == (height, width):
        return labels
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width, at least 1, of a picture scaled by `scale`; halves round up."""
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
