"""Taking the picture of a demo scene: light, haze, optics, sensor."""

import cv2
import numpy as np

from maskmill.demo import roofs, trees
from maskmill.demo.canvas import FINER, Canvas
from maskmill.demo.scene import Scene
from maskmill.demo.site import Site
from maskmill.demo.terrain import paint_terrain

SKY = np.array([0.84, 0.98, 1.26], np.float32)
"""Colour of the light in the shade, relative to level ground in the sun."""

VEIL = np.array([0.36, 0.40, 0.46], np.float32)
"""Colour of haze, linear."""


def photograph(scene: Scene, site: Site, rng: np.random.Generator) -> np.ndarray:
    """Render a scene as an RGB picture (size, size, 3), uint8."""
    canvas = Canvas(site, rng, scene.size)
    paint_terrain(canvas, scene, rng)
    for building in scene.buildings:
        roofs.cast_shadows(canvas, building)
    for tree in scene.trees:
        trees.cast_shadow(canvas, tree)
    canvas.shadow = cv2.GaussianBlur(canvas.shadow, (0, 0), 0.5 * FINER)
    for building in scene.buildings:
        roofs.paint_building(canvas, building)
    trees.paint_trees(canvas, scene.trees, rng)
    return _develop(_expose(canvas), site, rng)


def _expose(canvas: Canvas) -> np.ndarray:
    """Light that reaches the camera from each picture pixel: linear RGB, float32."""
    direct = (canvas.light * (1 - np.float32(0.94) * canvas.shadow))[..., None]
    ambient = np.float32(canvas.site.ambient)
    seen = canvas.albedo * ((1 - ambient * SKY) * direct + ambient * SKY)
    return cv2.resize(seen, (canvas.size, canvas.size), interpolation=cv2.INTER_AREA)


def _develop(seen: np.ndarray, site: Site, rng: np.random.Generator) -> np.ndarray:
    """Haze, vignette, exposure, blur, noise and gamma."""
    size = len(seen)
    haze = np.float32(site.haze)
    seen = ((1 - haze) * seen + haze * VEIL) * site.gain.astype(np.float32)
    radius = np.linspace(-1, 1, size, dtype=np.float32) ** 2
    seen *= (1 - np.float32(site.vignette) * (radius[:, None] + radius) / 2)[..., None]
    seen = cv2.GaussianBlur(seen, (0, 0), 0.55)
    picture = np.clip(seen, 0, 1) ** np.float32(1 / 2.2)
    grain = rng.standard_normal((size, size, 1), dtype=np.float32) * np.float32(0.8)
    grain = grain + rng.standard_normal((size, size, 3), dtype=np.float32) * np.float32(0.6)
    return np.rint(np.clip(picture + np.float32(site.noise) * grain, 0, 1) * 255).astype(np.uint8)
