"""The training cache."""

import dataclasses

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskmill.classes import Classes
from maskmill.data.cache import cache_shard, check_cache, read_cache, read_split, tile_count
from maskmill.data.places import find_places
from maskmill.errors import MaskmillError
from maskmill.files import read_table, sha256_file, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.resampling import resize_image, resize_labels
from maskmill.imaging.volumes import write_label_volume
from maskmill.inference.preprocess import value_percentiles
from tests.unit.volume_data import write_nifti


@pytest.fixture
def source(tmp_path):
    """Two accepted pictures and a rejected one, with labels; returns the arguments of cache_shard without the scale."""
    rows = []
    for number, sample in enumerate(["a/ä", "b", "rejected"]):
        image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3) + number
        labels = np.zeros((6, 8), np.uint8)
        labels[2:4, 4:] = number + 1
        for folder, array in (("images", image), ("labels", labels)):
            path = tmp_path / folder / f"{sample}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.fromarray(array)
            if folder == "labels":
                picture.putpalette([0] * 768)
            picture.save(path)
        rows.append({"id": sample, "image": str(tmp_path / f"images/{sample}.png")})
    write_table(tmp_path / "shard.csv", rows, ["id", "image"])
    write_table(tmp_path / "samples.csv", rows[:2], ["id", "image"])
    return [tmp_path / "shard.csv", tmp_path / "samples.csv", tmp_path / "labels", tmp_path / "cache"]


def test_caches_the_accepted_pictures_as_they_are(source):
    cache_shard(*source, scale=1.0)
    samples = read_cache([source[3]])
    assert list(samples) == ["a/ä", "b"]
    image = samples["b"].image()
    assert isinstance(image, np.memmap)
    assert image.dtype == np.uint8
    assert np.array_equal(image, np.arange(6 * 8 * 3, dtype=np.uint8).reshape(1, 6, 8, 3) + 1)
    assert isinstance(samples["b"].labels(), np.memmap)
    assert samples["b"].labels()[0, 2, 4] == 2
    assert (samples["b"].minimum, samples["b"].maximum) == ((1, 2, 3), (142, 143, 144))
    assert (samples["b"].spacing, samples["b"].unit, samples["b"].isotropic) == (None, None, False)
    assert not list(source[3].rglob("*rejected*"))


def test_scales_pictures_and_labels_alike(source):
    cache_shard(*source, scale=0.5)
    sample = read_cache([source[3]])["a/ä"]
    assert (*sample.size, sample.channels) == (1, 3, 4, 3) == sample.image().shape
    assert np.array_equal(sample.labels(), [[[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]])
    assert sample.pixels == {0: 10, 1: 2}
    assert sample.places().T.tolist() == [[1, 0, 1, 2, 2], [1, 0, 1, 3, 2]]


def test_statistics_hold_the_digests_of_the_arrays(source):
    cache_shard(*source, scale=1.0)
    for row in read_table(source[3] / "statistics.csv"):
        assert row["sha256_image"] == sha256_file(source[3] / f"{row['id']}.image.npy")
        assert row["sha256_labels"] == sha256_file(source[3] / f"{row['id']}.label.npy")


def test_is_the_same_when_made_again(source, tmp_path):
    cache_shard(*source, scale=0.7)
    again = tmp_path / "again"
    cache_shard(*source[:3], again, scale=0.7)
    made = {path.relative_to(source[3]): sha256_file(path) for path in source[3].rglob("*.*")}
    assert made == {path.relative_to(again): sha256_file(path) for path in again.rglob("*.*")}
    assert len(made) == 7


def test_names_every_picture_that_does_not_fit_its_labels(source, tmp_path):
    for sample in ("a/ä", "b"):
        Image.fromarray(np.zeros((5, 8), np.uint8)).save(tmp_path / f"images/{sample}.png")
    with pytest.raises(MaskmillError, match=r"(?s)2 pictures.*a/ä.*\(5, 8\).*\(6, 8\).*b: "):
        cache_shard(*source, scale=1.0)
    assert not source[3].exists()


def test_names_pictures_with_nan(source, tmp_path):
    image = np.zeros((6, 8), np.float32)
    image[0, 0] = np.nan
    Image.fromarray(image).save(tmp_path / "nan.tif")
    rows = [{"id": "b", "image": str(tmp_path / "nan.tif")}]
    write_table(source[0], rows, ["id", "image"])
    with pytest.raises(MaskmillError, match="b: the picture holds NaN"):
        cache_shard(*source, scale=1.0)


def test_splits_are_read_in_the_order_of_the_ids(source, tmp_path):
    cache_shard(*source, scale=1.0)
    splits = tmp_path / "splits.csv"
    write_table(splits, [{"id": "b", "fold0": "train"}, {"id": "a/ä", "fold0": "train"}], ["id", "fold0"])
    assert [sample.id for sample in read_split([source[3]], splits, 0, "train")] == ["a/ä", "b"]
    with pytest.raises(MaskmillError, match="fold 0 has no validation pictures"):
        read_split([source[3]], splits, 0, "validation")
    write_table(splits, [{"id": "gone", "fold0": "train"}], ["id", "fold0"])
    with pytest.raises(MaskmillError, match=r"lacks 1 pictures.*gone"):
        read_split([source[3]], splits, 0, "train")


def test_tiles_cover_a_picture(source):
    cache_shard(*source, scale=1.0)
    sample = read_cache([source[3]])["b"]
    assert [tile_count(sample, (1, size, size)) for size in (2, 4, 5, 8)] == [12, 4, 4, 1]
    assert tile_count(sample, (1, 6, 4)) == 2
    assert tile_count(dataclasses.replace(sample, depth=7), (3, 6, 4)) == 6


VOLUME = np.random.default_rng(0).integers(-999, 999, (7, 9, 5, 2), dtype=np.int16)
VOLUME_LABELS = (VOLUME[..., 0] > 0).astype(np.uint8)


def volume_source(folder, pixels=VOLUME, labels=VOLUME_LABELS, suffix=".nii.gz", spacing=(0.8, 0.8, 2.5)):
    """A volume (i, j, k, c) with labels (i, j, k); returns the arguments of cache_shard without the scale."""
    image = write_nifti(folder / f"v{suffix}", pixels, np.diag([*spacing, 1]))
    like = write_nifti(folder / "like.nii", labels)
    write_label_volume(folder / "labels" / "a" / "v.nii.gz", labels.transpose(2, 1, 0), like)
    rows = [{"id": "a/v", "image": str(image), "depth": labels.shape[2]}]
    for name in ("shard.csv", "samples.csv"):
        write_table(folder / name, rows, list(rows[0]))
    return [folder / "shard.csv", folder / "samples.csv", folder / "labels", folder / "cache"]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volumes_are_cached_as_they_are(tmp_path, suffix):
    cache_shard(*volume_source(tmp_path, suffix=suffix), scale=1.0)
    sample = read_cache([tmp_path / "cache"])["a/v"]
    assert (sample.depth, sample.height, sample.width, sample.channels) == (5, 9, 7, 2) == sample.image().shape
    np.testing.assert_array_equal(sample.image(), VOLUME.transpose(2, 1, 0, 3))
    np.testing.assert_array_equal(sample.labels(), VOLUME_LABELS.transpose(2, 1, 0))
    assert sample.minimum == tuple(VOLUME.min(axis=(0, 1, 2)))
    assert sample.maximum == tuple(VOLUME.max(axis=(0, 1, 2)))
    assert np.array_equal(sample.percentiles, value_percentiles(VOLUME.transpose(2, 1, 0, 3)))
    pixels, places = find_places(VOLUME_LABELS.transpose(2, 1, 0))
    assert sample.pixels == pixels
    assert np.array_equal(sample.places(), places)
    np.testing.assert_allclose(sample.spacing, (2.5, 0.8, 0.8), rtol=1e-6)
    assert sample.unit == "mm"


def test_volumes_are_scaled_in_the_plane_of_their_slices(tmp_path):
    cache_shard(*volume_source(tmp_path), scale=0.5)
    sample = read_cache([tmp_path / "cache"])["a/v"]
    assert sample.image().shape == (5, 5, 4, 2)
    np.testing.assert_allclose(sample.spacing, (2.5, 0.8 * 9 / 5, 0.8 * 7 / 4), rtol=1e-6)
    for number in range(5):
        np.testing.assert_array_equal(
            sample.image()[number], resize_image(VOLUME[:, :, number].transpose(1, 0, 2), 5, 4)
        )
        np.testing.assert_array_equal(
            sample.labels()[number], resize_labels(np.ascontiguousarray(VOLUME_LABELS[:, :, number].T), 5, 4)
        )


@pytest.mark.parametrize(("spacing", "isotropic"), [((1, 1, 1), True), ((1, 1, 1.2), True), ((1, 1, 2.5), False)])
def test_volumes_are_isotropic_where_their_voxels_are_nearly_cubes(tmp_path, spacing, isotropic):
    cache_shard(*volume_source(tmp_path, spacing=spacing), scale=1.0)
    assert read_cache([tmp_path / "cache"])["a/v"].isotropic == isotropic


def test_stacks_that_do_not_tell_the_size_of_their_voxels_have_none(tmp_path):
    pixels = VOLUME[..., 0].transpose(2, 1, 0)
    tifffile.imwrite(tmp_path / "v.tif", pixels.astype(np.uint8), photometric="minisblack")
    like = write_nifti(tmp_path / "like.nii", VOLUME_LABELS)
    write_label_volume(tmp_path / "labels" / "v.nii.gz", VOLUME_LABELS.transpose(2, 1, 0), like)
    write_table(tmp_path / "s.csv", [{"id": "v", "image": tmp_path / "v.tif", "depth": 5}], ["id", "image", "depth"])
    cache_shard(tmp_path / "s.csv", tmp_path / "s.csv", tmp_path / "labels", tmp_path / "cache", 1.0)
    sample = read_cache([tmp_path / "cache"])["v"]
    assert (sample.spacing, sample.unit, sample.isotropic) == (None, None, False)


def test_numbers_keep_all_their_digits(tmp_path):
    pixels = np.random.default_rng(3).normal(size=VOLUME.shape).astype(np.float32)
    cache_shard(*volume_source(tmp_path, pixels), scale=1.0)
    sample = read_cache([tmp_path / "cache"])["a/v"]
    assert np.array_equal(sample.percentiles, value_percentiles(pixels.transpose(2, 1, 0, 3)))
    assert sample.maximum == tuple(pixels.max(axis=(0, 1, 2)))


def test_names_volumes_that_do_not_fit_their_labels(tmp_path):
    arguments = volume_source(tmp_path, VOLUME[:, :, :4])
    with pytest.raises(MaskmillError, match=r"a/v: the picture is \(4, 9, 7\) \(depth, height, width\) .*\(5, 9, 7\)"):
        cache_shard(*arguments, scale=1.0)


def test_names_volumes_with_nan(tmp_path):
    pixels = VOLUME.astype(np.float32)
    pixels[1, 2, 3] = np.inf
    with pytest.raises(MaskmillError, match="a/v: the picture holds NaN or infinite values"):
        cache_shard(*volume_source(tmp_path, pixels), scale=1.0)


@pytest.mark.parametrize("band", [1, 3 * 30 * 6, 10**9])
def test_large_pictures_are_written_in_bands_with_the_same_bytes(tmp_path, monkeypatch, band):
    monkeypatch.setattr("maskmill.imaging.images._BAND_BYTES", band)
    monkeypatch.setattr("maskmill.imaging.images._BAND_STEP", 4)
    pixels = np.random.default_rng(1).integers(0, 65535, (23, 30, 3), dtype=np.uint16)
    labels = (pixels[..., 0] % 2).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(16, 16), compression="zlib", photometric="rgb")
    write_label_png(tmp_path / "labels" / "a.png", labels, Classes.from_config(["one"]))
    write_table(tmp_path / "shard.csv", [{"id": "a", "image": str(tmp_path / "a.tif")}], ["id", "image"])
    cache_shard(tmp_path / "shard.csv", tmp_path / "shard.csv", tmp_path / "labels", tmp_path / "cache", 1.0)
    np.save(tmp_path / "expected.npy", pixels[np.newaxis])
    assert (tmp_path / "cache" / "a.image.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    sample = read_cache([tmp_path / "cache"])["a"]
    assert sample.minimum == tuple(pixels.min(axis=(0, 1)))
    assert sample.maximum == tuple(pixels.max(axis=(0, 1)))


def test_a_nan_in_a_later_band_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("maskmill.imaging.images._BAND_BYTES", 1)
    monkeypatch.setattr("maskmill.imaging.images._BAND_STEP", 4)
    pixels = np.zeros((23, 30), np.float32)
    pixels[22, 29] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    write_label_png(tmp_path / "labels" / "a.png", np.zeros((23, 30), np.uint8), Classes.from_config(["one"]))
    write_table(tmp_path / "shard.csv", [{"id": "a", "image": str(tmp_path / "a.tif")}], ["id", "image"])
    with pytest.raises(MaskmillError, match="a: the picture holds NaN"):
        cache_shard(tmp_path / "shard.csv", tmp_path / "shard.csv", tmp_path / "labels", tmp_path / "cache", 1.0)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("left", [0, 100, 200])  # bytes: nothing, part of the header, part of the values
@pytest.mark.parametrize("kind", ["image", "label", "places"])
def test_an_array_that_is_cut_off_is_named_with_what_makes_it_anew(source, kind, left):
    cache_shard(*source, scale=1.0)
    sample, file = read_cache([source[3]])["b"], source[3] / f"b.{kind}.npy"
    file.write_bytes(file.read_bytes()[: min(left, file.stat().st_size - 1)])
    read = {"image": sample.image, "label": sample.labels, "places": sample.places}[kind]
    with pytest.raises(MaskmillError, match=rf"1 file of the cache, {file} .*--forcerun cache_samples"):
        read()


def test_arrays_whose_values_were_lost_are_found(source):
    cache_shard(*source, scale=1.0)
    samples = read_cache([source[3]]).values()
    check_cache(samples)
    zeroed = source[3] / "a/ä.image.npy"
    zeroed.write_bytes(zeroed.read_bytes()[:128].ljust(zeroed.stat().st_size, b"\0"))
    (source[3] / "b.label.npy").unlink()
    with pytest.raises(MaskmillError, match=rf"2 files of the cache, {zeroed} first, .*not as it was written"):
        check_cache(samples)
