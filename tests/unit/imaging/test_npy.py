"""Pictures in .npy files: the same values as in any other file, in parts too, and nothing that has to be unpickled."""

import io
import pickle
import random

import numpy as np
import pytest

from maskmill.imaging.images import ImageError, image_header, read_bands, read_image, read_values, read_window
from maskmill.imaging.lazy import LazyPicture, open_pixels

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


class Trap:
    """What would leave a trace if it were unpickled."""

    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "<u2", ">u2", "i8", "f2", ">f4", "f8"])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 5)])
def test_any_numbers_in_any_order_are_read_as_they_are(tmp_path, shape, dtype, order):
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    np.save(tmp_path / "a.npy", np.asarray(values, order=order))

    pixels = read_image(tmp_path / "a.npy")

    assert np.array_equal(pixels, values.reshape(20, 30, -1))
    assert pixels.dtype.isnative
    assert type(pixels) is np.ndarray
    assert image_header(tmp_path / "a.npy") == (30, 20, pixels.shape[2], pixels.dtype.name)
    assert np.array_equal(read_window(tmp_path / "a.npy", 3, 5, 7, 11), pixels[3:10, 5:16])


def test_booleans_are_read_as_bilevel_pictures_are(tmp_path):
    values = RGB[..., 0] > 100
    np.save(tmp_path / "a.npy", values)

    assert np.array_equal(read_image(tmp_path / "a.npy")[..., 0], 255 * values)
    assert np.array_equal(read_values(tmp_path / "a.npy")[..., 0], values)
    assert image_header(tmp_path / "a.npy") == (30, 20, 1, "uint8")
    assert np.array_equal(read_window(tmp_path / "a.npy", 0, 0, 5, 5)[..., 0], 255 * values[:5, :5])


def test_a_large_one_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("maskmill.imaging.lazy._KEPT_BYTES", 100)
    monkeypatch.setattr("maskmill.imaging.images._BAND_BYTES", 100)
    monkeypatch.setattr("maskmill.imaging.images._BAND_STEP", 8)
    np.save(tmp_path / "a.npy", RGB)

    with open_pixels(tmp_path / "a.npy", False) as image:
        assert isinstance(image, LazyPicture)
        assert np.array_equal(image[:, 4:9, 2:], RGB[np.newaxis, 4:9, 2:])
    assert np.array_equal(np.concatenate(list(read_bands(tmp_path / "a.npy"))), RGB)


def zipped():
    """An archive of arrays, as numpy.savez writes it."""
    content = io.BytesIO()
    np.savez(content, RGB)
    return content.getvalue()


BAD = {
    "objects": (lambda file: np.save(file, np.array([[Trap()]]), allow_pickle=True), "Python objects, .*never loaded"),
    "a line": (lambda file: np.save(file, np.zeros(9)), r"of shape \(9,\); a picture is \(height, width\) or"),
    "five axes": (lambda file: np.save(file, np.zeros((1, 2, 3, 4, 5))), r"of shape \(1, 2, 3, 4, 5\); a picture is"),
    "nothing": (lambda file: np.save(file, np.zeros((0, 4))), "it is damaged|of shape"),
    "complex": (lambda file: np.save(file, np.zeros((4, 4), complex)), "complex128; a picture has booleans, integers"),
    "texts": (lambda file: np.save(file, np.full((4, 4), "a")), "<U1; a picture has booleans, integers or floats"),
    "fields": (lambda file: np.save(file, np.zeros((4, 4), [("a", "u1")])), "a picture has booleans, integers"),
    "pickle": (lambda file: file.write_bytes(pickle.dumps(Trap())), "it is no picture in a known format"),
    "archive": (lambda file: file.write_bytes(zipped()), "it is no picture in a known format"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_refused_with_a_reason(tmp_path, name):
    write, message = BAD[name]
    write(tmp_path / "a.npy")

    for read in (read_image, image_header, lambda file: read_window(file, 0, 0, 1, 1)):
        with pytest.raises(ImageError, match=message):
            read(tmp_path / "a.npy")


def test_one_that_broke_off_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", RGB)
    content = (tmp_path / "a.npy").read_bytes()

    for length in (7, 9, 40, 128, len(content) - 1):
        (tmp_path / "a.npy").write_bytes(content[:length])
        with pytest.raises(ImageError, match="it is damaged"):
            read_image(tmp_path / "a.npy")


@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_never_end_in_another_error(tmp_path):
    np.save(tmp_path / "a.npy", RGB)
    content, chance, refused = (tmp_path / "a.npy").read_bytes(), random.Random(0), 0
    for _ in range(500):
        damaged = bytearray(content)
        for place in chance.choices(range(130), k=2):
            damaged[place] = chance.choice([0, 255, chance.randrange(256), *b"()'[{,-O"])
        (tmp_path / "a.npy").write_bytes(damaged)
        try:
            read_image(tmp_path / "a.npy")
        except ImageError:
            refused += 1
    assert refused
