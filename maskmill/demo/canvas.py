"""The canvas that demo scenes are painted on: albedo, incoming sunlight and shadow, at twice the picture's resolution.

A *window* is a pair of slices (rows, columns) into the canvas.
"""

import cv2
import numpy as np

from maskmill.demo.site import Site

FINER = 2
"""Canvas cells per picture pixel and direction; edges become smooth when the camera averages them."""

Window = tuple[slice, slice]


def linear(colour: np.ndarray) -> np.ndarray:
    """Linear intensities in [0, 1], float32, of sRGB values 0–255 (gamma 2.2)."""
    return (np.clip(np.asarray(colour, np.float32), 0, 255) / 255) ** np.float32(2.2)


def fractal_noise(rng: np.random.Generator, side: int, cell: float, octaves: int) -> np.ndarray:
    """Smooth noise (side, side), float32, of mean 0 and variance 1; `cell` is its coarsest grain in canvas cells."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        grain = cell / 2**octave
        knots = rng.standard_normal((int(side / grain) + 3,) * 2, dtype=np.float32)
        stretched = cv2.resize(knots, None, fx=grain, fy=grain, interpolation=cv2.INTER_CUBIC)
        total += stretched[:side, :side] * np.float32(0.62**octave)
    return (total - total.mean()) / total.std()


class Canvas:
    """Layers (side, side) in float32, and noise to texture them with.

    albedo: linear RGB; light: direct sunlight relative to level ground; shadow: share of the sun that is hidden, 0–1.
    coarse, middle, fine: noise with grains of about 60, 12 and 2 picture pixels.
    """

    def __init__(self, site: Site, rng: np.random.Generator, size: int) -> None:
        self.site, self.size, self.side = site, size, size * FINER
        self.albedo = np.empty((self.side, self.side, 3), np.float32)
        self.albedo[:] = linear(site.grass)
        self.light = np.ones((self.side, self.side), np.float32)
        self.shadow = np.zeros((self.side, self.side), np.float32)
        self.coarse = fractal_noise(rng, self.side, 60 * FINER, 4)
        self.middle = fractal_noise(rng, self.side, 12 * FINER, 3)
        self.fine = fractal_noise(rng, self.side, 2 * FINER, 2)

    def window(self, points: np.ndarray) -> Window | None:
        """Cells around points (N, 2) given in picture pixels; None if they lie outside the picture."""
        low = np.clip(np.floor(points.min(axis=0) * FINER).astype(int) - 2, 0, self.side)
        high = np.clip(np.ceil(points.max(axis=0) * FINER).astype(int) + 3, 0, self.side)
        if (low >= high).any():
            return None
        return slice(low[1], high[1]), slice(low[0], high[0])

    def cover(self, window: Window, polygon: np.ndarray) -> np.ndarray:
        """How much of each cell of the window a polygon (N, 2) covers: float32 in [0, 1]."""
        rows, columns = window
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        cells = polygon * FINER - 0.5 - (columns.start, rows.start)
        cv2.fillPoly(mask, [np.rint(cells * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
        return mask.astype(np.float32) / np.float32(255)

    def grid(self, window: Window, centre: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of a window's cells, in picture pixels, along and across a frame at `centre` with `angle`."""
        rows, columns = window
        x = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) / FINER - np.float32(centre[0])
        y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5)[:, None] / FINER - np.float32(centre[1])
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return x * cos + y * sin, y * cos - x * sin

    def paint(self, window: Window, cover: np.ndarray, albedo: np.ndarray) -> None:
        """Lay linear colour, (3,) or (h, w, 3), over a window."""
        layer = self.albedo[window]
        layer += cover[..., None] * (albedo - layer)

    def paint_polygon(self, polygon: np.ndarray, colour: np.ndarray, opacity: float = 1.0) -> None:
        """Lay one sRGB colour over a polygon (N, 2) given in picture pixels."""
        window = self.window(polygon)
        if window:
            self.paint(window, self.cover(window, polygon) * np.float32(opacity), linear(colour))

    def cast(self, footprint: np.ndarray, height: float) -> None:
        """Let a convex footprint (N, 2) that stands `height` pixels high shade the ground."""
        self.cast_hull(np.concatenate([footprint, footprint - height * self.site.cotangent * self.site.sun]))

    def cast_hull(self, points: np.ndarray) -> None:
        """Shade the convex hull of points (N, 2) on the ground."""
        hull = cv2.convexHull(points.astype(np.float32))[:, 0].astype(float)
        window = self.window(hull)
        if window:
            np.maximum(self.shadow[window], self.cover(window, hull), out=self.shadow[window])

    def light_up(self, window: Window, cover: np.ndarray, light: np.ndarray | float) -> None:
        """Let what `cover` shows stand in the sun, with direct light relative to level ground."""
        self.shadow[window] *= 1 - cover
        layer = self.light[window]
        layer += cover * (light - layer)
