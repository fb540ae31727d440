"""The sliding window: coverage, blending, and independence of how it is cut."""

import hashlib
import json
import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import predict_probabilities
from maskmill.inference.tiling import Tiling, resolve_tiling, tile_starts, tile_weights

PLAIN = Preprocessing(
    channels=1,
    scale=1.0,
    intensity_ranges=((0, 255),),
    intensity_floor=0,
    crop_border=False,
    normalization="dataset",
    mean=(0.0,),
    std=(1.0,),
)


def identity(batch):
    """A network without context: the probability is the intensity."""
    return batch[:, :1]


def picture(height, width, seed=0):
    return volume(1, height, width, seed)


def volume(depth, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (depth, height, width, 1)).astype(np.uint8)


def planar(image, tile, preprocessing=PLAIN, runtime=None, overlap=0.2, blending="gaussian", batch_size=4):
    """What a network of two dimensions and stride 8 gives, with square tiles."""
    tiling = Tiling((1, tile, tile), overlap, blending, batch_size)
    return predict_probabilities(image, preprocessing, tiling, (1, 8, 8), 2, runtime or identity)


@given(st.integers(1, 300), st.integers(1, 64), st.floats(0, 0.9))
def test_tiles_cover_everything_and_overlap_enough(extra, tile, overlap):
    length = tile + extra
    starts = tile_starts(length, tile, overlap)

    assert starts[0] == 0
    assert starts[-1] == length - tile
    assert starts == sorted(set(starts))
    steps = np.diff(starts)
    assert (steps <= max(1, int(tile * (1 - overlap))) + 1).all()
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + tile] = True
    assert covered.all()


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["gaussian", "constant"]), st.integers(1, 5))
def test_a_network_without_context_gives_the_picture_back(height, width, blending, batch_size):
    image = picture(height, width)

    result = planar(image, 32, overlap=0.25, blending=blending, batch_size=batch_size)

    assert result.dtype == np.uint8
    assert np.array_equal(result[0], image[..., 0])


def test_batches_do_not_matter():
    image = picture(70, 100)
    results = [planar(image, 32, batch_size=size) for size in (1, 3, 100)]

    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_tiles_meet_the_stride():
    seen = []

    def record(batch):
        seen.append(batch.shape[2:])
        return batch[:, :1]

    planar(picture(20, 50), 32, runtime=record)

    assert set(seen) == {(24, 32)}


def test_a_tile_that_is_no_multiple_of_the_stride_is_refused():
    with pytest.raises(MaskmillError, match=r"predict.tile is 30 × 30 .* multiple of 8 × 8"):
        planar(picture(20, 50), 30)
    with pytest.raises(MaskmillError, match=r"predict.tile is 6 × 32 × 32 .* multiple of 4 × 8 × 8"):
        predict_probabilities(volume(9, 40, 50), PLAIN, Tiling((6, 32, 32), 0.2, "gaussian", 4), (4, 8, 8), 3, identity)


def test_gaussian_weights_are_symmetric_with_a_floor():
    weights = tile_weights((1, 32, 64), "gaussian")[0]

    assert np.allclose(weights, weights[::-1, ::-1])
    assert weights.min() >= np.float32(1e-3)
    assert weights.max() == weights[15:17, 31:33].max()


def test_the_frame_outside_the_content_is_background():
    image = np.zeros((1, 40, 60, 1), np.uint8)
    image[:, 10:30, 5:50] = 200
    cropping = Preprocessing(**PLAIN.as_dict() | {"crop_border": True})
    ones = planar(image, 32, cropping, lambda b: np.ones_like(b))

    expected = np.zeros((40, 60), np.uint8)
    expected[10:30, 5:50] = 255
    assert np.array_equal(ones[0, 0], expected)


def test_a_scaled_prediction_comes_back_at_full_size():
    image = np.full((1, 50, 70, 1), 255, np.uint8)
    half = Preprocessing(**PLAIN.as_dict() | {"scale": 0.5})

    assert (planar(image, 16, half) == 255).all()


def neighbours(batch):
    """A network with context: each pixel mixed with one near it; two classes."""
    mixed = np.float32(0.37) * batch + np.float32(0.63) * np.roll(batch, (1, 2), (-2, -1))
    return np.stack([mixed[:, 0], np.float32(0.5) * mixed[:, -1]], 1)


@pytest.mark.parametrize(
    ("scale", "crop", "normalization", "blending", "digest"),
    [
        (1.0, False, "dataset", "gaussian", "68c8848feac39e2a"),
        (0.5, True, "image", "constant", "16294d21ff1bedfb"),
        (1.3, True, "dataset", "gaussian", "eaf31a79c2facdd8"),
    ],
)
def test_pictures_keep_their_bytes(scale, crop, normalization, blending, digest):
    image = np.random.default_rng(7).integers(0, 256, (90, 130, 3)).astype(np.uint8)
    image[:5] = 0
    preprocessing = Preprocessing(3, scale, ((0, 255),) * 3, 0, crop, normalization, (0.1,) * 3, (1.0,) * 3)

    result = planar(image[None], 32, preprocessing, neighbours, overlap=0.3, blending=blending, batch_size=3)

    assert hashlib.sha256(result.tobytes()).hexdigest()[:16] == digest


sizes = st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40))


@given(sizes, st.sampled_from(["gaussian", "constant"]), st.integers(1, 5), st.floats(0, 0.7))
def test_a_network_without_context_gives_the_volume_back(size, blending, batch_size, overlap):
    image = volume(*size)
    tiling = Tiling((8, 16, 24), overlap, blending, batch_size)

    result = predict_probabilities(image, PLAIN, tiling, (4, 8, 8), 3, identity)

    assert result.dtype == np.uint8
    assert np.array_equal(result[0], image[..., 0])


def test_tiles_of_volumes_meet_the_stride_on_each_axis():
    seen = []

    def record(batch):
        seen.append(batch.shape)
        return batch[:, :1]

    predict_probabilities(volume(5, 20, 50), PLAIN, Tiling((8, 32, 32), 0.2, "gaussian", 4), (2, 8, 8), 3, record)

    assert set(seen) == {(2, 1, 6, 24, 32)}


def test_a_network_of_two_dimensions_sees_the_slices_of_a_volume_one_by_one():
    image = volume(7, 40, 50)
    one_by_one = [planar(page[None], 32, runtime=neighbours) for page in image]

    assert np.array_equal(planar(image, 32, runtime=neighbours, batch_size=5), np.concatenate(one_by_one, axis=1))


def test_blending_equals_a_weighted_mean_over_the_whole_volume():
    image, tiling = volume(11, 21, 19), Tiling((4, 8, 8), 0.5, "gaussian", 3)
    weights = tile_weights(tiling.tile, "gaussian").astype(np.float64)
    total, norm = np.zeros((2, *image.shape[:3]))
    for corner in product(*(tile_starts(*sides, 0.5) for sides in zip(image.shape[:3], tiling.tile, strict=True))):
        window = tuple(slice(start, start + side) for start, side in zip(corner, tiling.tile, strict=True))
        total[window] += weights * neighbours(image[window].transpose(3, 0, 1, 2)[None] / np.float32(255))[0, 0]
        norm[window] += weights

    result = predict_probabilities(image, PLAIN, tiling, (2, 2, 2), 3, neighbours)

    assert np.abs(result[0] - 255 * total / norm).max() < 0.501


def test_slices_outside_the_content_are_background():
    image = np.zeros((9, 20, 30, 1), np.uint8)
    image[2:6, 4:12, 5:25] = 200
    cropping = Preprocessing(**PLAIN.as_dict() | {"crop_border": True})

    ones = predict_probabilities(image, cropping, Tiling((8, 16, 16), 0.2, "gaussian", 4), (2, 2, 2), 3, np.ones_like)

    assert np.array_equal(ones[0], (image[..., 0] > 0) * np.uint8(255))


def test_memory_is_the_result_and_as_many_slices_as_a_tile_is_deep():
    image = np.zeros((96, 64, 64, 1), np.uint8)
    tiling = Tiling((8, 32, 32), 0.25, "gaussian", 2)
    tracemalloc.start()
    predict_probabilities(image, PLAIN, tiling, (4, 4, 4), 3, identity)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < image.nbytes + 6 * 4 * 8 * 64 * 64 + 2**20  # float32 values of the whole would be four times image


RUN = {"model": {"dimensions": 2}, "train": {"patch": [1, 128, 96]}}
OPTIONS = {"tile": "auto", "overlap": 0.25, "blending": "constant", "batch_size": 3, "tta": "none"}


def test_the_tile_is_resolved_by_the_dimensions_of_the_network():
    solid = {"model": {"dimensions": 3}, "train": {"patch": [32, 96, 96]}}

    assert resolve_tiling(OPTIONS, RUN) == Tiling((1, 512, 512), 0.25, "constant", 3)
    assert resolve_tiling(OPTIONS, solid).tile == (32, 96, 96)
    assert resolve_tiling(OPTIONS | {"tile": 64}, solid).tile == (64, 64, 64)
    assert resolve_tiling(OPTIONS | {"tile": [64, 128]}, RUN).tile == (1, 64, 128)
    with pytest.raises(MaskmillError, match=r"predict.tile is \[4, 64, 128\], but the network works slice by slice"):
        resolve_tiling(OPTIONS | {"tile": [4, 64, 128]}, RUN)


def test_a_tiling_survives_json():
    tiling = resolve_tiling(OPTIONS, RUN)

    assert Tiling.from_dict(json.loads(json.dumps(tiling.as_dict()))) == tiling


def test_another_number_of_channels_is_refused():
    with pytest.raises(MaskmillError, match="a picture has 3 channels where the model was trained on 1"):
        planar(np.zeros((4, 20, 20, 3), np.uint8), 32)
