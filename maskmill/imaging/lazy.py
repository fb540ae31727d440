"""Pictures and volumes that are read in parts: what is cut out of them is decoded only when it becomes an array.

They are used like arrays (D, H, W, C) as stored, memory-mapped ones for instance: `picture[pages, rows, columns]`, each
a slice, is a part, and `numpy.asarray(part)` its values.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.arrays import reserve
from maskmill.imaging.images import image_header, open_windows, read_image
from maskmill.imaging.resampling import Resampling, scaled_size
from maskmill.imaging.volumes import read_page, stack_header

Box = tuple[slice, slice, slice]
"""Pages, rows and columns, each from a start to a stop."""

_KEPT_BYTES = 1 << 26
"""Pictures up to this size are decoded once, whole."""


@dataclass(frozen=True, eq=False)
class LazyPicture:
    """A part of a picture or volume that is not in memory.

    box: what it shows of the whole; read: from a box of the whole to values (D, H, W, C).
    """

    box: Box
    channels: int
    dtype: np.dtype
    read: Callable[[Box], np.ndarray]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(D, H, W, C)."""
        return *(side.stop - side.start for side in self.box), self.channels

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, window: slice | tuple[slice, ...]) -> "LazyPicture":
        window = window if isinstance(window, tuple) else (window,)
        window += (slice(None),) * (3 - len(window))
        return replace(self, box=tuple(_within(side, part) for side, part in zip(self.box, window, strict=True)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(self.box), dtype)


def _within(side: slice, part: slice) -> slice:
    start, stop, _ = part.indices(side.stop - side.start)
    return slice(side.start + start, side.start + max(start, stop))


@contextmanager
def open_pixels(path: str | os.PathLike, is_volume: bool) -> Iterator[np.ndarray | LazyPicture]:
    """A picture or volume as stored (D, H, W, C), D = 1 for a picture, to be read by one thread within the block.

    Of TIFF files no more than the tiles or strips that are asked for is decoded, of .npy files no more than the window,
    of volumes no more than the slices, but of compressed NIfTI files; any other picture, which can only be decoded
    whole, is an array, at most of `images.MAX_PIXELS` pixels. Raises ImageError where it cannot be read.
    """
    if is_volume:
        header = stack_header(path)
        yield _whole(header.shape, np.dtype(header.dtype), lambda box: _read_slices(path, box))
        return
    width, height, channels, dtype = image_header(path)
    if height * width * channels * np.dtype(dtype).itemsize <= _KEPT_BYTES:
        yield read_image(path)[np.newaxis]
        return
    with open_windows(path) as read:

        def rows(box: Box) -> np.ndarray:
            _, down, along = box
            return read(down.start, along.start, down.stop - down.start, along.stop - along.start)[np.newaxis]

        yield _whole((1, height, width, channels), np.dtype(dtype), rows)


def _whole(shape: tuple[int, int, int, int], dtype: np.dtype, read: Callable[[Box], np.ndarray]) -> LazyPicture:
    return LazyPicture(tuple(slice(0, side) for side in shape[:3]), shape[3], dtype, read)


def _read_slices(path: str | os.PathLike, box: Box) -> np.ndarray:
    pages, down, along = box
    return np.stack([read_page(path, number)[down, along] for number in range(pages.start, pages.stop)])


def scale_picture(image: np.ndarray | LazyPicture, scale: float) -> np.ndarray | LazyPicture:
    """A picture or volume (D, H, W, C) with height and width scaled by `scale`; the number of slices stays.

    A small one, or one that stays as it is, is given as it came; of a large one only the rows asked for are scaled.
    """
    depth, height, width, channels = image.shape
    size = scaled_size(height, width, scale)
    if size == (height, width):
        return image
    resampling = Resampling((height, width), size)

    def read(box: Box) -> np.ndarray:
        pages, down, along = box
        source = resampling.source_rows(down.start, down.stop)
        numbers = range(pages.start, pages.stop)
        slices = (np.asarray(image[number : number + 1, source])[0] for number in numbers)
        return np.stack([resampling.rows(page, down.start, down.stop)[:, along] for page in slices])

    scaled = _whole((depth, *size, channels), image.dtype, read)
    small = depth * size[0] * size[1] * channels * image.dtype.itemsize <= _KEPT_BYTES
    return np.asarray(scaled) if small else scaled


def let_go(image: np.ndarray | LazyPicture) -> None:
    """Take what was read of, or written to, a memory-mapped file out of this process's memory; the file keeps it."""
    while isinstance(image, np.ndarray):
        if isinstance(image, np.memmap) and image.mode == "c":
            return  # what was written is nowhere else
        image = image.base
    if isinstance(image, mmap.mmap) and hasattr(image, "madvise"):
        image.madvise(mmap.MADV_DONTNEED)


def zeros(shape: tuple[int, ...], folder: str | os.PathLike | None = None) -> np.ndarray:
    """An array of zeros, uint8: in memory, or a large one in a file that vanishes with it.

    folder: where the file lies, None where the system keeps such files. Makes folders.
    """
    if math.prod(shape) <= _KEPT_BYTES:
        return np.zeros(shape, np.uint8)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve(file, math.prod(shape))
        return np.memmap(file, np.uint8, "w+", shape=shape)
