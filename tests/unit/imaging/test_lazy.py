"""Pictures that are read in parts give what they give whole, whatever they are stored as."""

import mmap

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from maskmill.imaging import lazy
from maskmill.imaging.images import read_image
from maskmill.imaging.lazy import LazyPicture, let_go, open_pixels, scale_picture
from maskmill.imaging.volumes import read_volume
from tests.unit.volume_data import save_lzw, write_nifti

PICTURE = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
VOLUME = np.random.default_rng(1).integers(0, 256, (7, 20, 30)).astype(np.uint8)
WINDOWS = [
    (slice(None), slice(None), slice(None)),
    (slice(0, 1), slice(3, 50), slice(10, 11)),
    (slice(None), slice(-5, None)),
]


@pytest.fixture
def nothing_is_small(monkeypatch):
    monkeypatch.setattr(lazy, "_KEPT_BYTES", 0)


def write(folder, kind):
    path = folder / f"picture.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, PICTURE, tile=(32, 48), photometric="rgb")
    elif kind == "strips.tif":
        tifffile.imwrite(path, PICTURE, rowsperstrip=7, bigtiff=True, photometric="rgb")
    else:
        Image.fromarray(PICTURE).save(path)
    return path


@pytest.mark.parametrize("kind", ["tif", "strips.tif", "png", "jpg"])
def test_windows_of_pictures(tmp_path, nothing_is_small, kind):
    path = write(tmp_path, kind)
    whole = read_image(path)[np.newaxis]

    with open_pixels(path, False) as picture:
        assert isinstance(picture, LazyPicture)
        assert (picture.shape, picture.dtype, len(picture)) == (whole.shape, whole.dtype, 1)
        for window in WINDOWS:
            assert picture[window].shape == whole[window].shape
            assert np.array_equal(np.asarray(picture[window]), whole[window])
        part = picture[:, 10:60, 20:80]
        assert np.array_equal(np.asarray(part[:, 5:8][:, 1:, :4]), whole[:, 16:18, 20:24])


@pytest.mark.parametrize("kind", ["nii", "nii.gz", "tif"])
def test_slices_of_volumes(tmp_path, kind):
    path = tmp_path / f"volume.{kind}"
    save_lzw(path, VOLUME) if kind == "tif" else write_nifti(path, VOLUME.transpose(2, 1, 0))
    whole = read_volume(path).pixels

    with open_pixels(path, True) as volume:
        assert volume.shape == whole.shape
        for window in [*WINDOWS[::2], (slice(2, 5), slice(3, 9), slice(4))]:
            assert np.array_equal(np.asarray(volume[window]), whole[window])


def test_small_pictures_are_arrays(tmp_path):
    with open_pixels(write(tmp_path, "tif"), False) as picture:
        assert np.array_equal(picture, PICTURE[np.newaxis])
        assert isinstance(picture, np.ndarray)


@settings(max_examples=40)
@given(st.floats(0.2, 1.7), st.integers(0, 60), st.integers(1, 40))
def test_parts_of_a_scaled_picture_are_those_of_the_scaled_whole(scale, top, rows):
    image = PICTURE[np.newaxis]
    whole = scale_picture(image, scale)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "_KEPT_BYTES", 0)
        scaled = scale_picture(image, scale)

    part = (slice(0, 1), slice(top, top + rows), slice(3, 9))
    assert scaled.shape == whole.shape
    if whole[part].size:
        assert np.array_equal(np.asarray(scaled[part]), whole[part])


def test_what_was_written_to_a_mapped_file_is_kept(tmp_path):
    written = np.memmap(tmp_path / "a", np.uint8, "w+", shape=(3 * mmap.PAGESIZE,))
    written[:] = 7
    let_go(written)
    assert (written == 7).all()

    private = np.memmap(tmp_path / "a", np.uint8, "c")
    private[:] = 9
    let_go(private)
    assert (private == 9).all()
