"""How pictures and volumes are cut into tiles and put together again: sizes, places, weights.

Sizes are (depth, height, width); the depth is 1 for networks of two dimensions.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.sizes import Size, as_size, describe_size

PLANAR_TILE = 512
"""Side of the tiles of a network of two dimensions where `predict.tile` is auto."""

EXACT = "exact"
"""Value of `predict.overlap` for tiles that overlap by what the network sees."""

_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Tiling:
    """How a picture is cut: tile size, share that neighbours overlap on each axis, blending weights, tiles in a batch.

    tile: in pixels. overlap: "exact" where the outer `halo` pixels of each tile only tell the network what is there and
    the rest is taken as it is; halo is 0 elsewhere. tta: turned copies of each tile that are averaged, see
    `maskmill.inference.augmentation`. batch_size: on a GPU; see `maskmill.inference.runtimes.in_parts`.
    """

    tile: Size
    overlap: float | str
    blending: str
    batch_size: int
    tta: str = "none"
    halo: Size = (0, 0, 0)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Tiling":
        """The inverse of `as_dict`."""
        return cls(**{**values, "tile": tuple(values["tile"]), "halo": tuple(values["halo"])})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return asdict(self) | {"tile": list(self.tile), "halo": list(self.halo)}


def resolve_tiling(options: Mapping[str, Any], run: Mapping[str, Any]) -> Tiling:
    """The tiling that the `predict` options mean for a member with this resolved configuration.

    A tile "auto" is a square of 512 pixels for a network of two dimensions, the training patch for one of three.
    Raises MaskmillError where the tile is deep and the network is not, and where the overlap is "exact" and the network
    sees all of a tile, or a tile is no larger than what it sees.
    """
    dimensions, tile = run["model"]["dimensions"], options["tile"]
    if tile == "auto":
        tile = run["train"]["patch"] if dimensions == 3 else PLANAR_TILE
    size = as_size(tile, dimensions)
    if dimensions == 2 and size[0] != 1:
        raise MaskmillError(f"predict.tile is {tile}, but the network works slice by slice; write [height, width]")
    halo = _halo_of(run["model"], size) if options["overlap"] == EXACT else (0, 0, 0)
    return Tiling(size, options["overlap"], options["blending"], options["batch_size"], options["tta"], halo)


def _halo_of(model: Mapping[str, Any], tile: Size) -> Size:
    """The outer pixels of a tile, on each side, for which a network with these options does not see enough."""
    from maskmill.models import exact_halo

    halo = exact_halo(model)
    if any(side <= 2 * width for side, width in zip(tile, halo, strict=True)):
        seen = describe_size((max(1, halo[0]), *halo[1:]))
        raise MaskmillError(
            f"predict.overlap is exact and predict.tile {describe_size(tile)}, but the network sees {seen} pixels to "
            "each side, so that nothing of a tile is left; use tiles of more than twice that"
        )
    return halo


@dataclass(frozen=True)
class Grid:
    """The tiles of one picture.

    tile: what the network gets. halo: its outer pixels that are dropped then. inner: the rest, which begins at each
    combination of `starts`, (depth, height, width), in pixels of the picture.
    """

    tile: Size
    halo: Size
    starts: tuple[list[int], list[int], list[int]]

    @property
    def inner(self) -> Size:
        """The part of a tile that is taken."""
        return tuple(side - 2 * width for side, width in zip(self.tile, self.halo, strict=True))

    @property
    def extent(self) -> Size:
        """What all tiles together cover, from the picture's first pixel on."""
        return tuple(starts[-1] + side for starts, side in zip(self.starts, self.inner, strict=True))


def lay_tiles(content: Size, tiling: Tiling, stride: Size) -> Grid:
    """The tiles of a picture of this size; none is larger than the picture and its halo need.

    Raises MaskmillError where the tile is no multiple of the network's stride.
    """
    if any(side % step for side, step in zip(tiling.tile, stride, strict=True)):
        raise MaskmillError(
            f"predict.tile is {describe_size(tiling.tile)} (depth × height × width); for this model each side must be "
            f"a multiple of {describe_size(stride)}"
        )
    tile = tuple(
        min(side, -(-(size + 2 * width) // step) * step)
        for size, side, width, step in zip(content, tiling.tile, tiling.halo, stride, strict=True)
    )
    grid = Grid(tile, tiling.halo, ([0], [0], [0]))
    if tiling.overlap == EXACT:
        starts = [list(range(0, size, side)) for size, side in zip(content, grid.inner, strict=True)]
    else:
        lengths = map(max, content, tile)
        starts = [tile_starts(length, side, tiling.overlap) for length, side in zip(lengths, tile, strict=True)]
    return Grid(tile, tiling.halo, tuple(starts))


def tile_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of the fewest evenly spaced tiles that cover `length` and overlap by at least `overlap` of a tile.

    length must be at least `tile`; the last tile ends at `length`.
    """
    step = max(1, int(tile * (1 - overlap)))
    count = 1 + -(-(length - tile) // step)
    return [round(index * (length - tile) / max(1, count - 1)) for index in range(count)]


@lru_cache(maxsize=4)
def tile_weights(tile: Size, blending: str) -> np.ndarray:
    """Weight of each pixel of a tile, float32 of its size, in (0, 1].

    "gaussian": standard deviation of 1/8 of each side, as in nnU-Net; "cosine": half a wave from edge to edge of each
    side; both not below 1e-3. "constant": 1 everywhere. Not to be written to: the same array is given each time.
    """
    if blending == "constant":
        return np.ones(tile, np.float32)
    profiles = []
    for side in tile:
        offset = (np.arange(side) - (side - 1) / 2) / side
        profiles.append(np.exp(-0.5 * (8 * offset) ** 2) if blending == "gaussian" else np.cos(np.pi * offset))
    return np.maximum(reduce(np.multiply.outer, profiles), _LEAST_WEIGHT).astype(np.float32)
