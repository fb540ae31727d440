"""The training cache: every accepted picture and its labels as arrays that are read in parts, without decoding."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, sha256_file, write_table
from maskmill.images import read_image, read_label_png
from maskmill.logs import progress
from maskmill.preprocess import resize_image, resize_labels, scaled_size

STATISTICS = "statistics.csv"
COLUMNS = ("id", "height", "width", "channels", "dtype", "min", "max", "sha256_image", "sha256_labels")


@dataclass(frozen=True)
class CachedSample:
    """A picture of the cache: where it lies, its size, and the range and digests of its values."""

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

    def image(self) -> np.ndarray:
        """The picture (height, width, channels) in its stored dtype, memory-mapped: only what is indexed is read."""
        return np.load(image_path(self.folder, self.id), mmap_mode="r")

    def labels(self) -> np.ndarray:
        """The label image (height, width), uint8 class indices, memory-mapped."""
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

    shard_list, samples: tables with the columns `id` and `image`; labels: folder of the label PNGs `<id>.png`.
    scale: factor on height and width; pictures keep their dtype, labels take the nearest pixel's class.
    Raises MaskmillError that lists every sample whose label image has another size, or that holds NaN or infinity.
    """
    accepted = {row["id"] for row in read_table(samples)}
    rows = [row for row in read_table(shard_list) if row["id"] in accepted]
    statistics, problems = [], []
    with atomic_path(output) as folder:
        folder.mkdir()
        for row in progress(rows, "caching pictures"):
            image = read_image(row["image"])
            label_image = read_label_png(Path(labels, f"{row['id']}.png"))
            if problem := _problem(image, label_image):
                problems.append(f"  {row['id']}: {problem}")
                continue
            statistics.append(_write_sample(folder, row["id"], image, label_image, scale))
        if problems:
            raise MaskmillError(
                f"{len(problems)} pictures cannot be cached; mend them, or remove them from the data set:\n"
                + "\n".join(problems)
            )
        write_table(folder / STATISTICS, statistics, COLUMNS)


def _problem(image: np.ndarray, labels: np.ndarray) -> str | None:
    if image.shape[:2] != labels.shape:
        return f"the picture is {image.shape[:2]} (height, width) and its label image {labels.shape}"
    if not np.isfinite(image).all():
        return "the picture holds NaN or infinite values"
    return None


def _write_sample(folder: Path, sample: str, image: np.ndarray, labels: np.ndarray, scale: float) -> dict:
    height, width = scaled_size(*labels.shape, scale)
    image = resize_image(image, height, width)
    image_path(folder, sample).parent.mkdir(parents=True, exist_ok=True)
    np.save(image_path(folder, sample), np.ascontiguousarray(image))
    np.save(labels_path(folder, sample), np.ascontiguousarray(resize_labels(labels, height, width)))
    return {
        "id": sample,
        "height": height,
        "width": width,
        "channels": image.shape[2],
        "dtype": str(image.dtype),
        "min": image.min().item(),
        "max": image.max().item(),
        "sha256_image": sha256_file(image_path(folder, sample)),
        "sha256_labels": sha256_file(labels_path(folder, sample)),
    }


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
