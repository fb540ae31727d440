"""The cases of a split: pictures and volumes with their label images, as arrays that always have a depth.

A label image is a palette PNG of a picture and a NIfTI file of a volume; predicted masks are written alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.imaging.geotiff import write_label_tiff
from maskmill.imaging.images import read_image, read_label_png, write_label_png
from maskmill.imaging.volumes import read_label_volume, read_page, read_volume, write_label_volume


@dataclass(frozen=True)
class Case:
    """A sample. image: its file, or the folder of a DICOM series; shard: the one whose folder has its label image."""

    id: str
    group: str
    shard: str
    image: str
    is_volume: bool

    @classmethod
    def of_row(cls, row: Mapping[str, str]) -> "Case":
        """The case that a row of the table of samples describes."""
        return cls(row["id"], row["group"], row["shard"], row["image"], int(row["depth"]) > 1)

    def pixels(self) -> np.ndarray:
        """The picture as stored, (D, H, W, C). Raises ImageError where it cannot be read."""
        return read_pixels(self.image, self.is_volume)

    def page(self, number: int) -> np.ndarray:
        """A slice of the volume, or the picture, as stored (H, W, C). Raises ImageError where it cannot be read."""
        return read_page(self.image, number) if self.is_volume else read_image(self.image)

    def mask_path(self, folder: str | PathLike) -> Path:
        """File of the case's mask or label image below `folder`."""
        return mask_path(folder, self.id, self.is_volume)


def read_cases(samples: str | PathLike, splits: str | PathLike, fold: int, split: str) -> list[Case]:
    """The cases that the column `fold<n>` of the table `splits` puts into `split`, sorted by id.

    samples: table of the accepted samples; their groups are those of `splits`, where leaking ones may be united.
    Raises MaskmillError where the split is empty.
    """
    column = f"fold{fold}"
    dealt = {row["id"]: row for row in read_table(splits) if row.get(column) == split}
    if not dealt:
        raise MaskmillError(f"{splits} has no {split} case in column {column}; change dataset.split, or add pictures")
    cases = (Case.of_row(row | dealt[row["id"]]) for row in read_table(samples) if row["id"] in dealt)
    return sorted(cases, key=lambda case: case.id)


def read_cases_of_folds(
    samples: str | PathLike, splits: str | PathLike, folds: Sequence[int], split: str
) -> list[Case]:
    """The cases that any of these folds puts into `split`, sorted by id. Raises MaskmillError as `read_cases` does."""
    cases = {case.id: case for fold in folds for case in read_cases(samples, splits, fold, split)}
    return [cases[name] for name in sorted(cases)]


def label_paths(cases: Sequence[Case], labels: Sequence[str | PathLike]) -> list[Path]:
    """The label image of each case; labels: the label folders of the shards, each named after its shard.

    Raises MaskmillError that names every shard without a folder.
    """
    folders = {Path(folder).name: Path(folder) for folder in labels}
    missing = sorted({case.shard for case in cases} - folders.keys())
    if missing:
        raise MaskmillError(f"{len(missing)} shards have no label folder; draw their labels:\n" + "\n".join(missing))
    return [case.mask_path(folders[case.shard]) for case in cases]


def read_pixels(path: str | PathLike, is_volume: bool) -> np.ndarray:
    """A picture or volume as stored, (D, H, W, C), D = 1 for a picture. Raises ImageError where it cannot be read."""
    return read_volume(path).pixels if is_volume else read_image(path)[np.newaxis]


def mask_path(folder: str | PathLike, name: str, is_volume: bool) -> Path:
    """File of the label image called `name` below `folder`: .png of a picture, .nii.gz of a volume."""
    return Path(folder, f"{name}{'.nii.gz' if is_volume else '.png'}")


def instances_path(folder: str | PathLike, name: str) -> Path:
    """File of the object numbers of the picture called `name` below `folder`."""
    return Path(folder, f"{name}.instances.png")


def read_mask(path: Path) -> np.ndarray:
    """Class indices of a label image, uint8 (D, H, W), D = 1 of a PNG. Raises ImageError where it is none."""
    return read_label_png(path)[np.newaxis] if path.suffix == ".png" else read_label_volume(path)


def write_mask(path: Path, mask: np.ndarray, classes: Classes, like: str | PathLike) -> None:
    """Write class indices, uint8 (D, H, W), as the suffix of `path` says: a palette PNG, or in the geometry of `like`.

    That is .tif (see `write_label_tiff`) or .nii.gz. Makes folders. like: the picture or volume that the mask is of.
    """
    if path.suffix == ".png":
        write_label_png(path, mask[0], classes)
    elif path.suffix == ".tif":
        write_label_tiff(path, mask[0], classes, like)
    else:
        write_label_volume(path, mask, like=like)
