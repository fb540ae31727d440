"""What the pictures of one demo site share: kind of settlement, light, materials."""

from dataclasses import dataclass

import numpy as np

from maskmill.demo.geometry import direction

KINDS = ("village", "industry", "farm", "suburb")

Colour = tuple[int, int, int]

GRASS: tuple[Colour, ...] = ((92, 108, 64), (104, 110, 68), (82, 100, 58), (120, 116, 78))
CROPS: tuple[Colour, ...] = ((96, 116, 62), (132, 132, 76), (78, 102, 56), (172, 154, 104), (150, 140, 92))
SOILS: tuple[Colour, ...] = ((152, 124, 98), (134, 104, 84), (156, 115, 91), (126, 114, 102), (168, 146, 118))
LEAVES: tuple[Colour, ...] = ((66, 84, 46), (76, 92, 50), (58, 78, 48), (92, 98, 54))
ASPHALT: tuple[Colour, ...] = ((118, 117, 116), (104, 104, 106), (134, 131, 126), (146, 140, 130), (96, 95, 96))
ROOFS: tuple[Colour, ...] = (
    (162, 104, 80),  # clay tiles
    (142, 92, 74),
    (124, 98, 84),  # brown concrete tiles
    (100, 100, 106),  # slate
    (122, 122, 122),  # fibre cement
    (156, 152, 144),  # bitumen with gravel
    (178, 176, 170),  # bright membrane
    (112, 124, 138),  # bluish sheet
    (104, 112, 84),  # greened or mossy
    (150, 132, 108),  # weathered
)


@dataclass(frozen=True)
class Site:
    """Light and materials of a site. Colours are sRGB 0–255, vectors point right and down.

    sun: unit vector on the ground towards the sun; cotangent: of the sun's elevation (shadow length over height).
    gain: factor on each colour channel (exposure and colour temperature); haze: share of veiling light, 0–1.
    """

    kind: str
    sun: np.ndarray
    cotangent: float
    gain: np.ndarray
    haze: float
    ambient: float
    vignette: float
    noise: float
    grass: np.ndarray
    crops: np.ndarray
    soils: np.ndarray
    leaves: np.ndarray
    asphalt: np.ndarray
    roofs: np.ndarray


def draw_site(seed: int, group: int) -> Site:
    """Draw the site of group number `group` (from 1); the kinds take turns, so a few groups hold them all."""
    rng = np.random.default_rng((seed, group))
    warmth = rng.uniform(-0.07, 0.07)
    return Site(
        kind=KINDS[(group - 1) % len(KINDS)],
        sun=direction(rng.uniform(0, 2 * np.pi)),
        cotangent=rng.uniform(0.8, 1.5),
        gain=rng.uniform(1.05, 1.4) * np.array([1 + warmth, 1.0, 1 - warmth]),
        haze=rng.uniform(0.0, 0.08),
        ambient=rng.uniform(0.2, 0.3),
        vignette=rng.uniform(0.05, 0.22),
        noise=rng.uniform(0.008, 0.018),
        grass=_tinted(rng, GRASS, 1)[0],
        crops=_tinted(rng, CROPS, 3),
        soils=_tinted(rng, SOILS, 2),
        leaves=_tinted(rng, LEAVES, 2),
        asphalt=_tinted(rng, ASPHALT, 1)[0],
        roofs=_tinted(rng, ROOFS, 4),
    )


def _tinted(rng: np.random.Generator, colours: tuple[Colour, ...], count: int) -> np.ndarray:
    """Choose `count` of `colours` and vary them a little: (count, 3)."""
    chosen = np.array(colours, float)[rng.choice(len(colours), count, replace=False)]
    return chosen * rng.uniform(0.94, 1.06, (count, 1)) + rng.normal(0, 3, (count, 3))
