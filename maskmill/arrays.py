"""Arrays as .npy files that are whole, or else an error: NumPy's own `tofile` and `save` may not notice a full disk."""

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def write_header(file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Write what a .npy file begins with, of an array in C order."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def write_values(file: BinaryIO, array: np.ndarray) -> None:
    """Append the values of an array in C order. Raises OSError where not all can be written."""
    file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def save_array(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write a .npy file, of an array in C order the bytes of `np.save`."""
    with open(path, "wb") as file:
        write_header(file, array.dtype, array.shape)
        write_values(file, array)


def create_array(path: str | os.PathLike, dtype: Any, shape: tuple[int, ...]) -> np.memmap:
    """A .npy file of zeros to be filled, memory-mapped. Raises OSError where the disk has no room for all of it."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with open(path, "r+b") as file:
        reserve(file, Path(path).stat().st_size)
    return array


def reserve(file: BinaryIO, size: int) -> None:
    """Take room on the disk for the first `size` bytes of a file.

    What is written to a memory-mapped file that lacks it kills the process. Raises OSError where there is no room.
    """
    if not size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # which say that the file system cannot reserve
            raise
