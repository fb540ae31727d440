"""The training cache: every accepted picture and its labels as arrays that are read in parts, without decoding."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, sha256_file, write_table
from maskmill.images import image_header, read_bands, read_image, read_label_png
from maskmill.logs import progress
from maskmill.preprocess import resize_image, resize_labels, scaled_size
from maskmill.volumes import read_label_volume, read_page, stack_header

STATISTICS = "statistics.csv"
COLUMNS = ("id", "depth", "height", "width", "channels", "dtype", "min", "max", "sha256_image", "sha256_labels")

_Arrays = tuple[tuple[int, ...], str, Iterable[np.ndarray], np.ndarray]
"""What is written of a sample: the image's shape, dtype and parts along its first axis, and the label values."""


@dataclass(frozen=True)
class CachedSample:
    """A picture of the cache: where it lies, its size, and the range and digests of its values.

    depth: number of slices of a volume, 1 of a picture.
    """

    id: str
    folder: Path
    height: int
    width: int
    channels: int
    dtype: str
    minimum: float
    maximum: float
    sha256_image: str
    sha256_labels: str
    depth: int = 1

    def image(self) -> np.ndarray:
        """The picture (height, width, channels) in its stored dtype, memory-mapped: only what is indexed is read.

        Of a volume (depth, height, width, channels).
        """
        return np.load(image_path(self.folder, self.id), mmap_mode="r")

    def labels(self) -> np.ndarray:
        """The label image (height, width), of a volume (depth, height, width), uint8 class indices, memory-mapped."""
        return np.load(labels_path(self.folder, self.id), mmap_mode="r")


def image_path(folder: str | os.PathLike, sample: str) -> Path:
    """File of the picture called `sample` in a shard's cache folder."""
    return Path(folder, f"{sample}.image.npy")


def labels_path(folder: str | os.PathLike, sample: str) -> Path:
    """File of the label image called `sample` in a shard's cache folder."""
    return Path(folder, f"{sample}.label.npy")


def cache_shard(
    shard_list: str | os.PathLike,
    samples: str | os.PathLike,
    labels: str | os.PathLike,
    output: str | os.PathLike,
    scale: float,
) -> None:
    """Write the arrays of the samples that stand in both tables, and their `statistics.csv`, into the folder `output`.

    shard_list, samples: tables with the columns `id` and `image`, and `depth` where there are volumes; labels: folder
    of the label images `<id>.png`, of volumes (depth above 1) `<id>.nii.gz`.
    scale: factor on height and width, of volumes those of the slices, whose number stays; pictures keep their dtype,
    labels take the nearest pixel's class. Without scaling, only a band of rows of a large TIFF file is in memory at a
    time, and a slice of a volume that is not compressed.
    Raises MaskmillError that lists every sample whose label image has another size, or that holds NaN or infinity.
    """
    accepted = {row["id"] for row in read_table(samples)}
    rows = [row for row in read_table(shard_list) if row["id"] in accepted]
    statistics, problems = [], []
    with atomic_path(output) as folder:
        folder.mkdir()
        for row in progress(rows, "caching pictures"):
            try:
                statistics.append(_write_sample(folder, row, Path(labels), scale))
            except _UnfitError as error:
                problems.append(f"  {row['id']}: {error}")
        if problems:
            raise MaskmillError(
                f"{len(problems)} pictures cannot be cached; mend them, or remove them from the data set:\n"
                + "\n".join(problems)
            )
        write_table(folder / STATISTICS, statistics, COLUMNS)


class _UnfitError(Exception):
    """Why a sample cannot be cached."""


def _write_sample(folder: Path, row: Mapping[str, str], labels: Path, scale: float) -> dict:
    sample, depth = row["id"], int(row.get("depth") or 1)
    shape, dtype, parts, label_values = (_volume if depth > 1 else _picture)(row, labels, scale)
    image_file, labels_file = image_path(folder, sample), labels_path(folder, sample)
    image_file.parent.mkdir(parents=True, exist_ok=True)
    least, greatest = _write_parts(image_file, shape, np.dtype(dtype), parts)
    np.save(labels_file, np.ascontiguousarray(label_values))
    return {
        "id": sample,
        "depth": depth,
        "height": shape[-3],
        "width": shape[-2],
        "channels": shape[-1],
        "dtype": dtype,
        "min": least,
        "max": greatest,
        "sha256_image": sha256_file(image_file),
        "sha256_labels": sha256_file(labels_file),
    }


def _picture(row: Mapping[str, str], labels: Path, scale: float) -> _Arrays:
    width, height, channels, dtype = image_header(row["image"])
    label_values = read_label_png(labels / f"{row['id']}.png")
    _check_size((height, width), label_values.shape)
    size = scaled_size(height, width, scale)
    parts = read_bands(row["image"]) if size == (height, width) else [resize_image(read_image(row["image"]), *size)]
    return (*size, channels), dtype, parts, resize_labels(label_values, *size)


def _volume(row: Mapping[str, str], labels: Path, scale: float) -> _Arrays:
    header = stack_header(row["image"])
    label_values = read_label_volume(labels / f"{row['id']}.nii.gz")
    _check_size(header.shape[:3], label_values.shape)
    size = scaled_size(header.height, header.width, scale)
    parts = (resize_image(read_page(row["image"], number), *size)[np.newaxis] for number in range(header.depth))
    scaled_labels = np.stack([resize_labels(page, *size) for page in label_values])
    return (header.depth, *size, header.channels), header.dtype, parts, scaled_labels


def _check_size(image: tuple[int, ...], labels: tuple[int, ...]) -> None:
    if image != labels:
        axes = "(height, width)" if len(image) == 2 else "(depth, height, width)"
        raise _UnfitError(f"the picture is {image} {axes} and its label image {labels}")


def _write_parts(
    path: Path, shape: tuple[int, ...], dtype: np.dtype, parts: Iterable[np.ndarray]
) -> tuple[float, float]:
    """Write an array, given in parts along its first axis, as `np.save` does; return its least and greatest value."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    least, greatest, written = [], [], 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            if part.shape[1:] != shape[1:] or part.dtype != dtype:
                raise _UnfitError(f"the picture holds {part.shape} {part.dtype}, but its header says {shape} {dtype}")
            if not np.isfinite(part).all():
                raise _UnfitError("the picture holds NaN or infinite values")
            np.ascontiguousarray(part).tofile(file)
            least.append(part.min().item())
            greatest.append(part.max().item())
            written += len(part)
    if written != shape[0]:
        raise _UnfitError(f"the picture holds {written} rows or slices, but its header says {shape[0]}")
    return min(least), max(greatest)


def read_cache(folders: Sequence[str | os.PathLike]) -> dict[str, CachedSample]:
    """The samples of some shards' cache folders by id, in the order of the ids."""
    samples = [
        CachedSample(
            id=row["id"],
            folder=Path(folder),
            height=int(row["height"]),
            width=int(row["width"]),
            channels=int(row["channels"]),
            dtype=row["dtype"],
            minimum=float(row["min"]),
            maximum=float(row["max"]),
            sha256_image=row["sha256_image"],
            sha256_labels=row["sha256_labels"],
            depth=int(row["depth"]),
        )
        for folder in folders
        for row in read_table(Path(folder, STATISTICS))
    ]
    return {sample.id: sample for sample in sorted(samples, key=lambda sample: sample.id)}


def read_split(
    folders: Sequence[str | os.PathLike], splits: str | os.PathLike, fold: int, split: str
) -> list[CachedSample]:
    """The cached samples that the column `fold<n>` of the table `splits` puts into `split`, in the order of the ids.

    Raises MaskmillError where the split is empty or the cache lacks some of its samples.
    """
    cached = read_cache(folders)
    ids = sorted(row["id"] for row in read_table(splits) if row[f"fold{fold}"] == split)
    if not ids:
        raise MaskmillError(
            f"fold {fold} has no {split} pictures ({splits}); change dataset.split or bring more groups of pictures"
        )
    if missing := [sample for sample in ids if sample not in cached]:
        raise MaskmillError(f"the cache lacks {len(missing)} pictures of {splits}: {', '.join(missing)}")
    return [cached[sample] for sample in ids]


def tile_count(sample: CachedSample, size: int) -> int:
    """How many squares of `size` pixels cover the picture."""
    return math.ceil(sample.height / size) * math.ceil(sample.width / size)
