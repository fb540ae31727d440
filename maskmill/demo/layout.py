"""Laying out a demo scene: fields, roads, settlement, trees."""

import cv2
import numpy as np

from maskmill.demo import geometry
from maskmill.demo.scene import BUILDING, ROAD, STEP, YARD, Ground, Patch, Road, Scene, Tree
from maskmill.demo.settlement import settle
from maskmill.demo.site import Site


def compose_scene(site: Site, rng: np.random.Generator, size: int, empty: bool) -> Scene:
    """Lay out a scene of `size` × `size` pixels; an `empty` one has fields and trees only."""
    scene, ground = Scene(size), Ground(size)
    heading = rng.uniform(0, np.pi)
    _lay_fields(scene, site, rng, heading, open_land=empty or site.kind in ("farm", "village"))
    fields = list(scene.patches)
    if not empty:
        _lay_roads(scene, site, rng, heading)
        for road in scene.roads:
            ground.take(geometry.ribbon(road.curve, road.width + 2 * road.sidewalk), ROAD, 1)
        settle(scene, site, rng, ground)
    _plant_trees(scene, site, rng, ground, fields)
    return scene


def _lay_fields(scene: Scene, site: Site, rng: np.random.Generator, heading: float, open_land: bool) -> None:
    """Cut the ground into convex parcels that follow the main road's heading."""
    far = scene.size + 20.0
    whole = np.array([[-20.0, -20.0], [far, -20.0], [far, far], [-20.0, far]])
    shares = (0.26, 0.44, 0.22, 0.08) if open_land else (0.62, 0.0, 0.28, 0.1)
    largest = rng.uniform(0.1, 0.2) * scene.size**2
    for parcel in _split(rng, whole, heading, largest):
        kind = str(rng.choice(("grass", "crop", "soil", "wood"), p=shares))
        rows = heading + rng.normal(0, 0.05) + rng.integers(2) * np.pi / 2
        colours = {"crop": site.crops, "soil": site.soils}.get(kind, site.grass[None])
        colour = rng.choice(colours) * rng.uniform(0.9, 1.1) + rng.normal(0, 3, 3)
        scene.patches.append(Patch(parcel, kind, rows, colour))


def _split(rng: np.random.Generator, parcel: np.ndarray, heading: float, largest: float) -> list[np.ndarray]:
    if geometry.area(parcel) < largest * rng.uniform(0.7, 1.6):
        return [parcel]
    extent = [np.ptp(parcel @ geometry.direction(heading + turn)) for turn in (0, np.pi / 2)]
    turn = 0 if extent[0] > extent[1] else np.pi / 2
    normal = geometry.direction(heading + turn + rng.normal(0, 0.08))
    along = parcel @ normal
    point = normal * (along.min() + np.ptp(along) * rng.uniform(0.35, 0.65))
    halves = [geometry.clip_half_plane(parcel, point, side * normal) for side in (1, -1)]
    return [piece for half in halves for piece in _split(rng, half, heading, largest)]


def _lay_roads(scene: Scene, site: Site, rng: np.random.Generator, heading: float) -> None:
    """A main road through the picture, and one or two that branch off or cross it."""
    size = scene.size
    bend = {"suburb": 0.05, "industry": 0.02}.get(site.kind, 0.09)
    sidewalk = rng.uniform(1.8, 3.0) if site.kind in ("suburb", "industry") else 0.0
    main = _winding(rng, size * rng.uniform(0.35, 0.65, 2), heading, size, bend)
    inside = np.flatnonzero(((main > 0) & (main < size)).all(axis=1))
    branches = 1 if site.kind == "farm" else 2
    side_roads = []
    for position in (np.arange(branches) + rng.uniform(0.25, 0.75, branches)) / branches:
        foot = main[inside[int(position * (len(inside) - 1))]]
        across = heading + np.pi / 2 + rng.normal(0, 0.14) + np.pi * rng.integers(2)
        curve = _winding(rng, foot, across, size, bend, start=-1.0 if rng.random() < 0.4 else 0.0)
        paved = site.kind not in ("farm", "village") or rng.random() < 0.5
        side_roads.append(Road(curve, rng.uniform(10, 15), paved, sidewalk if paved else 0.0, foot[None]))
    feet = np.concatenate([road.junctions for road in side_roads])
    scene.roads = [Road(main, rng.uniform(15, 22), True, sidewalk, feet), *side_roads]


def _winding(
    rng: np.random.Generator, through: np.ndarray, heading: float, size: int, bend: float, start: float = -1.0
) -> np.ndarray:
    """A curve through a point to beyond the border; `start`: -1 beyond the border behind it, 0 at the point."""
    reach = max(1.3 * size, 300.0)
    at = np.linspace(start, 1.0, 5 if start == 0 else 9) * reach
    aside = rng.normal(0, bend * size, len(at)) * np.minimum(1, np.abs(at) / (0.3 * reach))
    return geometry.smooth_curve(geometry.to_picture(np.stack([at, aside], axis=1), through, heading), STEP)


def _plant_trees(scene: Scene, site: Site, rng: np.random.Generator, ground: Ground, fields: list[Patch]) -> None:
    """Woods, rows along roads and field borders, and single trees; none stands on a road or hides much of a roof."""
    places = [rng.uniform(-8, scene.size + 8, (int(scene.size**2 / 4500), 2))]
    for patch in fields:
        if patch.kind == "wood":
            places.append(_scatter(rng, patch.outline, 70))
        for here, there in zip(patch.outline, np.roll(patch.outline, -1, axis=0), strict=True):
            if rng.random() < 0.22:
                places.append(_row(rng, np.array([here, there]), 9))
    for road in scene.roads:
        for side in (-1, 1):
            if rng.random() < 0.4:
                away = road.width / 2 + road.sidewalk + 3.5
                places.append(_row(rng, geometry.offset_curve(road.curve, side * away), rng.uniform(16, 30)))
    for centre in np.concatenate(places):
        radius = rng.uniform(3.5, 6.5) if rng.random() < 0.4 else rng.uniform(6, 11)
        colour = rng.choice(site.leaves) * rng.uniform(0.8, 1.2) + rng.normal(0, 4, 3)
        stem, crown = geometry.circle(centre, 2.0, 6), geometry.circle(centre, 0.85 * radius, 12)
        if ground.is_free(stem, of=ROAD | YARD) and ground.is_free(crown, 1, of=BUILDING):
            scene.trees.append(Tree(centre, radius, colour))


def _scatter(rng: np.random.Generator, outline: np.ndarray, ground_each: float) -> np.ndarray:
    low, high = outline.min(axis=0), outline.max(axis=0)
    points = rng.uniform(low, high, (int(np.prod(high - low) / ground_each), 2))
    polygon = outline.astype(np.float32)
    inside = [cv2.pointPolygonTest(polygon, (float(x), float(y)), True) > 4 for x, y in points]
    return points[np.array(inside, bool)]


def _row(rng: np.random.Generator, line: np.ndarray, spacing: float) -> np.ndarray:
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.arange(0, length[-1], spacing)
    points = np.stack([np.interp(at, length, line[:, axis]) for axis in range(2)], axis=1)
    return points + rng.normal(0, 1.2, points.shape)
