"""What is drawn beside masks, band by band: each class's probability, and how unsure the network is of each pixel."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from maskmill.arrays import write_header, write_values
from maskmill.classes import Classes
from maskmill.imaging.geotiff import write_probability_tiff
from maskmill.imaging.lazy import let_go, zeros
from maskmill.imaging.volumes import write_label_volume
from maskmill.inference.entropy import EntropyMap, pixel_entropy
from maskmill.inference.sliding_window import LEVELS, Band
from maskmill.sizes import Size

UNCERTAINTY, PROBABILITIES = "uncertainty", "probabilities"
"""Kinds of maps: the 255-fold entropy of each pixel, and the 255-fold probability of each class."""


class Map(Protocol):
    """A map that is being drawn."""

    def add(self, band: Band) -> None:
        """Draw a band."""

    def write(self, path: Path) -> None:
        """Write what is drawn."""


def start_map(kind: str, classes: Classes, size: Size, file: Path, target: Path) -> Map:
    """The map of a kind of a picture or stack `file` of this size (depth, height, width), to be written to `target`.

    Large ones are drawn in a file in the folder of `target` that vanishes.
    """
    if kind == PROBABILITIES:
        return _Probabilities(classes, size, file, target.parent)
    return _PictureEntropy(size) if target.suffix == ".png" else _StackEntropy(size, file, target.parent)


def show_to(watchers: Sequence[Callable[[Band], None]]) -> Callable[[Band], None] | None:
    """One watcher for several, None for none."""

    def watch(band: Band) -> None:
        for one in watchers:
            one(band)

    return watch if watchers else None


class _PictureEntropy:
    def __init__(self, size: Size) -> None:
        self._drawn = EntropyMap(*size[1:])
        self.add = self._drawn.add

    def write(self, path: Path) -> None:
        Image.fromarray(self._drawn.levels).save(path, format="PNG")


class _StackEntropy:
    def __init__(self, size: Size, file: Path, folder: Path) -> None:
        self._levels, self._file = zeros(size, folder), file

    def add(self, band: Band) -> None:
        self._levels[band.place] = np.rint(pixel_entropy(band.values) * LEVELS)
        let_go(self._levels)

    def write(self, path: Path) -> None:
        write_label_volume(path, self._levels, like=self._file)


class _Probabilities:
    def __init__(self, classes: Classes, size: Size, file: Path, folder: Path) -> None:
        self._levels = zeros((len(classes), *size), folder)
        self._classes, self._file = classes, file

    def add(self, band: Band) -> None:
        page, rows = band.place
        self._levels[:, page, rows] = band.values
        let_go(self._levels)

    def write(self, path: Path) -> None:
        if path.suffix == ".tif":
            write_probability_tiff(path, self._levels[:, 0], self._classes, like=self._file)
            return
        with open(path, "wb") as file:
            write_header(file, self._levels.dtype, self._levels.shape)
            for of_class in self._levels:
                for page in of_class:
                    write_values(file, page)
                    let_go(self._levels)
