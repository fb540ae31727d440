"""The training cache: every accepted picture and its labels as arrays that are read in parts, without decoding.

A picture is an array (D, H, W, C) in its stored dtype, its labels (D, H, W) uint8; D is 1 but of volumes.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from maskmill.arrays import save_array, write_header, write_values
from maskmill.data.places import find_places
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, sha256_file, write_table
from maskmill.imaging.images import image_header, read_bands, read_image, read_label_png
from maskmill.imaging.resampling import resize_image, resize_labels, scaled_size
from maskmill.imaging.volumes import read_label_volume, read_page, stack_header
from maskmill.inference.preprocess import value_percentiles
from maskmill.logs import progress
from maskmill.sizes import Size
from maskmill.wording import count_of

STATISTICS = "statistics.csv"
COLUMNS = (
    "id",
    "depth",
    "height",
    "width",
    "channels",
    "dtype",
    "min",
    "max",
    "low",
    "high",
    "pixels",
    "spacing",
    "unit",
    "sha256_image",
    "sha256_labels",
)
"""min, max: of each channel, as low and high, its `value_percentiles`; pixels: "value:number" for all label values."""

ISOTROPIC = 1.25
"""Longest side of a voxel, by the shortest, up to which the axes of a volume count as alike."""


@dataclass(frozen=True)
class CachedSample:
    """A picture of the cache: where it lies, its size, its values, and its digests.

    depth: number of slices, 1 of a picture. minimum, maximum, low, high: of each channel's stored values the extremes
    and the `value_percentiles`. pixels: number of pixels of each label value that occurs. spacing: distance of slices,
    rows and columns in `unit`, of volumes that say so.
    """

    id: str
    folder: Path
    depth: int
    height: int
    width: int
    channels: int
    dtype: str
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    pixels: Mapping[int, int] = field(hash=False)
    spacing: tuple[float, float, float] | None
    unit: str | None
    sha256_image: str
    sha256_labels: str

    @property
    def size(self) -> Size:
        """(depth, height, width)."""
        return self.depth, self.height, self.width

    @property
    def percentiles(self) -> np.ndarray:
        """What `value_percentiles` gives for the picture: float64 (channels, 2)."""
        return np.array([self.low, self.high], np.float64).T

    @property
    def isotropic(self) -> bool:
        """Whether it is a volume whose voxels are known to be about as long as they are wide and deep."""
        return self.spacing is not None and max(self.spacing) <= ISOTROPIC * min(self.spacing)

    def image(self) -> np.ndarray:
        """The picture (D, H, W, C) in its stored dtype, memory-mapped: only what is indexed is read."""
        return _map_array(image_path(self.folder, self.id))

    def labels(self) -> np.ndarray:
        """The labels (D, H, W), uint8 class indices, memory-mapped."""
        return _map_array(labels_path(self.folder, self.id))

    def places(self) -> np.ndarray:
        """Some pixels of each class, as `find_places` chose them, memory-mapped."""
        return _map_array(places_path(self.folder, self.id))

    def damaged_file(self) -> Path | None:
        """The picture's or the labels' file, if it is gone or not as it was written; both are read whole."""
        digests = {
            image_path(self.folder, self.id): self.sha256_image,
            labels_path(self.folder, self.id): self.sha256_labels,
        }
        return next(
            (path for path, digest in digests.items() if not path.exists() or sha256_file(path) != digest), None
        )


def _map_array(path: Path) -> np.ndarray:
    """An array of the cache, memory-mapped. Raises MaskmillError where its file is gone, cut off or no array."""
    try:
        return np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError) as error:
        raise _damage([path], str(error)) from error


def _damage(files: Sequence[Path], reason: str) -> MaskmillError:
    return MaskmillError(
        f"{count_of(len(files), 'file')} of the cache, {files[0]} first, cannot be used ({reason}); look at the disk, "
        "and run the same command again with --forcerun cache_samples"
    )


def check_cache(samples: Iterable[CachedSample]) -> None:
    """Read the pictures and labels of some samples whole, which would train as well were parts of them lost.

    Raises MaskmillError where files are not as they were written.
    """
    damaged = [file for sample in progress(samples, "checking the cache") if (file := sample.damaged_file())]
    if damaged:
        raise _damage(damaged, "not as it was written")


def image_path(folder: str | os.PathLike, sample: str) -> Path:
    """File of the picture called `sample` in a shard's cache folder."""
    return Path(folder, f"{sample}.image.npy")


def labels_path(folder: str | os.PathLike, sample: str) -> Path:
    """File of the label image called `sample` in a shard's cache folder."""
    return Path(folder, f"{sample}.label.npy")


def places_path(folder: str | os.PathLike, sample: str) -> Path:
    """File of the places of the classes of `sample` in a shard's cache folder."""
    return Path(folder, f"{sample}.places.npy")


@dataclass(frozen=True)
class _Source:
    """What is written of a sample: the image's shape, dtype and rows, band by band, the labels, the voxel."""

    shape: tuple[int, int, int, int]
    dtype: str
    bands: Iterable[np.ndarray]
    labels: np.ndarray
    spacing: tuple[float, float, float] | None = None
    unit: str | None = None


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
    time, and a slice of a volume that is not compressed; its labels are whole.
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
    sample = row["id"]
    source = (_volume if int(row.get("depth") or 1) > 1 else _picture)(row, labels, scale)
    image_file, labels_file = image_path(folder, sample), labels_path(folder, sample)
    image_file.parent.mkdir(parents=True, exist_ok=True)
    least, greatest = _write_bands(image_file, source)
    low, high = value_percentiles(np.load(image_file, mmap_mode="r")).T.tolist()
    pixels, places = find_places(source.labels)
    save_array(labels_file, source.labels)
    save_array(places_path(folder, sample), places)
    depth, height, width, channels = source.shape
    return {
        "id": sample,
        "depth": depth,
        "height": height,
        "width": width,
        "channels": channels,
        "dtype": source.dtype,
        "min": _numbers(least),
        "max": _numbers(greatest),
        "low": _numbers(low),
        "high": _numbers(high),
        "pixels": " ".join(f"{value}:{number}" for value, number in pixels.items()),
        "spacing": _numbers(source.spacing or ()),
        "unit": source.unit,
        "sha256_image": sha256_file(image_file),
        "sha256_labels": sha256_file(labels_file),
    }


def _numbers(values: Iterable[float]) -> str:
    """Numbers in a cell, with all their digits."""
    return " ".join(map(repr, values))


def _picture(row: Mapping[str, str], labels: Path, scale: float) -> _Source:
    width, height, channels, dtype = image_header(row["image"])
    label_values = read_label_png(labels / f"{row['id']}.png")
    _check_size((height, width), label_values.shape)
    size = scaled_size(height, width, scale)
    bands = read_bands(row["image"]) if size == (height, width) else [resize_image(read_image(row["image"]), *size)]
    scaled_labels = np.ascontiguousarray(resize_labels(label_values, *size))[np.newaxis]
    return _Source((1, *size, channels), dtype, bands, scaled_labels)


def _volume(row: Mapping[str, str], labels: Path, scale: float) -> _Source:
    header = stack_header(row["image"])
    label_values = read_label_volume(labels / f"{row['id']}.nii.gz")
    _check_size(header.shape[:3], label_values.shape)
    size = scaled_size(header.height, header.width, scale)
    bands = (resize_image(read_page(row["image"], number), *size) for number in range(header.depth))
    scaled_labels = np.stack([resize_labels(page, *size) for page in label_values])
    source = _Source((header.depth, *size, header.channels), header.dtype, bands, scaled_labels)
    if header.unit == "px":
        return source
    between, rows, columns = header.spacing
    spacing = (between, rows * header.height / size[0], columns * header.width / size[1])
    return replace(source, spacing=tuple(map(float, spacing)), unit=header.unit)


def _check_size(image: tuple[int, ...], labels: tuple[int, ...]) -> None:
    if image != labels:
        axes = "(height, width)" if len(image) == 2 else "(depth, height, width)"
        raise _UnfitError(f"the picture is {image} {axes} and its label image {labels}")


def _write_bands(path: Path, source: _Source) -> tuple[list[float], list[float]]:
    """Write an image as `np.save` does, given in bands of rows; return each channel's least and greatest value."""
    depth, height, width, channels = source.shape
    dtype = np.dtype(source.dtype)
    extremes, written = [], 0
    with open(path, "wb") as file:
        write_header(file, dtype, source.shape)
        for band in source.bands:
            if band.shape[1:] != (width, channels) or band.dtype != dtype:
                raise _UnfitError(
                    f"the picture holds rows of {band.shape[1:]} {band.dtype}, but its header says "
                    f"{(width, channels)} {dtype}"
                )
            channel_values = [band[..., channel] for channel in range(channels)]
            extremes.append([(values.min().item(), values.max().item()) for values in channel_values])
            if not np.isfinite(extremes[-1]).all():
                raise _UnfitError("the picture holds NaN or infinite values")
            write_values(file, band)
            written += len(band)
    if written != depth * height:
        raise _UnfitError(f"the picture holds {written} rows, but its header says {depth * height}")
    by_channel = list(zip(*extremes, strict=True))
    return [min(pair[0] for pair in one) for one in by_channel], [max(pair[1] for pair in one) for one in by_channel]


def read_cache(folders: Sequence[str | os.PathLike]) -> dict[str, CachedSample]:
    """The samples of some shards' cache folders by id, in the order of the ids."""
    samples = [_read_sample(Path(folder), row) for folder in folders for row in read_table(Path(folder, STATISTICS))]
    return {sample.id: sample for sample in sorted(samples, key=lambda sample: sample.id)}


def _read_sample(folder: Path, row: Mapping[str, str]) -> CachedSample:
    counts = (pair.split(":") for pair in row["pixels"].split())
    return CachedSample(
        id=row["id"],
        folder=folder,
        depth=int(row["depth"]),
        height=int(row["height"]),
        width=int(row["width"]),
        channels=int(row["channels"]),
        dtype=row["dtype"],
        minimum=_cell_numbers(row["min"]),
        maximum=_cell_numbers(row["max"]),
        low=_cell_numbers(row["low"]),
        high=_cell_numbers(row["high"]),
        pixels={int(value): int(number) for value, number in counts},
        spacing=_cell_numbers(row["spacing"]) or None,
        unit=row["unit"] or None,
        sha256_image=row["sha256_image"],
        sha256_labels=row["sha256_labels"],
    )


def _cell_numbers(cell: str) -> tuple[float, ...]:
    return tuple(map(float, cell.split()))


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
        shards = Path(folders[0]).parent
        raise MaskmillError(
            f"the cache lacks {len(missing)} pictures of {splits}: {', '.join(missing)}; delete {shards} and run again"
        )
    return [cached[sample] for sample in ids]


def tile_count(sample: CachedSample, size: Size) -> int:
    """How many tiles (depth, height, width) cover the picture or volume."""
    return math.prod(math.ceil(length / side) for length, side in zip(sample.size, size, strict=True))
