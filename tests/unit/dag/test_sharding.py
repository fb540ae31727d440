"""A sample's shard depends on its id alone."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskmill.dag.sharding import deal_pictures, estimated_megapixels, shard_count, shard_of


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


def sparse(file, size):
    """A file of so many bytes that takes no room."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    os.truncate(file, size)
    return file


def test_pixels_are_estimated_by_the_size_of_files():
    sizes = {"a.jpg": 500_000, "b.TIF": 4_000_000, "c.png": 3_000_000, "d.nii.gz": 600_000}
    found = {name: estimated_megapixels(Path(name), size) for name, size in sizes.items()}
    assert found == {"a.jpg": 2, "b.TIF": 2, "c.png": 3, "d.nii.gz": 2}
    assert estimated_megapixels(Path("patient/ct"), 3_000_000) == 1.5


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp", "a.webp"])
def test_the_estimate_is_right_within_a_factor_of_six(tmp_path, name):
    rows, columns = np.mgrid[:300, :400]
    noise = np.random.default_rng(0).normal(0, 12, (300, 400, 3))
    picture = np.stack([rows / 2, columns / 2, (rows + columns) / 3], axis=-1) + noise
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(tmp_path / name)

    assert 1 / 6 < estimated_megapixels(tmp_path / name, (tmp_path / name).stat().st_size) / 0.12 < 6


def test_few_large_pictures_are_dealt_to_more_shards_than_small_ones(tmp_path):
    small = {f"p{number}": sparse(tmp_path / f"p{number}.tif", 1000) for number in range(200)}
    large = {f"p{number}": sparse(tmp_path / f"large/p{number}.tif", 200_000_000) for number in range(200)}

    assert len(deal_pictures(small)) == 8
    assert 60 < len(deal_pictures(large)) <= 128  # 20,000 million pixels, 256 a shard
    for dealt, pictures in ((deal_pictures(small), small), (deal_pictures(large), large)):
        assert {name: file for shard in dealt.values() for name, file in shard.files.items()} == {
            name: file.as_posix() for name, file in pictures.items()
        }
        assert list(dealt) == sorted(dealt)


@pytest.mark.parametrize("change", ["picture", "edit", "world file", "slice"])
def test_a_change_changes_one_shard(tmp_path, change):
    pictures = {f"p{number}": sparse(tmp_path / f"p{number}.png", 1000) for number in range(50)}
    pictures["ct"] = sparse(tmp_path / "ct/1.dcm", 1000).parent
    before = deal_pictures(pictures)
    assert deal_pictures(pictures) == before
    if change == "picture":
        pictures["new"] = sparse(tmp_path / "new.png", 1000)
    else:
        sparse(tmp_path / {"edit": "p7.png", "world file": "p7.pgw", "slice": "ct/1.dcm"}[change], 1001)

    after = deal_pictures(pictures)

    touched = {"picture": "new", "edit": "p7", "world file": "p7", "slice": "ct"}[change]
    assert [shard for shard in after if after[shard] != before.get(shard)] == [shard_of(touched, 8)]


def test_a_link_that_leads_to_itself_is_dealt_as_a_picture_without_a_file(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    pictures = {"good": sparse(tmp_path / "good.png", 1000), "loop": tmp_path / "loop.png"}

    dealt = deal_pictures(pictures)

    assert sorted(name for shard in dealt.values() for name in shard.files) == ["good", "loop"]
