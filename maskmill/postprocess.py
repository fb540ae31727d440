"""From probabilities to the mask: thresholds a class, then removal of small components."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskmill.classes import BACKGROUND, Classes
from maskmill.files import atomic_path, read_json
from maskmill.images import write_label_png
from maskmill.inference import LEVELS
from maskmill.logs import progress


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold in (0, 1) and one minimum area in pixels for each foreground class, in class order."""

    thresholds: tuple[float, ...]
    minimum_areas: tuple[int, ...]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OperatingPoint":
        """Read the two lists from a mapping; further keys (such as how they were chosen) are left alone."""
        return cls(tuple(values["thresholds"]), tuple(values["minimum_areas"]))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return {key: list(value) for key, value in asdict(self).items()}


def threshold_level(threshold: float) -> int:
    """The rounded probability (0–255) from which on a pixel counts as the class."""
    return max(1, round(threshold * LEVELS))


def decide_mask(probabilities: np.ndarray, point: OperatingPoint) -> np.ndarray:
    """Class indices, uint8 (H, W), from rounded probabilities, uint8 (K, H, W).

    A pixel may be a class whose probability reaches the class's threshold; of several, the one that exceeds its
    threshold by the largest factor (the first in class order where equal); background where none does. With equal
    thresholds this is the most probable class. Then components (8-connected) below the class's minimum area become
    background.
    """
    levels = np.array([threshold_level(threshold) for threshold in point.thresholds], np.float32)[:, None, None]
    excess = probabilities / levels
    mask = np.where((excess >= 1).any(axis=0), excess.argmax(axis=0) + 1, BACKGROUND).astype(np.uint8)
    for value, area in enumerate(point.minimum_areas, 1):
        remove_small_components(mask, value, area)
    return mask


def remove_small_components(mask: np.ndarray, value: int, minimum_area: int) -> None:
    """Set 8-connected components of `value` with fewer than `minimum_area` pixels to background, in place."""
    if minimum_area <= 1:
        return
    _, components, statistics, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=8)
    small = statistics[:, cv2.CC_STAT_AREA] < minimum_area
    small[0] = False  # what is not of this class
    mask[small[components]] = BACKGROUND


def postprocess_masks(probabilities: Path, point: Path, classes: Classes, output: Path) -> None:
    """Write the mask of every probability file (`<id>.npy`) below `probabilities` as `<id>.png` below `output`."""
    operating_point = OperatingPoint.from_dict(read_json(point))
    files = sorted(probabilities.rglob("*.npy"))
    with atomic_path(output) as aside:
        aside.mkdir()
        for file in progress(files, "masks"):
            target = aside / file.relative_to(probabilities).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            write_label_png(target, decide_mask(np.load(file), operating_point), classes)
