"""Annotating a demo scene as a person with labelme would: vertex by vertex, up to a pixel off."""

from typing import Any

import cv2
import numpy as np

from maskmill.demo import geometry
from maskmill.demo.buildings import Building
from maskmill.demo.scene import Road, Scene

LABELS = ("building", "road")


def annotate(scene: Scene, image_path: str, rng: np.random.Generator) -> dict[str, Any]:
    """The content of a labelme 5 file: roads first, the buildings over them. Points lie in [0, size - 1]."""
    shapes = [_road(road, scene.size, rng) for road in scene.roads]
    shapes += [_building(building, scene.size, rng) for building in scene.buildings]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": [shape for shape in shapes if shape],
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": scene.size,
        "imageWidth": scene.size,
    }


def _road(road: Road, size: int, rng: np.random.Generator) -> dict[str, Any] | None:
    outline = geometry.ribbon(road.curve, road.width).astype(np.float32)
    clicked = cv2.approxPolyDP(outline[:, None], 0.25, True)[:, 0].astype(float)
    return _polygon("road", clicked, size, rng)


def _building(building: Building, size: int, rng: np.random.Generator) -> dict[str, Any] | None:
    outline = building.outline
    if building.shape == "circle":
        centre, radius = outline.mean(axis=0), np.linalg.norm(outline[0] - outline.mean(axis=0))
        rim = centre + radius * geometry.direction(rng.uniform(0, 2 * np.pi))
        return _shape("building", np.clip(_jitter([centre, rim], rng), 0, size - 1), "circle")
    if building.shape == "rectangle":
        corners = np.array([outline.min(axis=0), outline.max(axis=0)])[:: rng.choice((-1, 1))]
        return _shape("building", np.clip(_jitter(corners, rng), 0, size - 1), "rectangle")
    if building.wings[0].roof == "cone":
        outline = outline[::2]
    return _polygon("building", np.roll(outline, rng.integers(len(outline)), axis=0), size, rng)


def _polygon(label: str, outline: np.ndarray, size: int, rng: np.random.Generator) -> dict[str, Any] | None:
    clipped = geometry.clip_box(_jitter(outline, rng), 0, size - 1)
    if len(clipped) < 3 or geometry.area(clipped) < 12:
        return None
    return _shape(label, clipped, "polygon")


def _jitter(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    points = np.asarray(points, float)
    return points + np.clip(rng.normal(0, 0.5, points.shape), -1, 1)


def _shape(label: str, points: np.ndarray, shape_type: str) -> dict[str, Any]:
    return {
        "label": label,
        "points": np.round(points, 2).tolist(),
        "group_id": None,
        "description": "",
        "shape_type": shape_type,
        "flags": {},
        "mask": None,
    }
