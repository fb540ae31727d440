"""The buildings of the demo: outlines as seen from above, roofs, and what stands on them."""

from dataclasses import dataclass, replace

import numpy as np

from maskmill.demo import geometry


@dataclass(frozen=True)
class Wing:
    """A rectangle under one roof, or a disc under a cone (`length` = diameter).

    roof: gable (ridge along `angle`), hip, shed, saw, flat or cone; slope: rise over run.
    """

    centre: np.ndarray
    angle: float
    length: float
    width: float
    roof: str
    slope: float


@dataclass(frozen=True)
class Fitting:
    """Something on a roof: chimney, unit (ventilation), panels (solar) or skylight; height above the roof in pixels."""

    kind: str
    centre: np.ndarray
    angle: float
    length: float
    width: float
    height: float


@dataclass(frozen=True)
class Building:
    """outline: of the roof (N, 2); shape: how a person marks it (polygon, rectangle, circle); eaves: their height."""

    wings: tuple[Wing, ...]
    outline: np.ndarray
    shape: str
    eaves: float
    colour: np.ndarray
    fittings: tuple[Fitting, ...] = ()

    def moved(self, by: np.ndarray) -> "Building":
        """The same building elsewhere."""
        return replace(
            self,
            outline=self.outline + by,
            wings=tuple(replace(wing, centre=wing.centre + by) for wing in self.wings),
            fittings=tuple(replace(fitting, centre=fitting.centre + by) for fitting in self.fittings),
        )


def house(rng: np.random.Generator, angle: float, colour: np.ndarray) -> Building:
    """A dwelling with a pitched roof, plain or with a wing at one end or in the middle."""
    length, width = rng.uniform(27, 44), rng.uniform(20, 27)
    roof = "gable" if rng.random() < 0.62 else "hip"
    if rng.random() < 0.42:
        return _with_wing(rng, angle, length + 8, width - 2, roof, colour)
    slope = rng.uniform(0.4, 0.7)
    fittings = []
    if rng.random() < 0.6:
        fittings.append(_on_roof(angle, "chimney", rng.uniform(-0.3, 0.3) * length, rng.uniform(-3, 3), 3.2, 2.4, 3))
    if rng.random() < 0.25:
        side = rng.choice((-1, 1)) * width / 4
        fittings.append(_on_roof(angle, "panels", rng.uniform(-3, 3), side, 0.45 * length, 0.28 * width, 0))
    elif rng.random() < 0.4:
        fittings.append(_on_roof(angle, "skylight", rng.uniform(-6, 6), rng.choice((-1, 1)) * width / 4, 2.6, 2.0, 0))
    return _block(angle, length, width, roof, slope, rng.uniform(9, 14), colour, "polygon", fittings)


def barn(rng: np.random.Generator, angle: float, colour: np.ndarray) -> Building:
    """A long gabled farm building with a row of skylights or none."""
    length, width = rng.uniform(46, 86), rng.uniform(22, 34)
    rows = np.linspace(-0.36, 0.36, int(length / 12)) * length if rng.random() < 0.5 else ()
    fittings = [_on_roof(angle, "skylight", at, side * width / 4, 2.4, 5.5, 0) for at in rows for side in (-1, 1)]
    return _block(
        angle, length, width, "gable", rng.uniform(0.3, 0.5), rng.uniform(11, 16), colour, "polygon", fittings
    )


def hall(rng: np.random.Generator, angle: float, colour: np.ndarray) -> Building:
    """A works hall: flat with ventilation units, saw-toothed, or low-pitched."""
    length, width = rng.uniform(50, 80), rng.uniform(32, 50)
    roof = str(rng.choice(("flat", "saw", "gable"), p=(0.55, 0.2, 0.25)))
    fittings = []
    if roof == "flat":
        for _ in range(rng.integers(2, 7)):
            at, aside = rng.uniform(-0.4, 0.4, 2) * (length, width)
            sides = rng.uniform(3, 8, 2)
            fittings.append(_on_roof(angle, "unit", at, aside, sides[0], sides[1], rng.uniform(2, 4)))
        if rng.random() < 0.4:
            fittings.append(_on_roof(angle, "panels", 0.24 * length, 0.0, 0.3 * length, 0.5 * width, 0))
    return _block(angle, length, width, roof, rng.uniform(0.16, 0.3), rng.uniform(12, 20), colour, "polygon", fittings)


def shed(rng: np.random.Generator, colour: np.ndarray) -> Building:
    """A plain shed that stands parallel to the picture's borders."""
    length, width = rng.uniform(24, 44), rng.uniform(20, 28)
    angle = rng.integers(2) * np.pi / 2
    roof = str(rng.choice(("shed", "gable", "flat")))
    slope = 0.25 if roof == "shed" else 0.4
    return _block(angle, length, width, roof, slope, rng.uniform(8, 12), colour, "rectangle", [])


def tank(rng: np.random.Generator, colour: np.ndarray) -> Building:
    """A round tank or silo with a low cone for a roof."""
    radius = rng.uniform(10, 19)
    wing = Wing(np.zeros(2), 0.0, 2 * radius, 2 * radius, "cone", rng.uniform(0.35, 0.6))
    shape = "circle" if rng.random() < 0.75 else "polygon"
    return Building((wing,), geometry.circle(np.zeros(2), radius, 48), shape, rng.uniform(9, 18), colour)


def annex(rng: np.random.Generator, building: Building) -> Building:
    """A flat-roofed extension that reaches a little under the longer wall of a one-winged building."""
    wing = building.wings[0]
    length, width = max(20.0, rng.uniform(0.45, 0.7) * wing.length), rng.uniform(20, 24)
    local = [[rng.uniform(-0.15, 0.15) * wing.length, rng.choice((-1, 1)) * (wing.width + width - 4) / 2]]
    block = _block(
        wing.angle, length, width, "flat", 0.0, 0.6 * building.eaves, building.colour * 0.9 + 12, "polygon", []
    )
    return block.moved(geometry.to_picture(np.array(local), wing.centre, wing.angle)[0])


def _block(
    angle: float,
    length: float,
    width: float,
    roof: str,
    slope: float,
    eaves: float,
    colour: np.ndarray,
    shape: str,
    fittings: list[Fitting],
) -> Building:
    centre = np.zeros(2)
    wing = Wing(centre, angle, length, width, roof, slope)
    outline = geometry.rectangle(centre, angle, length, width)
    return Building((wing,), outline, shape, eaves, colour, tuple(fittings))


def _with_wing(
    rng: np.random.Generator, angle: float, length: float, width: float, roof: str, colour: np.ndarray
) -> Building:
    """An L or T shape: a main block and a narrower one that leaves its long side at a right angle."""
    a, b, reach, half = length / 2, width / 2, rng.uniform(12, 20), rng.uniform(0.7, 0.95) * width / 2
    at_end = rng.random() < 0.65
    at = a - half if at_end else rng.uniform(-0.2, 0.2) * length
    outline = [
        [-a, -b],
        [a, -b],
        [a, b],
        [at + half, b],
        [at + half, b + reach],
        [at - half, b + reach],
        [at - half, b],
    ]
    outline.append([-a, b])
    if at_end:
        del outline[2:4]
    mirrored = np.array(outline) * (rng.choice((-1, 1)), 1)
    side = np.sign(mirrored[1, 0])
    slope = rng.uniform(0.4, 0.65)
    wing_centre = geometry.to_picture(np.array([[side * at, (b + reach) / 2]]), np.zeros(2), angle)[0]
    main = Wing(np.zeros(2), angle, length, width, roof, slope)
    wing = Wing(wing_centre, angle + np.pi / 2, b + reach, 2 * half, "gable", slope)
    outline = geometry.to_picture(mirrored, np.zeros(2), angle)
    return Building((main, wing), outline, "polygon", rng.uniform(9, 14), colour)


def _on_roof(angle: float, kind: str, at: float, aside: float, length: float, width: float, height: float) -> Fitting:
    centre = geometry.to_picture(np.array([[at, aside]]), np.zeros(2), angle)[0]
    return Fitting(kind, centre, angle, length, width, height)
