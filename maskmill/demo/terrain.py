"""Painting the ground of a demo scene: fields, yards, roads and the traffic on them."""

import cv2
import numpy as np

from maskmill.demo import geometry
from maskmill.demo.canvas import FINER, Canvas, linear
from maskmill.demo.scene import Car, Patch, Road, Scene
from maskmill.imaging.distances import distance_to_zero

LINE_COLOUR = np.array([214.0, 212, 204])


def paint_terrain(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Paint patches, roads and cars, the latter with their shadows."""
    for patch in scene.patches:
        _paint_patch(canvas, patch, rng)
    distances = [_distance(canvas, road.curve) for road in scene.roads]
    for road, distance in zip(scene.roads, distances, strict=True):
        _paint_verge(canvas, road, distance)
    for road, distance in sorted(zip(scene.roads, distances, strict=True), key=lambda pair: pair[0].paved):
        _paint_carriageway(canvas, road, distance, rng)
    for road in scene.roads:
        if road.paved:
            _paint_marks(canvas, road)
    for car in scene.cars:
        _paint_car(canvas, car)


def _paint_patch(canvas: Canvas, patch: Patch, rng: np.random.Generator) -> None:
    window = canvas.window(patch.outline)
    if not window:
        return
    cover = canvas.cover(window, patch.outline)
    _, across = canvas.grid(window, patch.outline.mean(axis=0), patch.angle)
    coarse, middle, fine = (noise[window] for noise in (canvas.coarse, canvas.middle, canvas.fine))
    colour = linear(patch.colour)
    if patch.kind in ("crop", "soil"):
        tone = _rows(across + 0.7 * coarse, rng, patch.kind) + 0.1 * coarse + 0.06 * middle + 0.06 * fine
        bare = linear(patch.colour * 0.8 + np.array([34.0, 26, 18]))
        share = np.clip(0.25 + 0.3 * coarse + 0.2 * middle, 0, 1)[..., None]
        albedo = (colour + share * (bare - colour)) * np.exp(tone)[..., None]
    elif patch.kind in ("grass", "wood"):
        dry = linear(patch.colour * (1.16, 1.08, 1.04))
        share = np.clip(0.4 + 0.35 * coarse + 0.2 * middle, 0, 1)[..., None]
        albedo = (colour + share * (dry - colour)) * np.exp(0.12 * middle + 0.1 * fine)[..., None]
    else:
        tone = 0.05 * coarse + 0.05 * middle + 0.05 * fine
        albedo = colour * np.exp(tone if patch.kind != "pool" else 0.05 * middle)[..., None]
    canvas.paint(window, cover, albedo)
    if patch.kind == "parking":
        _paint_bays(canvas, patch)
    elif patch.kind in ("court", "pool"):
        _paint_rim(canvas, patch)


def _rows(across: np.ndarray, rng: np.random.Generator, kind: str) -> np.ndarray:
    """Log brightness of furrows or drill rows, with the sprayer's wheel tracks in crops."""
    period = rng.uniform(3.0, 5.5)
    tone = rng.uniform(0.04, 0.12) * np.sin(across * np.float32(2 * np.pi / period))
    if kind == "crop" and rng.random() < 0.7:
        within = np.abs(np.mod(across, np.float32(rng.uniform(34, 50))) - 8)
        tone -= 0.22 * np.exp(-((within - 3) ** 2) / np.float32(0.9))
    return tone


def _paint_bays(canvas: Canvas, patch: Patch) -> None:
    """The lines between the bays of a car park, along its two long sides."""
    corner, end, _, other = patch.outline
    length, width = np.linalg.norm(end - corner), np.linalg.norm(other - corner)
    rows = [8.0 - width / 2, width / 2 - 8.0] if width < 40 else [8.0 - width / 2, -7.0, 7.0, width / 2 - 8.0]
    bays = [[at, row] for row in rows for at in np.arange(-length / 2 + 1.2, length / 2, 7.5)]
    for place in geometry.to_picture(np.array(bays), patch.outline.mean(axis=0), patch.angle):
        canvas.paint_polygon(geometry.rectangle(place, patch.angle, 0.6, 12), LINE_COLOUR, 0.55)


def _paint_rim(canvas: Canvas, patch: Patch) -> None:
    """A bright line around a pool, just inside a court and across its middle."""
    centre, colour = patch.outline.mean(axis=0), LINE_COLOUR
    inset = -1.0 if patch.kind == "pool" else 2.0
    length, width = (np.linalg.norm(patch.outline[i + 1] - patch.outline[i]) - 2 * inset for i in (0, 1))
    lines = [geometry.to_picture(np.array([[0, y]]), centre, patch.angle)[0] for y in (-width / 2, width / 2)]
    posts = [geometry.to_picture(np.array([[x, 0]]), centre, patch.angle)[0] for x in (-length / 2, length / 2)]
    if patch.kind == "court":
        posts.append(centre)
    for place in lines:
        canvas.paint_polygon(geometry.rectangle(place, patch.angle, length + 0.7, 0.9), colour, 0.8)
    for place in posts:
        canvas.paint_polygon(geometry.rectangle(place, patch.angle, 0.9, width + 0.7), colour, 0.8)


def _distance(canvas: Canvas, curve: np.ndarray) -> np.ndarray:
    """Distance (side, side) of every cell from a curve, in picture pixels."""
    line = np.full((canvas.side, canvas.side), 255, np.uint8)
    cells = np.rint((curve * FINER - 0.5) * 16).astype(np.int32)
    cv2.polylines(line, [cells], False, 0, 1, cv2.LINE_8, shift=4)
    if line.all():
        return np.full(line.shape, np.inf, np.float32)
    return distance_to_zero(line) / np.float32(FINER)


def _within(distance: np.ndarray, radius: float) -> np.ndarray:
    return np.clip((np.float32(radius) - distance) * FINER + np.float32(0.5), 0, 1)


def _paint_verge(canvas: Canvas, road: Road, distance: np.ndarray) -> None:
    """Pavement with a kerb, or a worn strip of soil, along both sides."""
    whole = (slice(None), slice(None))
    if road.sidewalk:
        cover = _within(distance, road.width / 2 + road.sidewalk)
        canvas.paint(whole, cover, linear(np.array([164.0, 160, 152])) * np.exp(0.06 * canvas.fine)[..., None])
        canvas.paint(
            whole, _within(distance, road.width / 2 + 0.5) * np.float32(0.7), linear(np.array([190.0, 188, 182]))
        )
    else:
        cover = _within(distance, road.width / 2 + 1.6) * np.clip(0.55 + 0.4 * canvas.middle, 0, 0.9)
        canvas.paint(whole, cover, linear(canvas.site.soils[0] * 0.95))


def _paint_carriageway(canvas: Canvas, road: Road, distance: np.ndarray, rng: np.random.Generator) -> None:
    colour = canvas.site.asphalt * rng.uniform(0.94, 1.06) if road.paved else canvas.site.soils[0] * 1.06
    lane = distance / np.float32(road.width / 2)
    wheels = np.exp(-(((lane - np.float32(0.5)) / np.float32(0.22)) ** 2))
    tone = 0.05 * canvas.coarse + 0.04 * canvas.middle + 0.05 * canvas.fine
    tone += (-0.07 if road.paved else 0.12) * wheels
    albedo = linear(colour) * np.exp(tone)[..., None]
    if not road.paved:
        grown = 0.5 * np.exp(-((lane / np.float32(0.2)) ** 2)) * np.clip(0.5 + 0.5 * canvas.middle, 0, 1)
        albedo += grown[..., None] * (linear(canvas.site.grass) - albedo)
    canvas.paint((slice(None), slice(None)), _within(distance, road.width / 2), albedo)
    for index in rng.integers(1, len(road.curve) - 1, 6 if road.paved else 0):
        step = road.curve[index + 1] - road.curve[index - 1]
        place = geometry.offset_curve(road.curve, rng.choice((-1, 1)) * road.width / 4)[index]
        mend = geometry.rectangle(place, float(np.arctan2(step[1], step[0])), rng.uniform(6, 22), 0.36 * road.width)
        canvas.paint_polygon(mend, colour * rng.choice((0.86, 1.1)), 0.6)


def _paint_marks(canvas: Canvas, road: Road) -> None:
    """A broken line along the middle of a wide road, and zebra crossings before its junctions."""
    gap = np.linalg.norm(road.curve[:, None] - road.junctions, axis=2).min(axis=1)
    if road.width >= 13:
        for start in range(0, len(road.curve) - 4, 5):
            if gap[start : start + 3].min() > 18:
                canvas.paint_polygon(geometry.ribbon(road.curve[start : start + 3], 0.8), LINE_COLOUR, 0.75)
    if not road.sidewalk:
        return
    along = geometry.tangents(road.curve)
    for index in np.flatnonzero(np.abs(gap - 20) < 1.5)[::2]:
        angle = float(np.arctan2(along[index, 1], along[index, 0]))
        stripes = np.arange(-road.width / 2 + 1.5, road.width / 2 - 0.5, 2.6)
        bars = np.stack([np.zeros_like(stripes), stripes], axis=1)
        for place in geometry.to_picture(bars, road.curve[index], angle):
            canvas.paint_polygon(geometry.rectangle(place, angle, 6, 1.2), LINE_COLOUR, 0.8)


def _paint_car(canvas: Canvas, car: Car) -> None:
    width = 5.0 if car.length < 16 else 6.2
    body = geometry.rectangle(car.centre, car.angle, car.length, width)
    window = canvas.window(body)
    if not window:
        return
    canvas.cast(body, 3.0 if car.length < 16 else 7.0)
    cover = canvas.cover(window, body)
    canvas.paint(window, cover, linear(car.colour))
    canvas.light_up(window, cover, 1.0)
    panes = ((0.18, 0.13), (-0.3, 0.1)) if car.length < 16 else ((0.3, 0.02),)
    for at, share in panes:
        place = geometry.to_picture(np.array([[at * car.length, 0]]), car.centre, car.angle)[0]
        pane = geometry.rectangle(place, car.angle, share * car.length, 0.8 * width)
        canvas.paint_polygon(pane, np.array([38.0, 42, 48]), 0.9)
