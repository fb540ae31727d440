"""TIFF pictures: any bit depth, bands beside or behind one another, compressed or not.

Of a file with several pages the first is read, except where the pages are the bands of one picture.
"""

from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np
import tifffile
from PIL import Image

from maskmill.errors import MaskmillError

_MINISWHITE, _PALETTE, _SEPARATED, _YCBCR, _CIELAB = 0, 3, 5, 6, 8
_ALPHA = (1, 2)


@dataclass(frozen=True)
class _Layout:
    """The picture that is read: size as stored, axis letters of the stored array, and orientation as in EXIF."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    axes: str
    orientation: int


def read_tiff(file: BinaryIO, raw: bool) -> tuple[np.ndarray, int]:
    """Read the first picture of a TIFF file: (H, W, C) as stored, alpha dropped, and its orientation (1 to 8).

    raw: leave palette and bilevel pictures as the values stored instead of colours and 0/255.
    Raises MaskmillError where no installed decoder knows the compression.
    """
    with tifffile.TiffFile(file) as tiff:
        layout, page = _layout(tiff, raw), tiff.pages[0]
        if page.photometric in (_SEPARATED, _YCBCR, _CIELAB):
            return _by_pillow(file, layout), 1
        try:
            pixels = tiff.series[0].asarray() if layout.axes == tiff.series[0].axes else page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return _compressed(file, layout, page)
        pixels = _bands_last(pixels, layout.axes)
        if page.photometric == _MINISWHITE:
            pixels = ~pixels if pixels.dtype.kind in "bu" else pixels
        if page.photometric == _PALETTE and not raw:
            pixels = (page.colormap >> 8).astype(np.uint8).T[pixels[:, :, 0]]
        if pixels.dtype == bool:
            pixels = pixels.astype(np.uint8) * (1 if raw else 255)
        return np.ascontiguousarray(pixels[:, :, : layout.channels]), layout.orientation


def tiff_header(file: BinaryIO, raw: bool = False) -> tuple[int, int, int, np.dtype, int]:
    """Height and width as stored, channels, dtype and orientation of what `read_tiff` gives."""
    with tifffile.TiffFile(file) as tiff:
        layout = _layout(tiff, raw)
        return layout.height, layout.width, layout.channels, layout.dtype, layout.orientation


def _layout(tiff: tifffile.TiffFile, raw: bool) -> _Layout:
    series, page = tiff.series[0], tiff.pages[0]
    axes, shape = series.axes, series.shape
    bands = next((axis for axis in "SC" if axis in axes), None)
    if bands is None and axes == "QYX" and shape[0] <= 4:
        bands = "Q"  # an array (C, H, W) written without a word about its axes
    if bands is None or len(axes) > 3:
        axes, shape = page.axes, page.shape
        bands = "S" if "S" in axes else None
    channels = shape[axes.index(bands)] if bands else 1
    dtype = np.dtype(np.uint8) if page.dtype == bool else np.dtype(page.dtype).newbyteorder("=")
    if page.photometric in (_SEPARATED, _YCBCR, _CIELAB) or (page.photometric == _PALETTE and not raw):
        channels, dtype = 3, np.dtype(np.uint8)
    elif page.extrasamples and page.extrasamples[-1] in _ALPHA:
        channels -= 1
    orientation = page.tags.get("Orientation")
    return _Layout(
        shape[axes.index("Y")],
        shape[axes.index("X")],
        channels,
        dtype,
        axes,
        int(orientation.value) if orientation else 1,
    )


def _bands_last(pixels: np.ndarray, axes: str) -> np.ndarray:
    """(H, W, C) of an array with these axes: Y, X and at most one of bands."""
    bands = [axis for axis in range(len(axes)) if axes[axis] not in "YX"]
    pixels = pixels.transpose(axes.index("Y"), axes.index("X"), *bands)
    return pixels.reshape(*pixels.shape[:2], -1)


def _compressed(file: BinaryIO, layout: _Layout, page: tifffile.TiffPage) -> tuple[np.ndarray, int]:
    """Decode what tifffile cannot alone: one band or 8 bits by Pillow, more by OpenCV (up to four bands)."""
    if page.dtype in (bool, np.uint8) or layout.channels == 1:
        return _by_pillow(file, layout), 1
    file.seek(0)
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape[2] < layout.channels:
        name = getattr(page.compression, "name", page.compression)
        raise MaskmillError(f"its compression {name} cannot be read; save it with deflate or without compression")
    return np.ascontiguousarray(pixels[:, :, [2, 1, 0, 3][: layout.channels]]), 1


def _by_pillow(file: BinaryIO, layout: _Layout) -> np.ndarray:
    """(H, W, C) as Pillow decodes it, which turns the picture upright by itself."""
    file.seek(0)
    with Image.open(file) as image:
        image.load()
        wanted = {1: None, 3: "RGB"}.get(layout.channels)
        if wanted and image.mode != wanted:
            image = image.convert(wanted)
        elif layout.channels == 1 and image.mode in ("1", "LA"):
            image = image.convert("L")
        pixels = np.asarray(image)
    return pixels.reshape(*pixels.shape[:2], -1)[:, :, : layout.channels]
