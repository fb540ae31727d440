"""Painting the trees of a demo scene: lumpy crowns lit from the sun's side, and their shadows."""

import cv2
import numpy as np

from maskmill.demo import geometry
from maskmill.demo.canvas import FINER, Canvas, fractal_noise, linear
from maskmill.demo.scene import Tree

STAMP = 48
"""Side of a crown stamp in cells; crowns are shrunk from it."""


def cast_shadow(canvas: Canvas, tree: Tree) -> None:
    """Shade the ground beside a tree, a little narrower than its crown."""
    crown = geometry.circle(tree.centre, 0.9 * tree.radius, 16)
    shift = -canvas.site.cotangent * canvas.site.sun * tree.radius
    canvas.cast_hull(np.concatenate([crown + 0.4 * shift, crown + 1.3 * shift]))


def paint_trees(canvas: Canvas, trees: list[Tree], rng: np.random.Generator) -> None:
    """Paint crowns, the smaller ones first, each from one of twelve stamps."""
    stamps = [_crown(canvas, rng) for _ in range(12)]
    for tree in sorted(trees, key=lambda tree: tree.radius):
        light, cover = stamps[rng.integers(len(stamps))]
        reach = max(3, round(tree.radius * FINER))
        top, left = np.rint(tree.centre[::-1] * FINER).astype(int) - reach
        rows = slice(max(top, 0), min(top + 2 * reach, canvas.side))
        columns = slice(max(left, 0), min(left + 2 * reach, canvas.side))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        part = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
        light, cover = (
            cv2.resize(layer, (2 * reach, 2 * reach), interpolation=cv2.INTER_AREA)[part] for layer in (light, cover)
        )
        canvas.paint((rows, columns), cover, linear(tree.colour))
        canvas.light_up((rows, columns), cover, light)


def _crown(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Direct light and cover, (STAMP, STAMP) each, of a dome with clumps of foliage and a ragged outline."""
    y, x = np.mgrid[-1 : 1 : STAMP * 1j, -1 : 1 : STAMP * 1j].astype(np.float32)
    clumps = fractal_noise(rng, STAMP, 12, 3)
    ragged = np.hypot(x, y) * (1 + 0.09 * clumps) + np.float32(0.06)
    dome = np.sqrt(np.clip(1 - ragged**2, 0, 1)) + np.float32(0.13) * clumps
    slope_y, slope_x = np.gradient(dome, 2 / STAMP)
    facing = -(slope_x * canvas.site.sun[0] + slope_y * canvas.site.sun[1]) * canvas.site.cotangent
    light = (1 + facing) / np.sqrt(1 + slope_x**2 + slope_y**2)
    shaded = np.float32(0.55) + np.float32(0.5) * np.clip(dome, 0, 1)
    cover = np.clip((1 - ragged) * 8, 0, 1)
    return (np.clip(light, 0.04, 1.7) * shaded).astype(np.float32), cover.astype(np.float32)
