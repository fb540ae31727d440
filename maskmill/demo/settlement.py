"""Settling a demo scene: buildings along roads and in clusters, gardens, yards, car parks, traffic."""

import numpy as np

from maskmill.demo import geometry
from maskmill.demo.buildings import Building, annex, barn, hall, house, shed, tank
from maskmill.demo.scene import BUILDING, ROAD, STEP, YARD, Car, Ground, Patch, Road, Scene, Tree
from maskmill.demo.site import Site

LOT = {"suburb": 46, "village": 56, "farm": 130, "industry": 92}
"""Distance between building plots along a road."""

CLUSTER = {"suburb": 5, "village": 7, "farm": 11, "industry": 12}
"""Number of buildings away from the roads."""

MIX = {
    "suburb": (0.85, 0.0, 0.06, 0.09, 0.0),
    "village": (0.66, 0.14, 0.0, 0.16, 0.04),
    "farm": (0.2, 0.42, 0.0, 0.18, 0.2),
    "industry": (0.05, 0.12, 0.46, 0.12, 0.25),
}
"""Shares of house, barn, hall, shed and tank."""

CAR_COLOURS = np.array(
    [(225, 225, 222), (60, 62, 66), (150, 152, 155), (150, 40, 36), (46, 70, 120), (28, 28, 30)], float
)


def settle(scene: Scene, site: Site, rng: np.random.Generator, ground: Ground) -> None:
    """Place buildings, gardens, yards and cars on the free ground of a scene that has its roads."""
    for road in scene.roads:
        for side in (-1, 1):
            _line_road(scene, site, rng, ground, road, side)
    _build_cluster(scene, site, rng, ground)
    for _ in range({"industry": 3, "suburb": 2}.get(site.kind, 1)):
        _lay_car_park(scene, site, rng, ground)
    _drive_cars(scene, rng)


def _line_road(scene: Scene, site: Site, rng: np.random.Generator, ground: Ground, road: Road, side: int) -> None:
    along = geometry.tangents(road.curve)
    at = rng.uniform(0, LOT[site.kind])
    while at < STEP * (len(road.curve) - 1):
        index = int(at / STEP)
        angle = float(np.arctan2(along[index, 1], along[index, 0]) + rng.normal(0, 0.03))
        building = _draw_building(site, rng, angle)
        away = side * geometry.direction(angle + np.pi / 2)
        front = -(building.outline @ away).min()
        at_kerb = road.sidewalk == 0 and rng.random() < 0.08
        setback = -2.5 if at_kerb else road.sidewalk + rng.uniform(5, 18)
        place = road.curve[index] + (road.width / 2 + setback + front) * away
        if _place(scene, rng, ground, building.moved(place), at_kerb) and building.shape != "circle":
            _lay_plot(scene, site, rng, ground, place, road.curve[index], angle)
        at += LOT[site.kind] * rng.uniform(0.85, 1.3)


def _build_cluster(scene: Scene, site: Site, rng: np.random.Generator, ground: Ground) -> None:
    """A farmyard, an estate or a works: buildings at right angles to one another, with paved ground between them."""
    centre = scene.size * rng.uniform(0.2, 0.8, 2)
    along = geometry.tangents(scene.roads[0].curve).mean(axis=0)
    angle = float(np.arctan2(along[1], along[0]) + rng.normal(0, 0.1))
    spread = scene.size * {"farm": 0.13, "village": 0.2}.get(site.kind, 0.27)
    left = round(CLUSTER[site.kind] * scene.size**2 / 512**2)
    for _ in range(12 * left):
        building = _draw_building(site, rng, angle + rng.integers(2) * np.pi / 2)
        place = centre + rng.normal(0, spread, 2)
        if left and _place(scene, rng, ground, building.moved(place)):
            left -= 1
            if rng.random() < 0.25:
                _pave(scene, site, rng, place, angle)


def _draw_building(site: Site, rng: np.random.Generator, angle: float) -> Building:
    """A building at the origin whose roof may have the colour of a road or of soil."""
    choice = rng.random()
    colours = site.roofs if choice < 0.8 else site.asphalt[None] if choice < 0.9 else site.soils
    colour = rng.choice(colours) * rng.uniform(0.92, 1.1) + rng.normal(0, 3, 3)
    kind = rng.choice(5, p=MIX[site.kind])
    if kind >= 3:
        return (shed, tank)[kind - 3](rng, colour)
    return (house, barn, hall)[kind](rng, angle, colour)


def _place(scene: Scene, rng: np.random.Generator, ground: Ground, building: Building, at_kerb: bool = False) -> bool:
    """Add a building where its ground is free, some with an annex; `at_kerb` lets it reach over the road's edge."""
    outline = building.outline
    border = -4.0 if building.shape == "circle" else 10.0
    if outline.max(axis=0).min() < border or outline.min(axis=0).max() > scene.size - border:
        return False
    if building.shape == "circle" and (outline.min() < 2 or outline.max() > scene.size - 2):
        return False
    core = outline.mean(axis=0) + 0.7 * (outline - outline.mean(axis=0)) if at_kerb else outline
    if not (ground.is_free(core, 0 if at_kerb else 4) and ground.is_free(outline, 4, of=BUILDING | YARD)):
        return False
    scene.buildings.append(building)
    ground.take(outline, BUILDING, 1)
    if len(building.wings) == 1 and building.shape == "polygon" and len(outline) == 4 and rng.random() < 0.2:
        extension = annex(rng, building)
        if ground.is_free(extension.outline, 3, of=ROAD | YARD):
            scene.buildings.insert(len(scene.buildings) - 1, extension)
            ground.take(extension.outline, BUILDING, 1)
    return True


def _lay_plot(
    scene: Scene,
    site: Site,
    rng: np.random.Generator,
    ground: Ground,
    place: np.ndarray,
    door: np.ndarray,
    angle: float,
) -> None:
    """Garden or yard around a building, with a drive to the road, sometimes a hedge or a pool."""
    plot = geometry.rectangle(place, angle, rng.uniform(46, 62), rng.uniform(48, 66))
    if rng.random() < 0.7 and site.kind != "industry":
        colour = site.grass * rng.uniform(0.88, 1.12) + rng.normal(0, 4, 3)
        scene.patches.append(Patch(plot, "grass", angle, colour))
        _plant_hedge(scene, site, rng, ground, plot)
    elif rng.random() < 0.35:
        _pave(scene, site, rng, place, angle)
    aside = geometry.direction(angle) * rng.uniform(-9, 9)
    drive = geometry.ribbon(np.array([place + aside, door + aside]), rng.uniform(5, 8))
    scene.patches.append(Patch(drive, "paved", angle, _pavement(site, rng)))
    pool = geometry.rectangle(place + rng.choice((-1, 1)) * 27 * geometry.direction(angle), angle, 9, 15)
    if site.kind == "suburb" and rng.random() < 0.25 and ground.is_free(pool, 3):
        scene.patches.append(Patch(pool, "pool", angle, np.array([96.0, 170, 186])))
        ground.take(pool, YARD, 2)


def _plant_hedge(scene: Scene, site: Site, rng: np.random.Generator, ground: Ground, plot: np.ndarray) -> None:
    for here, there in zip(plot, np.roll(plot, -1, axis=0), strict=True):
        if rng.random() < 0.6:
            continue
        for share in np.arange(0, 1, 3.6 / np.linalg.norm(there - here)):
            centre = here + share * (there - here) + rng.normal(0, 0.4, 2)
            if ground.is_free(geometry.circle(centre, 3, 8)):
                scene.trees.append(Tree(centre, rng.uniform(2.2, 3.2), site.leaves[0] * rng.uniform(0.85, 1.1)))


def _pave(scene: Scene, site: Site, rng: np.random.Generator, place: np.ndarray, angle: float) -> None:
    yard = geometry.rectangle(place + rng.normal(0, 12, 2), angle, rng.uniform(60, 105), rng.uniform(50, 90))
    scene.patches.append(Patch(yard, "paved", angle, _pavement(site, rng)))


def _pavement(site: Site, rng: np.random.Generator) -> np.ndarray:
    """The very colour of the site's roads as a rule, else that of soil or gravel."""
    base = site.asphalt if rng.random() < 0.6 else rng.choice(site.soils) * 0.6 + 66
    return base * rng.uniform(0.95, 1.08)


def _lay_car_park(scene: Scene, site: Site, rng: np.random.Generator, ground: Ground) -> None:
    """A car park with its cars in rows, or a sports court, beside a road or on its own; neither is a road."""
    for _ in range(25):
        road = scene.roads[rng.integers(len(scene.roads))]
        index = rng.integers(1, len(road.curve) - 1)
        along = road.curve[index + 1] - road.curve[index - 1]
        angle = float(np.arctan2(along[1], along[0]))
        is_court = rng.random() < 0.3
        length, width = (58.0, 32.0) if is_court else (rng.uniform(60, 110), rng.choice((34.0, 68.0)))
        gap = road.width / 2 + road.sidewalk + (14 if is_court else 3)
        away = rng.choice((-1, 1)) * geometry.direction(angle + np.pi / 2)
        centre = road.curve[index] + (gap + width / 2) * away
        outline = geometry.rectangle(centre, angle, length, width)
        if not ground.is_free(outline, 1) or centre.min() < 0 or centre.max() > scene.size:
            continue
        ground.take(outline, YARD, 1)
        if is_court:
            colour = rng.choice(np.array([(150.0, 92, 74), (84, 120, 96), (96, 112, 140)]))
            scene.patches.append(Patch(outline, "court", angle, colour))
            return
        scene.patches.append(Patch(outline, "parking", angle, site.asphalt * rng.uniform(0.96, 1.06)))
        _park_cars(scene, rng, centre, angle, length, width)
        return


def _park_cars(
    scene: Scene, rng: np.random.Generator, centre: np.ndarray, angle: float, length: float, width: float
) -> None:
    rows = [-width / 2 + 8, width / 2 - 8] if width < 40 else [-width / 2 + 8, -7, 7, width / 2 - 8]
    bays = [[at, row] for row in rows for at in np.arange(-length / 2 + 5, length / 2 - 3, 7.5)]
    for place in geometry.to_picture(np.array(bays), centre, angle):
        if rng.random() < 0.55:
            turned = angle + np.pi / 2 + rng.normal(0, 0.04)
            scene.cars.append(Car(place, turned, rng.uniform(10.5, 12.5), rng.choice(CAR_COLOURS)))


def _drive_cars(scene: Scene, rng: np.random.Generator) -> None:
    for road in scene.roads:
        along = geometry.tangents(road.curve)
        at = rng.uniform(10, 120)
        while road.paved and at < STEP * (len(road.curve) - 1):
            index, side = int(at / STEP), rng.choice((-1, 1))
            angle = float(np.arctan2(along[index, 1], along[index, 0]))
            place = road.curve[index] + side * 0.24 * road.width * geometry.direction(angle + np.pi / 2)
            length = rng.uniform(20, 27) if rng.random() < 0.12 else rng.uniform(10.5, 13)
            scene.cars.append(Car(place, angle, length, rng.choice(CAR_COLOURS)))
            at += rng.uniform(30, 190)
