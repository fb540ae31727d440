"""Masks and probabilities of large and georeferenced pictures as tiled, compressed TIFF files in their place."""

import errno
import os
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.imaging.georeference import Georeference, rasterio_in_use, read_georeference, stored_orientation
from maskmill.imaging.images import explained
from maskmill.imaging.lazy import let_go
from maskmill.imaging.signatures import gdal_driver

_BLOCK = 512
"""Side of the blocks of a mask whose picture has none that can be taken over."""

_LARGEST_BLOCK = 1 << 22
_BAND_PIXELS = 1 << 24


def write_label_tiff(path: str | os.PathLike, mask: np.ndarray, classes: Classes, like: str | os.PathLike) -> None:
    """Write class indices (H, W) uint8, memory-mapped or not, of the picture `like` as TIFF. Makes folders.

    The file has the picture's CRS and transform, and its tiles or strips where they are not too large. Pixels that the
    picture has no data for, by its nodata value, alpha band or mask, are 255, which is then the mask's nodata value. It
    is a BigTIFF where it may not fit into 4 GB. Raises ImageError where the picture's alpha band or mask is damaged.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    height, width = mask.shape
    place = read_georeference(like)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with rasterio_in_use, quiet, _opened(like) as source:
        partial = source is not None and stored_orientation(like) == 1 and _has_gaps(source)
        profile = {"nodata": IGNORE} if partial else {}
        with rasterio.open(path, "w", **_profile(mask.shape, place, source), **profile) as target:
            target.write_colormap(1, dict(enumerate(np.reshape(classes.palette(), (-1, 3)).tolist())))
            digest, rows = 0, _band_rows(target)
            for top in range(0, height, rows):
                window = Window(0, top, width, min(rows, height - top))
                band = mask[top : top + rows]
                if partial:
                    with explained(like):  # apart from writing, where an error is of the disk
                        empty = source.dataset_mask(window=window) == 0
                    band = np.where(empty, np.uint8(IGNORE), band)
                target.write(band, 1, window=window)
                digest = zlib.crc32(np.ascontiguousarray(band), digest)
                let_go(mask)
        _check_written(path, rows, digest)


def write_probability_tiff(
    path: str | os.PathLike, levels: np.ndarray, classes: Classes, like: str | os.PathLike
) -> None:
    """Write stored probabilities (K, H, W) uint8, memory-mapped or not, of the picture `like` as TIFF. Makes folders.

    A band for each class has its name; CRS, transform and tiles or strips are as of `write_label_tiff`.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    count, height, width = levels.shape
    place = read_georeference(like)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    quiet = warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning)
    with rasterio_in_use, quiet, _opened(like) as source:
        profile = _profile((height, width), place, source) | {
            "count": count, "interleave": "band", "photometric": "MINISBLACK"
        }  # fmt: skip
        with rasterio.open(path, "w", **profile) as target:
            target.descriptions = classes.names
            digest, rows = 0, _band_rows(target)
            for top in range(0, height, rows):
                band = np.ascontiguousarray(levels[:, top : top + rows])
                target.write(band, window=Window(0, top, width, band.shape[1]))
                digest = zlib.crc32(band, digest)
                let_go(levels)
        _check_written(path, rows, digest)


def _check_written(path: str | os.PathLike, rows: int, digest: int) -> None:
    """Raise OSError unless the file, read in bands of `rows`, has this CRC-32: GDAL may not say that a disk is full."""
    import rasterio
    from rasterio.errors import RasterioIOError
    from rasterio.windows import Window

    found = 0
    try:
        with rasterio.open(path, driver="GTiff") as written:
            for top in range(0, written.height, rows):
                window = Window(0, top, written.width, min(rows, written.height - top))
                found = zlib.crc32(written.read(window=window), found)
    except RasterioIOError:
        found = None
    if found != digest:
        raise OSError(errno.ENOSPC, "not all of it could be written", os.fspath(path))


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Any]:
    """The picture as GDAL sees it, None where GDAL cannot open it."""
    import rasterio
    from rasterio.errors import RasterioIOError

    with rasterio.Env(GDAL_CACHEMAX=64):
        try:
            source = rasterio.open(path, driver=gdal_driver(path))
        except RasterioIOError:
            yield None
            return
        with source:
            yield source


def _has_gaps(source: Any) -> bool:
    """Whether some pixels may have no data."""
    from rasterio.enums import MaskFlags

    return any(flags != [MaskFlags.all_valid] for flags in source.mask_flag_enums)


def _profile(size: tuple[int, int], place: Georeference | None, source: Any) -> dict[str, Any]:
    """How the mask is stored, but for its nodata value."""
    from rasterio import Affine

    height, width = size
    rows, columns = source.block_shapes[0] if source is not None and source.driver == "GTiff" else (0, 0)
    taken = 0 < rows * columns <= _LARGEST_BLOCK and source.shape == size
    strips = taken and columns == width and (rows % 16 or columns % 16) > 0
    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "height": height,
        "width": width,
        "compress": "deflate",
        "BIGTIFF": "IF_SAFER",
        "tiled": not strips,
        "blockysize": rows if taken else _BLOCK,
        **({} if strips else {"blockxsize": columns if taken else _BLOCK}),
        **({"crs": place.crs, "transform": Affine(*place.transform)} if place else {}),
    }


def _band_rows(target: Any) -> int:
    """Rows that are written at once: whole rows of blocks."""
    block = target.block_shapes[0][0]
    return block * max(1, _BAND_PIXELS // (block * target.width))
