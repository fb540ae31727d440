"""Sliding window over whole pictures and volumes: the one way from stored values to probabilities, for any runtime.

Arrays are (depth, row, column, channel), depth 1 for pictures; a tile is a window of the scaled, normalised picture.
Networks of two dimensions work slice by slice, with tiles of depth 1. Neighbouring tiles overlap and are blended by
weights that fall off from the tile's centre (Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import product
from typing import Any, Protocol

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.inference.preprocess import Preprocessing, Survey, mirror_to, resize_image, scale_slices
from maskmill.sizes import Size, as_size, describe_size

LEVELS = 255
"""Probabilities are rounded to multiples of 1/255 once, before any threshold, so that runtimes agree on the masks."""

PLANAR_TILE = 512
"""Side of the tiles of a network of two dimensions where `predict.tile` is auto."""


class Runtime(Protocol):
    """What turns a batch of normalised tiles into foreground probabilities."""

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32, normalised (N, C, H, W), or (N, C, D, H, W) for a network of three dimensions.

        Returns float32 in [0, 1] with K channels instead of C. All sides are multiples of the stride.
        """


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut: tile size, share that neighbours overlap on each axis, blending weights, tiles in a batch.

    tile: (depth, height, width) in pixels; the depth is 1 for networks of two dimensions.
    """

    tile: Size
    overlap: float
    blending: str
    batch_size: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Tiling":
        """The inverse of `as_dict`."""
        return cls(**{**values, "tile": tuple(values["tile"])})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return asdict(self) | {"tile": list(self.tile)}


def resolve_tiling(options: Mapping[str, Any], run: Mapping[str, Any]) -> Tiling:
    """The tiling that the `predict` options mean for a member with this resolved configuration.

    A tile "auto" is a square of 512 pixels for a network of two dimensions, the training patch for one of three.
    Raises MaskmillError where the tile is deep and the network is not.
    """
    dimensions, tile = run["model"]["dimensions"], options["tile"]
    if tile == "auto":
        tile = run["train"]["patch"] if dimensions == 3 else PLANAR_TILE
    size = as_size(tile, dimensions)
    if dimensions == 2 and size[0] != 1:
        raise MaskmillError(f"predict.tile is {tile}, but the network works slice by slice; write [height, width]")
    return Tiling(size, options["overlap"], options["blending"], options["batch_size"])


def predict_probabilities(
    image: np.ndarray, preprocessing: Preprocessing, tiling: Tiling, stride: Size, dimensions: int, runtime: Runtime
) -> np.ndarray:
    """Foreground probabilities of a picture or volume as stored, at its own size.

    image: (D, H, W, C), any dtype. stride: the network's total downsampling along each axis; tiles are multiples of it.
    Returns uint8 (K, D, H, W), the rounded 255-fold of the probability. Pixels outside the content box are 0.

    Beside picture and result, memory holds K + 1 float32 values a pixel of as many slices as a tile is deep.
    """
    depth, height, width = image.shape[:3]
    scaled = scale_slices(image, preprocessing.scale)
    survey = preprocessing.survey(scaled)
    pages, rows, columns = survey.box
    content = _Content(scaled[survey.box], preprocessing, survey)
    result: np.ndarray | None = None
    for page, blended in enumerate(_blended_slices(content, tiling, stride, dimensions, runtime), pages.start):
        full = np.zeros((*scaled.shape[1:3], blended.shape[2]), np.float32)
        full[rows, columns] = blended
        probabilities = np.clip(resize_image(full, height, width), 0, 1)
        if result is None:
            result = np.zeros((blended.shape[2], depth, height, width), np.uint8)
        result[:, page] = np.rint(probabilities * LEVELS).astype(np.uint8).transpose(2, 0, 1)
    return result


@dataclass(frozen=True)
class _Content:
    """What a picture's content box holds: stored values (d, h, w, C), normalised only as tiles are cut."""

    values: np.ndarray
    preprocessing: Preprocessing
    survey: Survey

    @property
    def size(self) -> Size:
        return self.values.shape[:3]

    def cut(self, corner: Size, tile: Size) -> np.ndarray:
        """The tile that begins at `corner`, float32 (*tile, C); beyond the content it is mirrored."""
        window = tuple(slice(start, start + side) for start, side in zip(corner, tile, strict=True))
        unit = self.preprocessing.unit(self.values[window], self.survey.ranges)
        return mirror_to(self.preprocessing.normalize(unit, self.survey), tile)


def _blended_slices(
    content: _Content, tiling: Tiling, stride: Size, dimensions: int, runtime: Runtime
) -> Iterator[np.ndarray]:
    """The content's slices one after another, each the weighted mean of its tiles: float32 (h, w, K).

    Tiles come in the order of their depth, so that a slice is finished as soon as a tile begins below it.
    """
    depth, height, width = content.size
    tile = _tile_size(content.size, tiling.tile, stride)
    padded = tile[0], max(height, tile[1]), max(width, tile[2])
    weights = tile_weights(tile, tiling.blending)[..., np.newaxis]
    total, norm = None, np.zeros((*padded, 1), np.float32)
    first = 0  # the slice that total[0] stands for
    for (page, row, column), output in _tile_outputs(content, tile, tiling, dimensions, runtime):
        if total is None:
            total = np.zeros((*padded, output.shape[-1]), np.float32)
        if finished := page - first:
            yield from (total[:finished] / norm[:finished])[:, :height, :width]
            for sums in (total, norm):
                sums[:-finished] = sums[finished:].copy()
                sums[-finished:] = 0
            first = page
        window = np.s_[:, row : row + tile[1], column : column + tile[2]]
        total[window] += output * weights
        norm[window] += weights
    yield from (total / norm)[: depth - first, :height, :width]


def _tile_outputs(
    content: _Content, tile: Size, tiling: Tiling, dimensions: int, runtime: Runtime
) -> Iterator[tuple[Size, np.ndarray]]:
    """The first pixel of every tile, the shallowest first, and what the network gives there, float32 (*tile, K)."""
    starts = [tile_starts(max(size, side), side, tiling.overlap) for size, side in zip(content.size, tile, strict=True)]
    corners = list(product(*starts))
    for first in range(0, len(corners), tiling.batch_size):
        chosen = corners[first : first + tiling.batch_size]
        batch = np.moveaxis(np.stack([content.cut(corner, tile) for corner in chosen]), -1, 1)
        outputs = runtime(np.ascontiguousarray(batch if dimensions == 3 else batch[:, :, 0]))
        outputs = outputs if dimensions == 3 else outputs[:, :, np.newaxis]
        yield from zip(chosen, np.moveaxis(outputs, 1, -1), strict=True)


def _tile_size(content: Size, tile: Size, stride: Size) -> Size:
    """The tile, on each axis no larger than the smallest multiple of the stride that holds the content."""
    if any(side % step for side, step in zip(tile, stride, strict=True)):
        raise MaskmillError(
            f"predict.tile is {describe_size(tile)} (depth × height × width); for this model each side must be a "
            f"multiple of {describe_size(stride)}"
        )
    return tuple(min(side, -(-size // step) * step) for size, side, step in zip(content, tile, stride, strict=True))


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of the fewest evenly spaced tiles that cover `length` and overlap by at least `overlap` of a tile.

    length must be at least `tile`; the last tile ends at `length`.
    """
    step = max(1, int(tile * (1 - overlap)))
    count = 1 + -(-(length - tile) // step)
    return [round(index * (length - tile) / max(1, count - 1)) for index in range(count)]


def tile_weights(tile: Size, blending: str) -> np.ndarray:
    """Weight of each pixel of a tile, float32 of its size, in (0, 1].

    "gaussian": standard deviation of 1/8 of each side, as in nnU-Net, not below 1e-3; "constant": 1 everywhere.
    """
    if blending == "constant":
        return np.ones(tile, np.float32)
    profiles = []
    for side in tile:
        offset = (np.arange(side) - (side - 1) / 2) / (side / 8)
        profiles.append(np.exp(-0.5 * offset**2))
    return np.maximum(reduce(np.multiply.outer, profiles), 1e-3).astype(np.float32)
