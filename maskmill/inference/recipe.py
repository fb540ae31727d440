"""Everything between a picture and its mask except the network: preprocessing, tiles, operating point, as data."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import Classes
from maskmill.files import read_json
from maskmill.inference.postprocess import OperatingPoint, Picture, decide_bands, decide_mask
from maskmill.inference.preprocess import Pixels, Preprocessing
from maskmill.inference.runtimes import Runtime
from maskmill.inference.sliding_window import Band, gather_bands, predict_bands
from maskmill.inference.temperature import scale_probabilities
from maskmill.inference.tiling import Tiling, resolve_tiling
from maskmill.sizes import Size


@dataclass(frozen=True)
class Recipe:
    """One model's way from a stored picture to a mask; evaluation, parity, bundle and segmentation all go it.

    volumes: whether it was made for whole volumes; else each slice of a stack is a picture of its own, as in training.
    dimensions: 2, for a network that works slice by slice, or 3; stride: what its tiles are multiples of.
    """

    classes: Classes
    preprocessing: Preprocessing
    tiling: Tiling
    volumes: bool
    dimensions: int
    stride: Size
    point: OperatingPoint

    @classmethod
    def of_member(
        cls, run: Mapping[str, Any], tiling: Mapping[str, Any], volumes: bool, stride: Size, point: Path
    ) -> "Recipe":
        """The recipe of a trained member: its resolved configuration, the `predict` options, operating_point.json."""
        return cls(
            Classes.from_list(run["classes"]),
            Preprocessing.from_dict(run["preprocessing"]),
            resolve_tiling(tiling, run),
            volumes,
            run["model"]["dimensions"],
            stride,
            OperatingPoint.from_dict(read_json(point)),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of `as_dict`."""
        return cls(
            Classes.from_list(values["classes"]),
            Preprocessing.from_dict(values["preprocessing"]),
            Tiling.from_dict(values["tiling"]),
            values["volumes"],
            values["dimensions"],
            tuple(values["stride"]),
            OperatingPoint.from_dict(values["operating_point"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return {
            "classes": self.classes.as_list(),
            "preprocessing": self.preprocessing.as_dict(),
            "tiling": self.tiling.as_dict(),
            "volumes": self.volumes,
            "dimensions": self.dimensions,
            "stride": list(self.stride),
            "operating_point": self.point.as_dict(),
        }

    def bands(self, image: Pixels, runtime: Runtime) -> Iterator[Band]:
        """Rounded foreground probabilities of one picture or volume as stored (D, H, W, C), band by band.

        They are at the temperature of the operating point.
        """
        for band in predict_bands(image, self.preprocessing, self.tiling, self.stride, self.dimensions, runtime):
            yield Band(band.page, band.top, scale_probabilities(band.values, self.point.temperature))

    def probabilities(self, image: Pixels, runtime: Runtime) -> np.ndarray:
        """What `bands` gives as one array, uint8 (K, D, H, W)."""
        return gather_bands(self.bands(image, runtime), image.shape[:3])

    def mask(self, image: Pixels, runtime: Runtime, file: str | os.PathLike | None = None) -> np.ndarray:
        """Class indices, uint8 (D, H, W), of a picture, volume or stack of pictures as stored (D, H, W, C).

        file: where the image is from, for steps that ask how large a pixel is.
        """
        mask = np.zeros(image.shape[:3], np.uint8)
        self.write_mask(image, runtime, mask, file)
        return mask

    def write_mask(
        self,
        image: Pixels,
        runtime: Runtime,
        mask: np.ndarray,
        file: str | os.PathLike | None = None,
        watch: Callable[[Band], None] | None = None,
    ) -> None:
        """Write what `mask` gives into an array of zeros, uint8 (D, H, W), which may be memory-mapped.

        watch: is shown each band of probabilities before it is decided; its page is that of the whole stack.

        Memory is bounded by tile and band then, see `maskmill.inference.sliding_window` and `decide_bands`.
        """
        apart = len(image) > 1 and not self.volumes
        for part in [slice(page, page + 1) for page in range(len(image))] if apart else [slice(None)]:
            bands, picture = self.bands(image[part], runtime), Picture(file, self.volumes, image[part])
            bands = bands if watch is None else _watched(bands, watch, part.start or 0)
            decide_bands(bands, self.point, picture, mask[part])

    def decide(self, probabilities: np.ndarray, image: np.ndarray, file: str | os.PathLike | None = None) -> np.ndarray:
        """The mask of an image whose probabilities are known, see `probabilities` and `mask`."""
        return decide_mask(probabilities, self.point, Picture(file, self.volumes, image))


def _watched(bands: Iterable[Band], watch: Callable[[Band], None], first: int) -> Iterator[Band]:
    """The same bands, each shown first, as what it is of a stack whose slice `first` is theirs."""
    for band in bands:
        watch(replace(band, page=first + band.page))
        yield band
