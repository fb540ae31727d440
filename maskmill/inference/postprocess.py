"""From probabilities to the mask: thresholds a class, then removal of small components."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import BACKGROUND, Classes
from maskmill.data.cases import Case, write_mask
from maskmill.files import atomic_path, read_json, read_table
from maskmill.imaging.lazy import let_go
from maskmill.inference.banded import remove_small_components
from maskmill.inference.sliding_window import LEVELS, Band
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
    finish_mask(mask, point)
    return mask


def decide_bands(bands: Iterable[Band], point: OperatingPoint, mask: np.ndarray) -> None:
    """What `decide_mask` gives, from probabilities in bands, into `mask`, uint8 (D, H, W) of zeros.

    The mask may be memory-mapped: no more than some bands of it are in memory.
    """
    for band in bands:
        mask[band.place] = apply_thresholds(band.values[:, np.newaxis], point.thresholds)[0]
        let_go(mask)
    finish_mask(mask, point)


def apply_thresholds(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """What `decide_mask` gives before small components are removed."""
    levels = np.array([threshold_level(threshold) for threshold in thresholds], np.float32)[:, None, None]
    mask = np.empty(probabilities.shape[1:], np.uint8)
    for number, page in enumerate(probabilities.swapaxes(0, 1)):
        excess = page / levels
        mask[number] = np.where((excess >= 1).any(axis=0), excess.argmax(axis=0) + 1, BACKGROUND)
    return mask


def finish_mask(mask: np.ndarray, point: OperatingPoint) -> None:
    """Remove what `decide_mask` removes after the thresholds, in place; mask: (D, H, W), memory-mapped or not."""
    for value, area in enumerate(point.minimum_areas, 1):
        remove_small_components(mask, value, area)


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
