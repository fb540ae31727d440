"""A sample's shard depends on its id alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.dag.sharding import shard_count, shard_of


@pytest.mark.parametrize(
    ("megapixels", "samples", "count"),
    [(0, 0, 8), (2048, 10, 8), (2049, 10, 16), (100_000, 10, 512), (1, 12_000, 8), (1, 12_001, 16)],
)
def test_count_is_a_power_of_two_sized_by_pixels_and_samples(megapixels, samples, count):
    assert shard_count(megapixels, samples) == count


@given(st.text(min_size=1), st.sampled_from([8, 16, 64, 128]))
def test_name_is_a_number_below_the_count_with_its_width(sample, count):
    shard = shard_of(sample, count)
    assert 0 <= int(shard) < count
    assert len(shard) == max(2, len(str(count - 1)))
    assert shard_of(sample, count) == shard


@given(st.text(min_size=1))
def test_doubling_the_count_divides_every_shard(sample):
    assert int(shard_of(sample, 16)) % 8 == int(shard_of(sample, 8))


def test_known_shards_never_change():
    assert [shard_of(sample, 8) for sample in ("a", "b/c", "角")] == ["02", "01", "03"]


def test_shards_are_of_like_size():
    counts = Counter(shard_of(f"scene_{i}", 8) for i in range(8000))
    assert len(counts) == 8
    assert all(800 < count < 1200 for count in counts.values())
