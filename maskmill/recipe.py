"""Everything between a picture and its mask except the network: preprocessing, tiles, operating point, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import Classes
from maskmill.files import read_json
from maskmill.inference import Runtime, Tiling, predict_probabilities
from maskmill.postprocess import OperatingPoint, decide_mask
from maskmill.preprocess import Preprocessing


@dataclass(frozen=True)
class Recipe:
    """One model's way from a stored picture to a mask; evaluation, parity, bundle and segmentation all go it."""

    classes: Classes
    preprocessing: Preprocessing
    tiling: Tiling
    stride: int
    point: OperatingPoint

    @classmethod
    def of_member(cls, run: Mapping[str, Any], tiling: Mapping[str, Any], stride: int, point: Path) -> "Recipe":
        """The recipe of a trained member: its resolved configuration, the tiles, and its operating_point.json."""
        return cls(
            Classes.from_list(run["classes"]),
            Preprocessing.from_dict(run["preprocessing"]),
            Tiling(**tiling),
            stride,
            OperatingPoint.from_dict(read_json(point)),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `as_dict`."""
        return cls(
            Classes.from_list(values["classes"]),
            Preprocessing.from_dict(values["preprocessing"]),
            Tiling(**values["tiling"]),
            values["stride"],
            OperatingPoint.from_dict(values["operating_point"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return {
            "classes": self.classes.as_list(),
            "preprocessing": self.preprocessing.as_dict(),
            "tiling": self.tiling.as_dict(),
            "stride": self.stride,
            "operating_point": self.point.as_dict(),
        }

    def probabilities(self, image: np.ndarray, runtime: Runtime) -> np.ndarray:
        """Rounded foreground probabilities, uint8 (K, H, W), of a picture as stored (H, W, C)."""
        return predict_probabilities(image, self.preprocessing, self.tiling, self.stride, runtime)

    def mask(self, image: np.ndarray, runtime: Runtime) -> np.ndarray:
        """Class indices, uint8 (H, W), of a picture as stored (H, W, C)."""
        return decide_mask(self.probabilities(image, runtime), self.point)
