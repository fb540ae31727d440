"""From probabilities to the mask: thresholds a class, then removal of small components."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskmill.classes import BACKGROUND, Classes
from maskmill.data.cases import Case, write_mask
from maskmill.files import atomic_path, read_json, read_table
from maskmill.inference.sliding_window import LEVELS
from maskmill.logs import progress


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold in (0, 1) and one minimum area for each foreground class, in class order.

    Areas are in pixels of pictures and in voxels of volumes.
    """

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
    """Class indices, uint8 (D, H, W), from rounded probabilities, uint8 (K, D, H, W).

    A pixel may be a class whose probability reaches the class's threshold; of several, the one that exceeds its
    threshold by the largest factor (the first in class order where equal); background where none does. With equal
    thresholds this is the most probable class. Then components below the class's minimum area become background.
    """
    mask = apply_thresholds(probabilities, point.thresholds)
    for value, area in enumerate(point.minimum_areas, 1):
        remove_small_components(mask, value, area)
    return mask


def apply_thresholds(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """What `decide_mask` gives before small components are removed."""
    levels = np.array([threshold_level(threshold) for threshold in thresholds], np.float32)[:, None, None]
    mask = np.empty(probabilities.shape[1:], np.uint8)
    for number, page in enumerate(probabilities.swapaxes(0, 1)):
        excess = page / levels
        mask[number] = np.where((excess >= 1).any(axis=0), excess.argmax(axis=0) + 1, BACKGROUND)
    return mask


def remove_small_components(mask: np.ndarray, value: int, minimum_area: int) -> None:
    """Set the components of `value` with fewer than `minimum_area` pixels to background, in place; mask: (D, H, W)."""
    if minimum_area <= 1:
        return
    components, areas = find_components(mask == value)
    small = areas < minimum_area
    small[0] = False  # what is not of this class
    mask[small[components]] = BACKGROUND


def find_components(region: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Component of each pixel of a boolean region (D, H, W), 0 outside, as int32; and the components' areas by number.

    Pixels that touch, if only at a corner, are of one component: 8-connected in a picture, 26-connected in a volume.
    """
    if len(region) == 1:
        _, components, areas, _ = cv2.connectedComponentsWithStats(region[0].astype(np.uint8), connectivity=8)
        return components[np.newaxis], areas[:, cv2.CC_STAT_AREA]
    from scipy import ndimage  # slow to load, and pictures do without

    components, count = ndimage.label(region, np.ones((3, 3, 3)))
    # slice by slice, as counting takes a copy in 64 bits
    return components, sum(np.bincount(page.ravel(), minlength=count + 1) for page in components)


def postprocess_masks(probabilities: Path, point: Path, samples: Path, classes: Classes, output: Path) -> None:
    """Write the mask of every probability file (`<id>.npy`) below `probabilities` below `output` (see `write_mask`).

    samples: table of the samples that the masks are of.
    """
    operating_point = OperatingPoint.from_dict(read_json(point))
    cases = {row["id"]: Case.of_row(row) for row in read_table(samples)}
    files = sorted(probabilities.rglob("*.npy"))
    with atomic_path(output) as aside:
        aside.mkdir()
        for file in progress(files, "masks"):
            case = cases[file.relative_to(probabilities).with_suffix("").as_posix()]
            mask = decide_mask(np.load(file, mmap_mode="r"), operating_point)
            write_mask(case.mask_path(aside), mask, classes, like=case.image)
