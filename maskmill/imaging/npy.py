"""Pictures in .npy files: arrays (H, W) or (H, W, C) of booleans, integers or floats, read in parts, never unpickled.

The format: numpy.lib.format. Files are mapped into memory for as long as a part is read and no longer.
"""

import os
from pathlib import Path
from tokenize import TokenError

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.imaging.signatures import NPY


def is_npy_path(path: str | os.PathLike) -> bool:
    """Whether a path is one of a .npy file, by its first bytes; False where there is no such file."""
    if not Path(path).is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(NPY)) == NPY


def npy_header(path: str | os.PathLike) -> tuple[int, int, int, np.dtype]:
    """Height, width, channels and dtype of what `read_npy` gives. Raises MaskmillError where it is no picture."""
    stored = _map(path)
    return *stored.shape, np.dtype(np.uint8) if stored.dtype == bool else stored.dtype.newbyteorder("=")


def read_npy(path: str | os.PathLike, raw: bool = False, window: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Values (H, W, C) in the machine's byte order, cut to a window (top, left, height, width) where one is given.

    Booleans become 0 and 255, raw 0 and 1. Raises MaskmillError where the file holds something else than a picture.
    """
    stored = _map(path)
    top, left, height, width = window or (0, 0, *stored.shape[:2])
    values = stored[top : top + height, left : left + width]
    if values.dtype == bool:
        return np.array(values, np.uint8, order="C") * np.uint8(1 if raw else 255)
    return np.array(values, values.dtype.newbyteorder("="), order="C")


def _map(path: str | os.PathLike) -> np.ndarray:
    """The file's values (H, W, C) as stored, memory-mapped."""
    try:
        stored = np.lib.format.open_memmap(path, mode="r")
    except TokenError as error:
        raise MaskmillError(f"it is damaged: {error}") from error
    except ValueError as error:
        if "Python objects" in str(error):
            raise MaskmillError("its array holds Python objects, which are never loaded; save numbers") from error
        raise
    if stored.dtype.kind not in "biuf":
        raise MaskmillError(f"its values are {stored.dtype}; a picture has booleans, integers or floats")
    if stored.ndim not in (2, 3) or stored.size == 0:
        raise MaskmillError(
            f"its array is of shape {stored.shape}; a picture is (height, width) or (height, width, channels)"
        )
    return stored.reshape(*stored.shape[:2], -1)
