"""Sliding window over pictures and volumes of any size: the one way from stored values to probabilities.

Arrays are (depth, row, column, channel), depth 1 for pictures; a tile is a window of the scaled, normalised picture.
Networks of two dimensions work slice by slice, with tiles of depth 1. Neighbouring tiles overlap and are blended by
weights that fall off from the tile's centre (Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z), or overlap
by what the network sees, and then the result does not depend on the size of the tiles.

Everything goes down the picture in bands as deep as a tile, along the slices of volumes or the rows of pictures: read,
predicted, blended and given on. In memory are the stored values of one band and K + 1 float32 values for each of its
pixels, whatever the size of the picture.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from maskmill.arrays import create_array
from maskmill.imaging.lazy import let_go, scale_picture
from maskmill.imaging.resampling import Resampling
from maskmill.inference.augmentation import AugmentedRuntime
from maskmill.inference.preprocess import Pixels, Preprocessing, Survey, has_few_values, mirrored_places
from maskmill.inference.runtimes import Runtime
from maskmill.inference.tiling import Grid, Tiling, lay_tiles, tile_weights
from maskmill.sizes import Size

LEVELS = 255
"""Probabilities are rounded to multiples of 1/255 once, before any threshold, so that runtimes agree on the masks."""


@dataclass(frozen=True, eq=False)
class Band:
    """Probabilities of some rows of a slice, across the whole width.

    page: number of the slice; top: first row; values: uint8 (K, rows, W), the rounded 255-fold of the probability.
    """

    page: int
    top: int
    values: np.ndarray

    @property
    def place(self) -> tuple[int, slice]:
        """Index of the slice and slice of the rows."""
        return self.page, slice(self.top, self.top + self.values.shape[1])


def predict_bands(
    image: Pixels, preprocessing: Preprocessing, tiling: Tiling, stride: Size, dimensions: int, runtime: Runtime
) -> Iterator[Band]:
    """Foreground probabilities of a picture or volume as stored, at its own size, from the top of its first slice on.

    image: (D, H, W, C), any dtype. stride: the network's total downsampling along each axis; tiles are multiples of it.
    What no band covers lies outside the content box, where probabilities are 0.
    """
    size, width = image.shape[1:3], image.shape[2]
    scaled = scale_picture(image, preprocessing.scale)
    survey = preprocessing.survey(scaled)
    grid = lay_tiles(tuple(side.stop - side.start for side in survey.box), tiling, stride)
    content = _Content(scaled[survey.box], preprocessing, survey, sweep=3 - dimensions)
    runtime = runtime if tiling.tta == "none" else AugmentedRuntime(runtime, tiling.tta, dimensions)
    blended = _blended_rows(content, grid, tiling, runtime)
    resampling = Resampling(scaled.shape[1:3], size)
    for page, top, rows in _resampled(blended, survey.box, scaled.shape[2], resampling):
        levels = np.rint(np.clip(rows, 0, 1) * LEVELS).astype(np.uint8)
        yield Band(page, top, levels.transpose(2, 0, 1).reshape(-1, len(rows), width))


def predict_probabilities(
    image: Pixels, preprocessing: Preprocessing, tiling: Tiling, stride: Size, dimensions: int, runtime: Runtime
) -> np.ndarray:
    """What `predict_bands` gives as one array: uint8 (K, D, H, W)."""
    return gather_bands(predict_bands(image, preprocessing, tiling, stride, dimensions, runtime), image.shape[:3])


def gather_bands(bands: Iterable[Band], size: Size) -> np.ndarray:
    """The probabilities of a picture of this size (depth, height, width) as one array: uint8 (K, D, H, W)."""
    result: np.ndarray | None = None
    for band in bands:
        if result is None:
            result = np.zeros((len(band.values), *size), np.uint8)
        page, rows = band.place
        result[:, page, rows] = band.values
    return result


def write_bands(target: Path, bands: Iterable[Band], size: Size) -> None:
    """Write probabilities in bands, of a picture of this size (depth, height, width), as .npy: uint8 (K, D, H, W)."""
    written: np.ndarray | None = None
    for band in bands:
        if written is None:
            written = create_array(target, np.uint8, (len(band.values), *size))
        page, rows = band.place
        written[:, page, rows] = band.values
        let_go(written)


class _Content:
    """What a picture's content box holds: stored values (d, h, w, C), normalised only as tiles are cut.

    sweep: the axis along which tiles come, 0 of volumes, 1 of pictures and of slices one by one. The band of values
    that the last tile was cut from is kept, so that everything is read once.
    """

    def __init__(self, values: Pixels, preprocessing: Preprocessing, survey: Survey, sweep: int) -> None:
        self.size: Size = values.shape[:3]
        self.sweep = sweep
        self._values, self._preprocessing, self._survey = values, preprocessing, survey
        self._band: np.ndarray | None = None
        self._begin = [0, 0, 0]
        self._table = self._normal_of_all_values()

    def cut(self, corner: Size, tile: Size) -> np.ndarray:
        """The tile that begins at `corner`, float32 (C, *tile); beyond the content it is mirrored."""
        places = [mirrored_places(*along) for along in zip(corner, tile, self.size, strict=True)]
        self._advance(places)
        cut = self._band
        for axis, along in enumerate(places):
            straight = along[-1] - along[0] == len(along) - 1
            first = int(along[0]) - self._begin[axis]
            part = (slice(None),) * axis + (slice(first, first + len(along)),)
            cut = cut[part] if straight else cut.take(along - self._begin[axis], axis)
        if self._table is None:
            return np.moveaxis(self._normal(cut), -1, 0)
        channels = np.moveaxis(cut.astype(np.intp) - np.iinfo(cut.dtype).min, -1, 0)
        channels = np.broadcast_to(channels, (len(self._table), *cut.shape[:3]))
        return np.stack([of_value.take(values) for of_value, values in zip(self._table, channels, strict=True)])

    def _normal(self, values: np.ndarray) -> np.ndarray:
        """What the network sees of stored values (..., C)."""
        return self._preprocessing.normalize(self._preprocessing.unit(values, self._survey.ranges), self._survey)

    def _normal_of_all_values(self) -> np.ndarray | None:
        """What the network sees, float32 (C, values), of each value that the pixel type has; None if it has many."""
        if not has_few_values(self._values):
            return None
        known = np.iinfo(self._values.dtype)
        values = np.arange(known.min, known.max + 1).astype(self._values.dtype)
        values = np.repeat(values[:, np.newaxis], self._values.shape[3], axis=1)
        return np.ascontiguousarray(self._normal(values).T)

    def _advance(self, places: list[np.ndarray]) -> None:
        """Make the band hold the places, which lie in one slice where slices come one by one."""
        axis, begin = self.sweep, [0, 0, 0]
        for along in range(axis + 1):
            begin[along] = int(places[along].min())
        start, stop = begin[axis], int(places[axis].max()) + 1
        passed = start - self._begin[axis]
        if self._band is None or begin[:axis] != self._begin[:axis] or not 0 <= passed < self._band.shape[axis]:
            self._band = self._read(begin[0], start, stop)
        else:
            kept = self._band[(slice(None),) * axis + (slice(passed, None),)]
            known = start + kept.shape[axis]
            more = [self._read(begin[0], known, stop)] if stop > known else []
            self._band = np.concatenate([kept, *more], axis) if passed or more else self._band
        self._begin = begin

    def _read(self, page: int, start: int, stop: int) -> np.ndarray:
        """Stored values from `start` to `stop` along the axis of the sweep; of slices one by one, of that slice."""
        window = (slice(page, page + 1), slice(start, stop)) if self.sweep else (slice(start, stop),)
        values = np.array(self._values[window])
        let_go(self._values)
        return values


def _blended_rows(
    content: _Content, grid: Grid, tiling: Tiling, runtime: Runtime
) -> Iterator[tuple[int, int, np.ndarray]]:
    """The content's rows from the top of its first slice on, weighted means of tiles.

    Yields slice, first row and float32 (rows, w, K): of volumes a slice at a time, else what lies above the next tile.
    """
    axis, (_, height, width) = content.sweep, content.size
    weights = tile_weights(grid.inner, tiling.blending)[..., np.newaxis]
    sums, first, page = None, 0, 0

    def take(count: int) -> Iterator[tuple[int, int, np.ndarray]]:
        means = sums.take(count)
        if axis:
            yield page, first, means[0, :, :width]
        else:
            yield from ((number, 0, mean[:height, :width]) for number, mean in enumerate(means, first))

    for corner, output in _tile_outputs(content, grid, tiling.batch_size, 2 if axis else 3, runtime):
        if sums is None:
            sums = _Sums(grid, axis, output.shape[-1])
        if axis and corner[0] != page:
            yield from take(height - first)
            sums.clear()
            page, first = corner[0], 0
        if corner[axis] > first:
            yield from take(corner[axis] - first)
            first = corner[axis]
        sums.add(corner, output, weights)
    yield from take(content.size[axis] - first)


class _Sums:
    """Weighted sums of tiles, and sums of their weights, over as much of the axis `sweep` as a tile is long.

    Tiles come in the order of their first pixel on this axis, so that what lies above a tile is finished.
    """

    def __init__(self, grid: Grid, sweep: int, classes: int) -> None:
        extent = list(grid.extent)
        extent[: sweep + 1] = grid.inner[: sweep + 1]
        self._sweep, self._inner = sweep, grid.inner
        self._total, self._norm = np.zeros((*extent, classes), np.float32), np.zeros((*extent, 1), np.float32)

    def add(self, corner: Size, output: np.ndarray, weights: np.ndarray) -> None:
        """Add a tile, float32 (*inner, K), that begins where the sums do on the axis of the sweep."""
        window = tuple(
            slice(None) if axis <= self._sweep else slice(start, start + side)
            for axis, (start, side) in enumerate(zip(corner, self._inner, strict=True))
        )
        self._total[window] += output * weights
        self._norm[window] += weights

    def take(self, count: int) -> np.ndarray:
        """The means of the first `count` rows or slices, after which the sums begin behind them."""
        ahead = (slice(None),) * self._sweep
        done, rest = (*ahead, slice(count)), (*ahead, slice(count, None))
        means = self._total[done] / self._norm[done]
        for sums in (self._total, self._norm):
            kept = sums[rest].copy()
            sums[(*ahead, slice(kept.shape[self._sweep]))] = kept
            sums[(*ahead, slice(kept.shape[self._sweep], None))] = 0
        return means

    def clear(self) -> None:
        """Begin anew."""
        self._total[:], self._norm[:] = 0, 0


def _tile_outputs(
    content: _Content, grid: Grid, batch_size: int, dimensions: int, runtime: Runtime
) -> Iterator[tuple[Size, np.ndarray]]:
    """The first pixel of every tile's inner part, uppermost first, and what the network gives there: (*inner, K)."""
    inner = tuple(slice(width, width + side) for width, side in zip(grid.halo, grid.inner, strict=True))
    corners = list(product(*grid.starts))
    for first in range(0, len(corners), batch_size):
        chosen = corners[first : first + batch_size]
        tiles = [content.cut(tuple(np.subtract(corner, grid.halo).tolist()), grid.tile) for corner in chosen]
        batch = np.stack(tiles)
        outputs = runtime(np.ascontiguousarray(batch if dimensions == 3 else batch[:, :, 0]))
        outputs = outputs if dimensions == 3 else outputs[:, :, np.newaxis]
        yield from zip(chosen, np.moveaxis(outputs, 1, -1)[(slice(None), *inner)], strict=True)


def _resampled(
    bands: Iterable[tuple[int, int, np.ndarray]], box: tuple[slice, slice, slice], width: int, resampling: Resampling
) -> Iterator[tuple[int, int, np.ndarray]]:
    """The rows of the content as rows of the picture, at its own size: slice, first row, float32 (rows, W, K).

    bands: slice, first row and float32 (rows, w, K) of what lies in `box` of the scaled picture, `width` pixels wide.
    """
    pages, down, along = box
    targets = resampling.target_rows(down.start, down.stop)
    needed = resampling.source_rows(targets.start, targets.stop)
    begin, done, waiting = 0, 0, np.empty((0, 0, 0))
    for page, top, values in bands:
        rows = np.zeros((len(values), width, values.shape[2]), np.float32)
        rows[:, along] = values
        if resampling.identity:
            yield pages.start + page, down.start + top, rows
            continue
        last = down.start + top + len(rows) == down.stop
        if top == 0:
            begin, done, waiting = min(needed.start, down.start), targets.start, rows[:0]
        before = max(0, down.start - needed.start) if top == 0 else 0
        behind = max(0, needed.stop - down.stop) if last else 0
        waiting = np.concatenate([waiting, np.pad(rows, ((before, behind), (0, 0), (0, 0)))])
        ready = targets.stop if last else min(targets.stop, resampling.complete_rows(begin + len(waiting)))
        if ready > done:
            source = resampling.source_rows(done, ready)
            resized = resampling.rows(waiting[source.start - begin : source.stop - begin], done, ready)
            yield pages.start + page, done, resized
            done = ready
        if not last and done < targets.stop:
            passed = max(0, resampling.source_rows(done, done + 1).start - begin)
            begin, waiting = begin + passed, waiting[passed:]
