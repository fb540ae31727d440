"""Which shard a sample belongs to: samples are grouped in shards, and each shard is one job of the workflow.

The shard follows from the sample's id alone, so that a sample that comes or goes touches one shard.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maskmill.dag.pictures import stamp_pictures

MINIMUM_SHARDS = 8
MEGAPIXELS_PER_SHARD = 256
SAMPLES_PER_SHARD = 1500  # keeps a shard's list below 1 MB, the size up to which Snakemake compares file contents


def shard_count(megapixels: float, samples: int = 0) -> int:
    """Number of shards for so many pixels and samples: a power of two, so that a growing set is rarely dealt anew."""
    count = MINIMUM_SHARDS
    while megapixels > count * MEGAPIXELS_PER_SHARD or samples > count * SAMPLES_PER_SHARD:
        count *= 2
    return count


def shard_of(sample_id: str, count: int) -> str:
    """Name of the sample's shard among `count`: decimal digits, at least two."""
    number = int(hashlib.sha256(sample_id.encode()).hexdigest()[:8], 16) % count
    return str(number).zfill(max(2, len(str(count - 1))))


BYTES_PER_PIXEL = {".jpg": 0.25, ".jpeg": 0.25, ".webp": 0.1, ".gz": 0.3, ".png": 1}
"""Size of files in relation to their pixels, by suffix; of other formats, mostly stored as they are, 2."""


def estimated_megapixels(picture: Path, size: int) -> float:
    """Million pixels of a picture by the bytes of its file or of its slices.

    Of photographs, scans and aerial pictures within a factor of about 3, more for what is nearly empty. Headers would
    tell exactly, but for every picture in every job of a cluster, and without the packages that know all formats.
    """
    return size / BYTES_PER_PIXEL.get(picture.suffix.lower(), 2) / 1e6


@dataclass(frozen=True)
class NewPictures:
    """The pictures of a shard, name → file, and a digest that changes with any of their files."""

    files: dict[str, str]
    digest: str


def deal_pictures(pictures: Mapping[str, Path]) -> dict[str, NewPictures]:
    """Pictures (name → file) by shard, shards and names in their order."""
    stamps = stamp_pictures(pictures)
    megapixels = sum(
        estimated_megapixels(file, sum(size for _, size, _ in stamps[name])) for name, file in pictures.items()
    )
    count = shard_count(megapixels, len(pictures))
    dealt: dict[str, list[str]] = {}
    for name in sorted(pictures):
        dealt.setdefault(shard_of(name, count), []).append(name)
    return {
        shard: NewPictures(
            {name: pictures[name].as_posix() for name in names},
            hashlib.sha256(repr([stamps[name] for name in names]).encode("utf-8", "surrogateescape")).hexdigest(),
        )
        for shard, names in sorted(dealt.items())
    }
