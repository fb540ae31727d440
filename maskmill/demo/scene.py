"""What a demo scene is made of, as plain geometry: lengths in pixels (about a third of a metre), colours sRGB 0–255."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from maskmill.demo.buildings import Building

OUTSIDE = 64
"""How far beyond the picture's border things are still placed, so that the border cuts through some of them."""

STEP = 3.0
"""Distance between the points of a road's curve."""

ROAD, BUILDING, YARD = 1, 2, 4
"""What takes a piece of `Ground`; add them up to mean any of several."""


@dataclass(frozen=True)
class Road:
    """A carriageway of constant width along a curve (N, 2).

    sidewalk: width of the pavement on each side, 0 for none; junctions: points (M, 2) where others meet it.
    """

    curve: np.ndarray
    width: float
    paved: bool
    sidewalk: float
    junctions: np.ndarray


@dataclass(frozen=True)
class Patch:
    """A piece of ground. kind: grass, crop, soil, wood, paved, parking, court or pool; angle: of its rows or lines."""

    outline: np.ndarray
    kind: str
    angle: float
    colour: np.ndarray


@dataclass(frozen=True)
class Tree:
    """A tree or bush; its height goes with its radius."""

    centre: np.ndarray
    radius: float
    colour: np.ndarray


@dataclass(frozen=True)
class Car:
    """A car or lorry, `length` along `angle`."""

    centre: np.ndarray
    angle: float
    length: float
    colour: np.ndarray


@dataclass
class Scene:
    """Everything in a picture of `size` × `size` pixels, each list in drawing order."""

    size: int
    patches: list[Patch] = field(default_factory=list)
    roads: list[Road] = field(default_factory=list)
    buildings: list[Building] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    cars: list[Car] = field(default_factory=list)


class Ground:
    """Which ground is taken by what, one cell a pixel, with a margin of OUTSIDE around the picture."""

    def __init__(self, size: int) -> None:
        self.taken = np.zeros((size + 2 * OUTSIDE, size + 2 * OUTSIDE), np.uint8)

    def is_free(self, polygon: np.ndarray, margin: float = 0, of: int = ROAD | BUILDING | YARD) -> bool:
        """Whether nothing of the kinds `of` lies within `margin` of the polygon; False beyond the ground itself."""
        low = np.floor(polygon.min(axis=0) - margin + OUTSIDE - 2).astype(int)
        high = np.ceil(polygon.max(axis=0) + margin + OUTSIDE + 3).astype(int)
        if low.min() < 0 or high.max() > len(self.taken):
            return False
        window = self.taken[low[1] : high[1], low[0] : high[0]]
        return not (window & of & _drawn(polygon, margin, window.shape, low, of)).any()

    def take(self, polygon: np.ndarray, by: int, margin: float = 0) -> None:
        """Mark the polygon and what is within `margin` of it as taken."""
        self.taken |= _drawn(polygon, margin, self.taken.shape, np.zeros(2), by)


def _drawn(polygon: np.ndarray, margin: float, shape: tuple[int, int], corner: np.ndarray, value: int) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    points = [np.rint(polygon + OUTSIDE - corner).astype(np.int32)]
    cv2.fillPoly(mask, points, value)
    if margin >= 1:
        cv2.polylines(mask, points, True, value, thickness=round(2 * margin))
    return mask
