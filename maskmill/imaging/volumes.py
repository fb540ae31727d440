"""Stacks of slices - NIfTI volumes, DICOM series, TIFF files of several pages - read whole or slice by slice.

Axes: a NIfTI array is stored (i, j, k); everywhere here it is (D, H, W, C) with D = k, H = j and W = i. Nothing is
flipped, turned or resampled, so a voxel keeps its indices and the affine of the file stays true of them.
"""

import gzip
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np

from maskmill.dag.pictures import VOLUME_SUFFIXES, dicom_files, is_dicom
from maskmill.errors import MaskmillError
from maskmill.imaging.images import ImageError, explained, is_tiff, opened

_KEPT_STACKS = 8
_KEPT_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class StackHeader:
    """Size and geometry of a stack.

    dtype: name of the type of the values as they are read. spacing: distance of slices, rows and columns (z, y, x) in
    `unit`: "mm" (DICOM, NIfTI that says nothing else), "µm" (microscopy), "m", or "px" where a TIFF file does not say.
    affine: 4 × 4, takes the voxel (i, j, k), that is (column, row, slice), to its place (right, anterior, superior) in
    the same unit; None where there is none.
    """

    depth: int
    height: int
    width: int
    channels: int
    dtype: str
    spacing: tuple[float, float, float]
    unit: str
    affine: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(D, H, W, C)."""
        return self.depth, self.height, self.width, self.channels

    @property
    def bytes(self) -> int:
        """Size of all values."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, eq=False)
class Volume:
    """A stack's values, pixels (D, H, W, C) in the stored dtype, with spacing, unit and affine as in `StackHeader`."""

    pixels: np.ndarray
    spacing: tuple[float, float, float]
    unit: str
    affine: np.ndarray | None


class Stack(Protocol):
    """A stack that is open for reading. kept: how many bytes of decoded values it holds."""

    header: StackHeader
    kept: int

    def page(self, number: int, raw: bool) -> np.ndarray:
        """Values (H, W, C) of a slice; raw: of palette and bilevel pages the values stored."""

    def pixels(self, raw: bool) -> np.ndarray:
        """Values (D, H, W, C) of all slices."""


def is_nifti(path: str | os.PathLike) -> bool:
    """Whether a path is one of a NIfTI file, by its name."""
    return os.fspath(path).lower().endswith(VOLUME_SUFFIXES)


def is_stack(path: str | os.PathLike) -> bool:
    """Whether a path is one of a stack: a NIfTI file, a folder with DICOM files, a TIFF file of several pictures.

    No stacks are TIFF files whose pages are bands, reduced copies, thumbnails or masks of the first. False where the
    file cannot be read.
    """
    if Path(path).is_dir():
        return any(is_dicom(file) for file in sorted(Path(path).iterdir()))
    if is_nifti(path):
        return Path(path).is_file()
    try:
        with opened(path) as file:
            if not is_tiff(file):
                return False
            from maskmill.imaging.tiff import tiff_layout

            return bool(tiff_layout(file).pages)
    except ImageError:
        return False


def stack_header(path: str | os.PathLike) -> StackHeader:
    """Size and geometry of a stack, without decoding its values. Raises ImageError where it cannot be read."""
    return _kept_stack(path).header


def page_header(path: str | os.PathLike, page: int) -> StackHeader:
    """What `stack_header` gives, if the stack has a slice `page`. Raises ImageError where it has none."""
    header = stack_header(path)
    if page >= header.depth:
        raise ImageError(f"{path}#page={page}", f"the stack has the slices 0 to {header.depth - 1}")
    return header


def read_volume(path: str | os.PathLike, raw: bool = False) -> Volume:
    """Read a whole stack. raw: leave palette and bilevel TIFF pages as the values stored, see `images.read_values`.

    Integers stay as stored, but scaled ones (NIfTI slope and intercept) become float32; a DICOM series has its rescaled
    values (Hounsfield units), int16 where these are such, else float32. A fourth axis of NIfTI is that of channels.
    Raises ImageError where the stack cannot be read.
    """
    with explained(path):
        stack = _open_stack(path)
        header = stack.header
        return Volume(stack.pixels(raw), header.spacing, header.unit, header.affine)


def read_page(path: str | os.PathLike, page: int, raw: bool = False) -> np.ndarray:
    """Read a slice of a stack, from 0: (H, W, C), equal to `read_volume(path, raw).pixels[page]`.

    What can only be decoded whole is kept for the next slices: the last few stacks, up to 1 GiB together, or one that
    is larger. Safe to call from several threads. Raises ImageError where the slice cannot be read.
    """
    page_header(path, page)
    stack = _kept_stack(path)
    with explained(f"{path}#page={page}"):
        values = stack.page(page, raw)
    _forget_old()
    return values


def read_label_volume(path: str | os.PathLike) -> np.ndarray:
    """Read what `write_label_volume` wrote: (D, H, W) uint8 class indices. ImageError where it is something else."""
    pixels = read_volume(path).pixels
    if pixels.dtype != np.uint8 or pixels.shape[3] != 1:
        raise ImageError(path, f"it holds {pixels.shape[3]} × {pixels.dtype} a voxel where a class index is expected")
    return pixels[..., 0]


def write_label_volume(path: str | os.PathLike, labels: np.ndarray, like: str | os.PathLike) -> None:
    """Write class indices (D, H, W) uint8 of the stack `like` as .nii.gz in that stack's geometry. Makes folders.

    Of a NIfTI file the label volume has every field that places voxels in space, so that its affine, orientation and
    spacing are exactly the same. Equal labels give equal bytes.
    """
    header = stack_header(like)
    if labels.dtype != np.uint8 or labels.shape != header.shape[:3]:
        raise ValueError(f"labels must be uint8 {header.shape[:3]}, not {labels.dtype} {labels.shape}")
    from maskmill.imaging.nifti import label_image

    content = label_image(labels, header, like).to_bytes()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(content)


def stack_files(path: str | os.PathLike) -> list[Path]:
    """The files that make up a picture or stack, sorted: the DICOM files of a folder, else the file itself."""
    return dicom_files(path) if Path(path).is_dir() else [Path(path)]


class _TiffStack:
    """The pages of a TIFF file. Compressed ones are kept once decoded, as finding one takes reading where all lie."""

    def __init__(self, path: str | os.PathLike) -> None:
        from maskmill.imaging.tiff import tiff_stack

        with opened(path) as file:
            if not is_tiff(file):
                raise MaskmillError("it is no stack of slices")
            layout, spacing, unit, self._apart = tiff_stack(file)
        if len(layout.pages) != 1:
            found = " × ".join(f"{size} {axis}" for axis, size in layout.pages.items()) or "a single page"
            raise MaskmillError(f"it has {found} where a stack has one axis of pages; save each part as a file")
        if layout.orientation != 1:
            raise MaskmillError(f"its pages are turned (orientation {layout.orientation}); save them upright")
        size = (*layout.pages.values(), layout.height, layout.width, layout.channels)
        self.header = StackHeader(*size, layout.dtype.name, spacing, unit, None)
        self.kept = 0
        self._path = path
        self._decoded: dict[bool, np.ndarray] = {}
        self._lock = Lock()

    def page(self, number: int, raw: bool) -> np.ndarray:
        if self._apart or self.header.bytes > _KEPT_BYTES // 2:
            return next(self._pages(raw, [number]))
        with self._lock:
            if raw not in self._decoded:
                self._decoded[raw] = self.pixels(raw)
                self.kept = sum(values.nbytes for values in self._decoded.values())
            return self._decoded[raw][number].copy()

    def pixels(self, raw: bool) -> np.ndarray:
        pages = self._pages(raw, range(self.header.depth))
        first = next(pages)
        pixels = np.empty((self.header.depth, *first.shape), first.dtype)
        pixels[0] = first
        for number, page in enumerate(pages, 1):
            pixels[number] = page
        return pixels

    def _pages(self, raw: bool, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        from maskmill.imaging.tiff import read_tiff_pages

        with opened(self._path) as file:
            yield from read_tiff_pages(file, raw, numbers)


_OPEN: OrderedDict[tuple, Stack] = OrderedDict()
_LOCK = Lock()


def _kept_stack(path: str | os.PathLike) -> Stack:
    """The stack, opened before or now; opened again if its files changed."""
    with explained(path):
        key = (os.fspath(path), _state(path))
        with _LOCK:
            if key in _OPEN:
                _OPEN.move_to_end(key)
                return _OPEN[key]
        stack = _open_stack(path)
        with _LOCK:
            _OPEN[key] = stack
            while len(_OPEN) > _KEPT_STACKS:
                _OPEN.popitem(last=False)
        return stack


def _forget_old() -> None:
    with _LOCK:
        while len(_OPEN) > 1 and sum(stack.kept for stack in _OPEN.values()) > _KEPT_BYTES:
            _OPEN.popitem(last=False)


def forget_stack(path: str | os.PathLike) -> None:
    """Let go of what is kept of a stack for its next slices: for those whose file does not last."""
    with _LOCK:
        for key in [key for key in _OPEN if key[0] == os.fspath(path)]:
            del _OPEN[key]


def _state(path: str | os.PathLike) -> tuple:
    """What changes when a stack's files do: names, sizes and times of modification."""
    states = [(file.name, file.stat()) for file in stack_files(path)]
    return tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states)


def _open_stack(path: str | os.PathLike) -> Stack:
    if Path(path).is_dir():
        from maskmill.imaging.dicom import DicomSeries

        return DicomSeries(path)
    if is_nifti(path):
        from maskmill.imaging.nifti import NiftiStack

        return NiftiStack(path)
    return _TiffStack(path)
