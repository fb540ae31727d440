"""Plane geometry of the demo scenes: curves, ribbons, rectangles and clipping.

Points are float arrays (N, 2) of x (right) and y (down) in pixels of the finished picture; pixel i spans [i, i + 1).
Angles are radians from the x axis towards the y axis.
"""

import numpy as np
from scipy.interpolate import CubicSpline


def direction(angle: float) -> np.ndarray:
    """Unit vector (2,) of an angle."""
    return np.array([np.cos(angle), np.sin(angle)])


def to_picture(local: np.ndarray, centre: np.ndarray, angle: float) -> np.ndarray:
    """Turn points (N, 2) of a frame that is rotated by `angle` about `centre` into picture coordinates."""
    along = direction(angle)
    return np.asarray(centre) + np.asarray(local, float) @ np.array([along, [-along[1], along[0]]])


def rectangle(centre: np.ndarray, angle: float, length: float, width: float) -> np.ndarray:
    """Corners (4, 2) of a rectangle whose `length` runs along `angle`."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (length / 2, width / 2)
    return to_picture(half, centre, angle)


def circle(centre: np.ndarray, radius: float, vertices: int) -> np.ndarray:
    """Regular polygon (vertices, 2) inscribed in a circle."""
    turn = np.arange(vertices) * (2 * np.pi / vertices)
    return np.asarray(centre) + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def smooth_curve(knots: np.ndarray, spacing: float) -> np.ndarray:
    """Points about `spacing` pixels apart on the cubic spline through `knots` (N ≥ 2, 2)."""
    knots = np.asarray(knots, float)
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    spline = CubicSpline(chord, knots)
    dense = spline(np.linspace(0, chord[-1], 2000))
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
    steps = max(2, int(length[-1] / spacing))
    at = np.interp(np.linspace(0, length[-1], steps), length, np.linspace(0, chord[-1], 2000))
    return spline(at)


def tangents(curve: np.ndarray) -> np.ndarray:
    """Unit tangent (N, 2) at each point of a curve (N, 2)."""
    step = np.gradient(curve, axis=0)
    return step / np.linalg.norm(step, axis=1, keepdims=True)


def offset_curve(curve: np.ndarray, distance: float) -> np.ndarray:
    """The curve (N, 2) moved sideways by `distance`, to the right of its direction on the screen if positive."""
    along = tangents(curve)
    return curve + distance * np.stack([-along[:, 1], along[:, 0]], axis=1)


def ribbon(curve: np.ndarray, width: float) -> np.ndarray:
    """Outline (2N, 2) of a band of constant `width` along a curve (N, 2)."""
    return np.concatenate([offset_curve(curve, -width / 2), offset_curve(curve, width / 2)[::-1]])


def clip_half_plane(polygon: np.ndarray, point: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Part (M, 2) of a polygon (N, 2) on the side of `point` that `normal` points to (Sutherland & Hodgman, 1974)."""
    height = (polygon - point) @ normal
    kept = []
    for here, there, a, b in zip(polygon, np.roll(polygon, -1, axis=0), height, np.roll(height, -1), strict=True):
        if a >= 0:
            kept.append(here)
        if (a >= 0) != (b >= 0):
            kept.append(here + (there - here) * (a / (a - b)))
    return np.array(kept).reshape(-1, 2)


def clip_box(polygon: np.ndarray, low: float, high: float) -> np.ndarray:
    """Part (M, 2) of a polygon inside the square [low, high]²; M = 0 where they do not meet."""
    for axis in range(2):
        for bound, sign in ((low, 1.0), (high, -1.0)):
            normal = np.zeros(2)
            normal[axis] = sign
            polygon = clip_half_plane(polygon, np.full(2, bound), normal)
    return np.clip(polygon, low, high)


def area(polygon: np.ndarray) -> float:
    """Area of a simple polygon (N, 2) in square pixels."""
    x, y = polygon.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
