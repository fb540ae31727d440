"""Painting the buildings of a demo scene: cast shadows, then roofs whose faces take the light by their slope."""

import cv2
import numpy as np

from maskmill.demo import geometry
from maskmill.demo.buildings import Building, Fitting, Wing
from maskmill.demo.canvas import FINER, Canvas, Window, linear

SAW_PERIOD = 12.0
"""Distance between the teeth of a saw-toothed roof, in picture pixels."""


def cast_shadows(canvas: Canvas, building: Building) -> None:
    """Shade the ground beside a building: the hull of its eaves and ridges and of where their shadows fall."""
    shift = -canvas.site.cotangent * canvas.site.sun
    for wing in building.wings:
        if wing.roof == "cone":
            eaves = building.outline
        else:
            eaves = geometry.rectangle(wing.centre, wing.angle, wing.length, wing.width)
        inset = wing.width / 2 if wing.roof in ("hip", "cone") else 0.0
        pitched = wing.roof in ("gable", "hip", "cone")
        ridge_height = building.eaves + (wing.width / 2 * wing.slope if pitched else 0.0)
        half = max(wing.length / 2 - inset, 0.0) * geometry.direction(wing.angle)
        ridge = np.array([wing.centre - half, wing.centre + half])
        canvas.cast_hull(np.concatenate([eaves, eaves + building.eaves * shift, ridge + ridge_height * shift]))


def paint_building(canvas: Canvas, building: Building) -> None:
    """Paint the roof, which stands in the sun, and what is mounted on it."""
    window = canvas.window(building.outline)
    if not window:
        return
    cover = canvas.cover(window, building.outline)
    height = np.full(cover.shape, -1, np.float32)
    light = np.ones_like(height)
    tone = np.zeros_like(height)
    for wing in building.wings:
        rise, lit, detail = _roof(canvas, window, wing)
        higher = rise > height
        height[higher], light[higher], tone[higher] = rise[higher], lit[higher], detail[higher]
    tone += 0.07 * canvas.middle[window] + 0.05 * canvas.fine[window] + 0.05 * canvas.coarse[window]
    canvas.paint(window, cover, linear(building.colour) * np.exp(tone)[..., None])
    canvas.light_up(window, cover, light)
    _edge(canvas, window, building)
    for fitting in building.fittings:
        _paint_fitting(canvas, building, fitting)


def _roof(canvas: Canvas, window: Window, wing: Wing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height above the eaves (negative outside), direct light and log brightness of a wing's roof in a window."""
    along, across = canvas.grid(window, wing.centre, wing.angle)
    end, side = wing.length / 2 - np.abs(along), wing.width / 2 - np.abs(across)
    inside = np.minimum(end, side)
    sideways = np.sign(across) * _sunward(canvas, wing.angle + np.pi / 2)
    endways = np.sign(along) * _sunward(canvas, wing.angle)
    downhill, rise = sideways, side
    courses = np.mod(side, np.float32(1.7)) / np.float32(1.7) - np.float32(0.5)
    tone = 0.07 * courses - 0.16 * np.exp(-((side / np.float32(0.7)) ** 2))
    if wing.roof == "hip":
        downhill, rise = np.where(end < side, endways, sideways), inside
        tone += 0.18 * np.exp(-(((end - side) / np.float32(0.8)) ** 2))
    elif wing.roof == "shed":
        downhill, rise = np.full_like(side, _sunward(canvas, wing.angle + np.pi / 2)), wing.width / 2 - across
    elif wing.roof == "saw":
        tooth = np.mod(across, np.float32(SAW_PERIOD)) < 0.68 * SAW_PERIOD
        downhill = np.where(tooth, 1, -1.7) * _sunward(canvas, wing.angle + np.pi / 2)
        tone = np.where(tooth, 0.0, -0.25).astype(np.float32)
    elif wing.roof == "cone":
        radius = np.hypot(along, across) + np.float32(1e-3)
        downhill = (along * canvas.site.sun[0] + across * canvas.site.sun[1]) / radius
        rise = wing.width / 2 - radius
        inside, tone = rise, -0.08 * np.exp(-(((rise - 2) / np.float32(0.5)) ** 2))
    elif wing.roof == "flat":
        seams = np.mod(along, np.float32(7)) < 0.5
        downhill, rise, tone = np.zeros_like(side), np.ones_like(side), np.where(seams, -0.06, 0).astype(np.float32)
    if wing.roof in ("gable", "hip"):
        tone += 0.2 * np.exp(-((across / np.float32(0.7)) ** 2)) * (end > 0)
    cosine = 1 / np.hypot(1, wing.slope)
    light = cosine * (1 + wing.slope * canvas.site.cotangent * downhill)
    height = np.where(inside > -0.7, np.maximum(rise, 0) * wing.slope, -1)
    return height.astype(np.float32), np.clip(light, 0.06, 1.6).astype(np.float32), tone.astype(np.float32)


def _sunward(canvas: Canvas, angle: float) -> float:
    return float(geometry.direction(angle) @ canvas.site.sun)


def _edge(canvas: Canvas, window: Window, building: Building) -> None:
    """Gutter of a pitched roof, bright parapet of a flat one or of a tank."""
    rows, columns = window
    line = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    inner = building.outline.mean(axis=0) + (building.outline - building.outline.mean(axis=0)) * 0.985
    cells = np.rint((inner * FINER - 0.5 - (columns.start, rows.start)) * 16).astype(np.int32)
    roof = building.wings[0].roof
    parapet = roof in ("flat", "cone", "saw")
    cv2.polylines(line, [cells], True, 255, 2 if parapet else 1, cv2.LINE_AA, shift=4)
    opacity = line.astype(np.float32) * np.float32((0.7 if parapet else 0.5) / 255)
    colour = building.colour * 0.6 + 90 if parapet else building.colour * 0.62
    canvas.paint(window, opacity * canvas.cover(window, building.outline), linear(colour))


def _paint_fitting(canvas: Canvas, building: Building, fitting: Fitting) -> None:
    outline = geometry.rectangle(fitting.centre, fitting.angle, fitting.length, fitting.width)
    if fitting.height:
        shift = -fitting.height * canvas.site.cotangent * canvas.site.sun
        shade = cv2.convexHull(np.concatenate([outline, outline + shift]).astype(np.float32))[:, 0].astype(float)
        window = canvas.window(shade)
        if window:
            roof = canvas.cover(window, building.outline)
            canvas.light[window] *= 1 - 0.9 * canvas.cover(window, shade) * roof
    window = canvas.window(outline)
    if not window:
        return
    cover = canvas.cover(window, outline)
    colours = {
        "chimney": (150.0, 96, 80),
        "unit": (176.0, 178, 180),
        "panels": (38.0, 50, 84),
        "skylight": (176.0, 196, 206),
    }
    canvas.paint(window, cover, linear(np.array(colours[fitting.kind])))
    if fitting.height:
        canvas.light_up(window, cover, 1.0)
    if fitting.kind == "panels":
        along, across = canvas.grid(window, fitting.centre, fitting.angle)
        frames = (np.mod(along, np.float32(3.2)) < 0.5) | (np.mod(across, np.float32(5)) < 0.5)
        canvas.paint(window, cover * frames * np.float32(0.5), linear(np.array([120.0, 130, 150])))
