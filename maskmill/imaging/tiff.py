"""TIFF pictures and stacks: any bit depth, bands beside or behind one another, compressed or not, whole or in windows.

tifffile reads; GDAL decodes windows, and what tifffile cannot decode alone; Pillow converts CMYK and CIELAB.
"""

import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image

from maskmill.errors import MaskmillError

Window = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""

MAX_CHANNELS = 4096
"""Greatest number of channels of a picture: more than any sensor's, and less than damaged headers promise."""

_MINISWHITE, _PALETTE, _SEPARATED, _YCBCR, _CIELAB = 0, 3, 5, 6, 8
_CONVERTED = (_SEPARATED, _YCBCR, _CIELAB)
_ALPHA = (1, 2)
_MOST_COLOURS = 5  # CMYK with alpha
_MOST_BAND_PAGES = 4
_CACHE_MEGABYTES = 64
_MICROMETRES = {"nm": 1e-3, "um": 1.0, "micron": 1.0, "\\u00b5m": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


@dataclass(frozen=True)
class TiffLayout:
    """What a TIFF file holds: the pictures of its first series, each as `read_tiff` gives it.

    height, width: as stored; orientation: as in EXIF, 1 is upright. axes: letters of the stored array (tifffile's).
    pages: the axes along which pictures follow one another, and how many do; a picture alone has none.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype
    orientation: int
    axes: str
    pages: dict[str, int]


def tiff_layout(file: BinaryIO, raw: bool = False) -> TiffLayout:
    """What a TIFF file holds, without decoding pixels. raw: as in `read_tiff`."""
    with _opened(file) as tiff:
        return _layout(tiff, raw)


def read_tiff(file: BinaryIO, raw: bool) -> tuple[np.ndarray, int]:
    """Read the first picture of a TIFF file: (H, W, C) as stored, alpha dropped, and its orientation (1 to 8).

    Pages that the file calls channels are the bands of one picture, and so are two to four pages about which it says
    no more than that they are one array.
    raw: leave palette and bilevel pictures as the values stored instead of colours and 0/255.
    Raises MaskmillError where the picture cannot be decoded.
    """
    with _opened(file) as tiff:
        layout = _layout(tiff, raw)
        turned = tiff.series[0].keyframe.photometric in (_SEPARATED, _CIELAB)
        return _picture(tiff, file, layout, raw, 0), 1 if turned else layout.orientation


def read_tiff_pages(file: BinaryIO, raw: bool, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """Read pictures of a TIFF file by their numbers, from 0, each as `read_tiff` does the first."""
    with _opened(file) as tiff:
        layout = _layout(tiff, raw)
        for number in numbers:
            yield _picture(tiff, file, layout, raw, number)


def tiff_stack(file: BinaryIO) -> tuple[TiffLayout, tuple[float, float, float], str, bool]:
    """What the file holds; distance of pages, rows and columns, and its unit; whether the pages lie there as one array.

    The unit is "µm" of OME-TIFF and ImageJ files; where the file does not say, distances are 1 "px".
    """
    with _opened(file) as tiff:
        layout = _layout(tiff, raw=False)
        sizes = _ome_sizes(tiff) if tiff.is_ome else _imagej_sizes(tiff) if tiff.is_imagej else ()
        contiguous = tiff.series[0].dataoffset is not None
    lengths = tuple(float(length) * _MICROMETRES.get(_plain(unit), np.nan) for length, unit in sizes)
    if len(lengths) < 3 or not np.isfinite(lengths).all() or min(lengths) <= 0:
        return layout, (1.0, 1.0, 1.0), "px", contiguous
    return layout, lengths, "µm", contiguous


@contextmanager
def tiff_windows(path: str | os.PathLike) -> Iterator[Callable[[Window], np.ndarray] | None]:
    """Yield a function that reads a window of what `read_tiff` gives, (H, W, C), without decoding the rest.

    Yields None where the file's parts cannot be decoded on their own: CMYK, CIELAB, turned pictures, pages without a
    directory of their own, and what GDAL cannot open. One thread at a time may use the function.
    """
    with open(path, "rb") as file, _opened(file) as tiff, ExitStack() as stack:
        layout, keyframe = _layout(tiff, raw=False), tiff.series[0].keyframe
        apart = layout.orientation == 1 and keyframe.photometric not in (_SEPARATED, _CIELAB)
        pages = _pages(tiff, layout, 0) if apart else []
        datasets = _opened_by_gdal(stack, os.fspath(path), pages)

        def read(window: Window) -> np.ndarray:
            return _finished(_bands(datasets, window), keyframe, layout, raw=False)

        yield read if datasets else None


def _opened(file: BinaryIO) -> tifffile.TiffFile:
    """The file for reading, without others that its OME-XML names.

    MaskmillError where the chain of its pages breaks off, as it does in truncated files.
    """
    file.seek(0)
    head = file.read(16)
    order, big = ("<" if head[:2] == b"II" else ">"), head[2:4] in (b"+\0", b"\0+")
    count_format, offset_format, entry_size = (order + "Q", order + "Q", 20) if big else (order + "H", order + "I", 12)
    (offset,) = struct.unpack_from(offset_format, head, 8 if big else 4)
    seen: set[int] = set()
    while offset and offset not in seen:
        seen.add(offset)
        try:
            file.seek(offset)
            (entries,) = struct.unpack(count_format, file.read(struct.calcsize(count_format)))
            file.seek(entries * entry_size, os.SEEK_CUR)
            (offset,) = struct.unpack(offset_format, file.read(struct.calcsize(offset_format)))
        except (struct.error, OSError, OverflowError, ValueError) as error:
            raise MaskmillError(
                f"it is damaged: its list of pages breaks off behind the page {len(seen) - 1}"
            ) from error
    file.seek(0)
    return tifffile.TiffFile(file, _multifile=False)


def _layout(tiff: tifffile.TiffFile, raw: bool) -> TiffLayout:
    if not tiff.pages[0].imagelength * tiff.pages[0].imagewidth:
        raise MaskmillError("it has no pixels")
    series, page = tiff.series[0], tiff.series[0].keyframe
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if not {"Y", "X"} <= sizes.keys():
        raise MaskmillError(f"it has no picture, but an array {series.shape} with the axes {series.axes}")
    bands = next((axis for axis in "SC" if axis in sizes), None)
    if series.axes == "QYX" and series.shape[0] <= _MOST_BAND_PAGES:
        bands = "Q"  # an array (C, H, W) written without a word about its axes
    channels = sizes[bands] if bands else 1
    if channels > MAX_CHANNELS:
        raise MaskmillError(f"it has {channels:,} channels, more than the {MAX_CHANNELS:,} that are read")
    dtype = np.dtype(np.uint8) if page.dtype == bool else np.dtype(page.dtype).newbyteorder("=")
    if dtype.kind == "c":
        raise MaskmillError(f"its values are complex numbers ({dtype}); save their magnitude, as floats of 32 bits")
    if page.photometric in (*_CONVERTED, _PALETTE) and channels > _MOST_COLOURS:
        raise MaskmillError(f"it has {channels:,} samples a pixel where its colours have {_MOST_COLOURS} at most")
    if page.photometric in _CONVERTED or (page.photometric == _PALETTE and not raw):
        channels, dtype = 3, np.dtype(np.uint8)
    elif page.extrasamples and page.extrasamples[-1] in _ALPHA:
        channels -= 1
    tag = page.tags.get("Orientation")
    orientation = int(tag.value) if tag else 1
    pages = {axis: size for axis, size in sizes.items() if axis not in ("Y", "X", bands)}
    return TiffLayout(sizes["Y"], sizes["X"], channels, dtype, orientation, series.axes, pages)


def _picture(tiff: tifffile.TiffFile, file: BinaryIO, layout: TiffLayout, raw: bool, number: int) -> np.ndarray:
    keyframe = tiff.series[0].keyframe
    if keyframe.photometric in (_SEPARATED, _CIELAB):
        return _by_pillow(file, _pages(tiff, layout, number)[0])
    return _finished(_stored(tiff, file, layout, number), keyframe, layout, raw)


def _stored(tiff: tifffile.TiffFile, file: BinaryIO, layout: TiffLayout, number: int) -> np.ndarray:
    """Stored values (H, W, bands) of the picture `number`; of YCbCr, RGB."""
    series, pages = tiff.series[0], _pages(tiff, layout, number)
    if series.keyframe.photometric == _YCBCR:  # decoded by GDAL everywhere, so that windows are the same
        return _by_gdal(file, pages)
    try:
        if not layout.pages:
            return _bands_last(series.asarray(), layout.axes)
        if series.dataoffset is not None:
            return _from_array(series, tiff.byteorder, file, layout, number)
        return np.concatenate([_bands_last(page.asarray(), page.axes) for page in pages], axis=2)
    except (ImportError, NotImplementedError, ValueError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
    return _by_gdal(file, pages)


def _from_array(
    series: tifffile.TiffPageSeries, byteorder: str, file: BinaryIO, layout: TiffLayout, number: int
) -> np.ndarray:
    """Picture `number` of a series that lies in the file as one array."""
    if hasattr(file, "name"):
        array = np.memmap(file, series.dtype.newbyteorder(byteorder), "r", series.dataoffset, series.shape)
    else:
        array = series.asarray()
    place = _place(layout, number)
    axes = "".join(axis for axis in layout.axes if axis not in place)
    return _bands_last(array[tuple(place.get(axis, slice(None)) for axis in layout.axes)], axes)


def _place(layout: TiffLayout, number: int) -> dict[str, int]:
    """Index along every axis of pages of the picture `number`."""
    indices = np.unravel_index(number, tuple(layout.pages.values())) if layout.pages else ()
    return dict(zip(layout.pages, map(int, indices), strict=True))


def _pages(tiff: tifffile.TiffFile, layout: TiffLayout, number: int) -> list[tifffile.TiffPage | tifffile.TiffFrame]:
    """The pages of the file that make up the picture `number`: one, or one a band. Empty where they are not apart."""
    series = tiff.series[0]
    inner = series.keyframe.axes
    lead = series.shape[: len(layout.axes) - len(inner)]
    if not layout.axes.endswith(inner) or set(inner) & layout.pages.keys() or len(series.pages) < np.prod(lead):
        return []
    place = _place(layout, number)
    chosen = tuple(place.get(axis, slice(None)) for axis in layout.axes[: len(lead)])
    pages = [series.pages[i] for i in np.arange(np.prod(lead, dtype=int)).reshape(lead)[chosen].ravel().tolist()]
    if None in pages:
        raise MaskmillError("pages that its description lists are missing")
    return [] if any(page.is_virtual for page in pages) else pages


def _bands_last(pixels: np.ndarray, axes: str) -> np.ndarray:
    """(H, W, C) of an array with these axes: Y, X and at most one of bands."""
    bands = [axis for axis in range(len(axes)) if axes[axis] not in "YX"]
    pixels = pixels.transpose(axes.index("Y"), axes.index("X"), *bands)
    return pixels.reshape(*pixels.shape[:2], -1)


def _finished(pixels: np.ndarray, page: tifffile.TiffPage, layout: TiffLayout, raw: bool) -> np.ndarray:
    """The picture's values from the stored ones (H, W, bands)."""
    if page.photometric == _YCBCR:
        return np.ascontiguousarray(pixels[:, :, :3])
    if page.dtype == bool:
        pixels = pixels.astype(bool)
    if page.photometric == _MINISWHITE and pixels.dtype.kind in "bu":
        pixels = ~pixels if pixels.dtype == bool else np.array(2**page.bitspersample - 1, pixels.dtype) - pixels
    if page.photometric == _PALETTE and not raw:
        pixels = (page.colormap >> 8).astype(np.uint8).T[pixels[:, :, 0]]
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * (1 if raw else 255)
    return np.ascontiguousarray(pixels[:, :, : layout.channels]).astype(layout.dtype, copy=False)


def _by_gdal(file: BinaryIO, pages: Sequence[tifffile.TiffPage]) -> np.ndarray:
    """Stored values (H, W, bands) of pages, one behind the other."""
    from rasterio.io import MemoryFile

    with ExitStack() as stack:
        path = getattr(file, "name", None)
        if path is None:
            file.seek(0)
            path = stack.enter_context(MemoryFile(file)).name
        datasets = _opened_by_gdal(stack, path, pages)
        if not datasets:
            name = getattr(pages[0].compression, "name", "") if pages else "none"
            raise MaskmillError(f"it cannot be decoded (compression {name}); save it with deflate or without")
        return _bands(datasets, None)


def _opened_by_gdal(stack: ExitStack, path: str, pages: Sequence[tifffile.TiffPage]) -> list[Any]:
    """A data set of each page, closed with the stack; none where GDAL cannot open them."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE_MEGABYTES, GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"))
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # for good: catch_warnings is not safe in threads
    names = [f"GTIFF_DIR:off:{page.offset}:{path}" for page in pages]
    try:
        return [stack.enter_context(rasterio.open(name, driver="GTiff", sharing=False)) for name in names]
    except RasterioIOError:
        return []


def _bands(datasets: Sequence[Any], window: Window | None) -> np.ndarray:
    """Values (H, W, bands) of a window of all data sets, or of the whole."""
    from rasterio.windows import Window as Part

    part = Part(window[1], window[0], window[3], window[2]) if window else None
    return np.concatenate([dataset.read(window=part) for dataset in datasets]).transpose(1, 2, 0)


def _by_pillow(file: BinaryIO, page: tifffile.TiffPage) -> np.ndarray:
    """A page in RGB, (H, W, 3) uint8, which Pillow turns upright by itself."""
    file.seek(0)
    with Image.open(file, formats=("TIFF",)) as image:
        image.seek(page.index)
        image.load()
        return np.asarray(image.convert("RGB"))


def _ome_sizes(tiff: tifffile.TiffFile) -> tuple[tuple[Any, str], ...]:
    """Size and unit of a voxel along Z, Y and X as OME-XML states them."""
    images = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    return tuple(
        (pixels.get(f"PhysicalSize{axis}", np.nan), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "ZYX"
    )


def _imagej_sizes(tiff: tifffile.TiffFile) -> tuple[tuple[float, str], ...]:
    """Size and unit of a voxel along Z, Y and X as ImageJ writes them: the resolution is in pixels a unit."""
    metadata, tags = tiff.imagej_metadata, tiff.pages[0].tags
    unit = str(metadata.get("unit", ""))
    resolutions = [tags[name].value if name in tags else (0, 1) for name in ("YResolution", "XResolution")]
    sizes = [metadata.get("spacing", np.nan), *(low / high if high else np.nan for high, low in resolutions)]
    return tuple((size, unit) for size in sizes)


def _plain(unit: str) -> str:
    """A unit's name as a key of `_MICROMETRES`."""
    return unit.lower().replace("µ", "u").replace("μ", "u")
