"""Sliding window over whole pictures: the one way from a picture to probabilities, whatever the runtime.

Coordinates are (row, column); a tile is a window of the scaled, normalised picture. Neighbouring tiles overlap and are
blended by weights that fall off from the tile's centre (Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z).
"""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.preprocess import Preprocessing, resize_image, scaled_size

LEVELS = 255
"""Probabilities are rounded to multiples of 1/255 once, before any threshold, so that runtimes agree on the masks."""


class Runtime(Protocol):
    """What turns a batch of normalised tiles into foreground probabilities."""

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W), normalised -> float32 (N, K, H, W) in [0, 1]; H and W are multiples of the stride."""


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut: tile side in pixels, share that neighbours overlap, blending weights, tiles in a batch."""

    tile: int
    overlap: float
    blending: str
    batch_size: int

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return asdict(self)


def predict_probabilities(
    image: np.ndarray, preprocessing: Preprocessing, tiling: Tiling, stride: int, runtime: Runtime
) -> np.ndarray:
    """Foreground probabilities of a picture as stored, at its own size.

    image: (H, W, C), any dtype. stride: the network's total downsampling; tiles are multiples of it.
    Returns uint8 (K, H, W), the rounded 255-fold of the probability. Pixels outside the content box are 0.
    """
    height, width = image.shape[:2]
    unit = preprocessing.unit(resize_image(image, *scaled_size(height, width, preprocessing.scale)))
    rows, columns = preprocessing.content_box(unit)
    content = unit[rows, columns]
    blended = _blend_tiles(preprocessing.normalize(content, preprocessing.moments(content)), tiling, stride, runtime)
    full = np.zeros((*unit.shape[:2], blended.shape[2]), np.float32)
    full[rows, columns] = blended
    probabilities = resize_image(full, height, width)
    return np.rint(np.clip(probabilities, 0, 1) * LEVELS).astype(np.uint8).transpose(2, 0, 1)


def _blend_tiles(content: np.ndarray, tiling: Tiling, stride: int, runtime: Runtime) -> np.ndarray:
    """Run every tile of (H, W, C) through `runtime`; weighted mean where tiles overlap: float32 (H, W, K)."""
    height, width = content.shape[:2]
    sides = tuple(_tile_side(side, tiling.tile, stride) for side in (height, width))
    padding = [(0, max(0, tile - side)) for tile, side in zip(sides, (height, width), strict=True)]
    padded = np.pad(content, [*padding, (0, 0)], mode="symmetric")
    corners = [
        (row, column)
        for row in tile_starts(padded.shape[0], sides[0], tiling.overlap)
        for column in tile_starts(padded.shape[1], sides[1], tiling.overlap)
    ]
    weights = tile_weights(*sides, tiling.blending)
    total: np.ndarray | None = None
    norm = np.zeros((*padded.shape[:2], 1), np.float32)
    for first in range(0, len(corners), tiling.batch_size):
        batch_corners = corners[first : first + tiling.batch_size]
        tiles = [padded[row : row + sides[0], column : column + sides[1]] for row, column in batch_corners]
        outputs = runtime(np.ascontiguousarray(np.stack(tiles).transpose(0, 3, 1, 2)))
        if total is None:
            total = np.zeros((*padded.shape[:2], outputs.shape[1]), np.float32)
        for (row, column), output in zip(batch_corners, outputs, strict=True):
            window = np.s_[row : row + sides[0], column : column + sides[1]]
            total[window] += output.transpose(1, 2, 0) * weights[..., None]
            norm[window] += weights[..., None]
    return (total / norm)[:height, :width]


def _tile_side(side: int, tile: int, stride: int) -> int:
    """The tile side, or the smallest multiple of the stride that holds a smaller picture."""
    if tile % stride:
        raise MaskmillError(f"predict.tile is {tile}; it must be a multiple of {stride} (2^depth) for this model")
    return min(tile, -(-side // stride) * stride)


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of the fewest evenly spaced tiles that cover `length` and overlap by at least `overlap` of a tile.

    length must be at least `tile`; the last tile ends at `length`.
    """
    step = max(1, int(tile * (1 - overlap)))
    count = 1 + -(-(length - tile) // step)
    return [round(index * (length - tile) / max(1, count - 1)) for index in range(count)]


def tile_weights(height: int, width: int, blending: str) -> np.ndarray:
    """Weight of each pixel of a tile, float32 (H, W) in (0, 1].

    "gaussian": standard deviation of 1/8 of the side, as in nnU-Net, not below 1e-3; "constant": 1 everywhere.
    """
    if blending == "constant":
        return np.ones((height, width), np.float32)
    profiles = []
    for side in (height, width):
        offset = (np.arange(side) - (side - 1) / 2) / (side / 8)
        profiles.append(np.exp(-0.5 * offset**2))
    return np.maximum(np.outer(*profiles), 1e-3).astype(np.float32)
