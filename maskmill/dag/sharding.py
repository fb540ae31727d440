"""Which shard a sample belongs to: samples are grouped in shards, and each shard is one job of the workflow.

The shard follows from the sample's id alone, so that a sample that comes or goes touches one shard.
"""

import hashlib

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
