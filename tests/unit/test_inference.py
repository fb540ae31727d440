"""The sliding window: coverage, blending, and independence of how it is cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.inference import Tiling, predict_probabilities, tile_starts, tile_weights
from maskmill.preprocess import Preprocessing

PLAIN = Preprocessing(
    channels=1,
    scale=1.0,
    intensity_range=(0, 255),
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
    return np.random.default_rng(seed).integers(0, 256, (height, width, 1)).astype(np.uint8)


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

    result = predict_probabilities(image, PLAIN, Tiling(32, 0.25, blending, batch_size), 8, identity)

    assert result.dtype == np.uint8
    assert np.array_equal(result[0], image[..., 0])


def test_batches_do_not_matter():
    image = picture(70, 100)
    results = [
        predict_probabilities(image, PLAIN, Tiling(32, 0.2, "gaussian", size), 8, identity) for size in (1, 3, 100)
    ]

    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_tiles_meet_the_stride():
    seen = []

    def record(batch):
        seen.append(batch.shape[2:])
        return batch[:, :1]

    predict_probabilities(picture(20, 50), PLAIN, Tiling(32, 0.2, "gaussian", 4), 8, record)

    assert set(seen) == {(24, 32)}


def test_a_tile_that_is_no_multiple_of_the_stride_is_refused():
    with pytest.raises(MaskmillError, match="multiple of 8"):
        predict_probabilities(picture(20, 50), PLAIN, Tiling(30, 0.2, "gaussian", 4), 8, identity)


def test_gaussian_weights_are_symmetric_with_a_floor():
    weights = tile_weights(32, 64, "gaussian")

    assert np.allclose(weights, weights[::-1, ::-1])
    assert weights.min() >= np.float32(1e-3)
    assert weights.max() == weights[15:17, 31:33].max()


def test_the_frame_outside_the_content_is_background():
    image = np.zeros((40, 60, 1), np.uint8)
    image[10:30, 5:50] = 200
    cropping = Preprocessing(**PLAIN.as_dict() | {"crop_border": True})
    ones = predict_probabilities(image, cropping, Tiling(32, 0.2, "gaussian", 4), 8, lambda b: np.ones_like(b))

    expected = np.zeros((40, 60), np.uint8)
    expected[10:30, 5:50] = 255
    assert np.array_equal(ones[0], expected)


def test_a_scaled_prediction_comes_back_at_full_size():
    image = np.full((50, 70, 1), 255, np.uint8)
    half = Preprocessing(**PLAIN.as_dict() | {"scale": 0.5})

    assert (predict_probabilities(image, half, Tiling(16, 0.2, "gaussian", 4), 8, identity) == 255).all()
