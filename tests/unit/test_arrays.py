"""Arrays on disk: the bytes of NumPy, and an error where the disk is full."""

import numpy as np
import pytest

from maskmill.arrays import create_array, save_array
from tests.unit.full_disk import limited_files

ARRAYS = [
    np.arange(4000, dtype=np.uint8),  # less than what NumPy and the C library keep back until the file is closed
    np.random.default_rng(0).integers(0, 256, (3, 50, 60)).astype(np.uint8),
    np.arange(15, dtype=np.int32).reshape(5, 3),
    np.arange(6, dtype=">f8").reshape(2, 3),
    np.empty((5, 0), np.int32),
    np.array(7, np.uint16),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_the_bytes_are_those_of_numpy(tmp_path, array):
    save_array(tmp_path / "ours.npy", array)
    np.save(tmp_path / "theirs.npy", array)

    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_an_array_in_another_order_is_written_row_by_row(tmp_path):
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)

    save_array(tmp_path / "array.npy", array.T)

    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), array.T)


@pytest.mark.parametrize("missing", [1, 900, 4000])
@pytest.mark.parametrize("array", ARRAYS[:2], ids=lambda array: f"{array.dtype}-{array.shape}")
def test_a_full_disk_is_an_error(tmp_path, array, missing):
    with limited_files(128 + array.nbytes - missing), pytest.raises(OSError, match="large"):
        save_array(tmp_path / "array.npy", array)


def test_an_array_to_be_filled_is_of_zeros_and_on_disk(tmp_path):
    array = create_array(tmp_path / "array.npy", np.uint8, (2, 30, 40))
    assert not array.any()
    array[1, 2, 3] = 5

    expected = np.zeros((2, 30, 40), np.uint8)
    expected[1, 2, 3] = 5
    del array
    np.testing.assert_array_equal(np.load(tmp_path / "array.npy"), expected)


def test_room_for_all_of_an_array_is_taken_before_it_is_filled(tmp_path):
    array = create_array(tmp_path / "array.npy", np.uint8, (2, 300, 400))

    assert (tmp_path / "array.npy").stat().st_blocks * 512 >= array.nbytes
    with limited_files(100_000), pytest.raises(OSError, match="large"):
        create_array(tmp_path / "another.npy", np.uint8, (2, 300, 400))
