"""What streaming must not change, whatever the tiles, and how much memory it takes."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from maskmill.errors import MaskmillError
from maskmill.imaging import lazy
from maskmill.imaging.lazy import open_pixels
from maskmill.inference import banded, sliding_window
from maskmill.inference.postprocess import (
    OperatingPoint,
    Picture,
    Step,
    apply_thresholds,
    decide_bands,
    decide_mask,
    step_region,
)
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import predict_bands, predict_probabilities, write_bands
from maskmill.inference.tiling import Tiling, lay_tiles, resolve_tiling, tile_weights
from maskmill.models import build_model, exact_halo, foreground_probabilities
from tests.unit.member import MODEL, TILING

PLAIN = Preprocessing(1, 1.0, ((0, 255),), 0, False, "dataset", (0.0,), (1.0,))
RUN = {"train": {"patch": [1, 128, 96]}}


def picture(height, width, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, channels)).astype(np.uint8)


def neighbours(batch):
    """A network with context: each pixel mixed with one near it; two classes."""
    mixed = np.float32(0.37) * batch + np.float32(0.63) * np.roll(batch, (1, 2), (-2, -1))
    return np.stack([mixed[:, 0], np.float32(0.5) * mixed[:, -1]], 1)


def box(batch, reach=3):
    """A network that sees `reach` pixels to each side, and zeros beyond a tile, in sums without rounding."""
    sides = [2 * reach + 1] * (batch.ndim - 2)
    counts = np.rint(batch[:, :1] * 255).astype(np.float64)
    means = uniform_filter(counts, (1, 1, *sides), mode="constant") / 255
    return np.round(means, 6).astype(np.float32)


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([16, 24, 40]), st.sampled_from([16, 32]))
def test_exact_overlap_makes_the_result_independent_of_the_tile(height, width, tall, wide):
    image = picture(height, width)
    tilings = [Tiling((1, *tile), "exact", "constant", 3, "none", (0, 4, 4)) for tile in ((tall, wide), (96, 104))]

    first, second = (predict_probabilities(image, PLAIN, tiling, (1, 4, 4), 2, box) for tiling in tilings)

    assert np.array_equal(first, second)
    mirrored = uniform_filter(image[0, ..., 0].astype(np.float64), 7, mode="reflect")
    assert np.abs(first[0, 0] - mirrored).max() <= 0.501


@settings(max_examples=25)
@given(st.tuples(st.integers(1, 14), st.integers(1, 20), st.integers(1, 20)))
def test_exact_overlap_works_in_volumes(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 1)).astype(np.uint8)
    tilings = [Tiling(tile, "exact", "constant", 2, "none", (4, 4, 4)) for tile in ((12, 16, 12), (24, 28, 32))]

    first, second = (predict_probabilities(image, PLAIN, tiling, (2, 4, 4), 3, box) for tiling in tilings)

    assert np.array_equal(first, second)


@pytest.mark.parametrize("upsampling", ["interpolated", "transposed"])
def test_the_halo_of_a_network_covers_what_it_sees(upsampling):
    options = MODEL | {"upsampling": upsampling}
    torch.manual_seed(0)
    network = build_model(options, 1, 1).eval()
    halo = exact_halo(options)
    assert all(width % step == 0 for width, step in zip(halo, network.stride, strict=True))

    def runtime(batch):
        with torch.inference_mode():
            return foreground_probabilities(network(torch.from_numpy(batch))).numpy()

    image = picture(70, 90)
    tiles = (2 * halo[1] + 4, 2 * halo[2] + 8), (2 * halo[1] + 36, 2 * halo[2] + 48)
    tilings = [Tiling((1, *tile), "exact", "constant", 4, "none", halo) for tile in tiles]
    results = [predict_probabilities(image, PLAIN, tiling, (1, 4, 4), 2, runtime) for tiling in tilings]

    difference = np.abs(results[0].astype(int) - results[1])
    assert difference.max() <= 1  # sums in another order, on the edge between two levels
    assert difference.mean() < 1e-3
    blended = predict_probabilities(image, PLAIN, Tiling((1, 24, 32), 0.2, "constant", 4), (1, 4, 4), 2, runtime)
    assert np.abs(blended.astype(int) - results[0]).max() > 1  # which overlap by a share does not do


@pytest.mark.parametrize(
    ("option", "value"),
    [("norm", "group"), ("norm", "instance"), ("attention", "cbam"), ("architecture", "early_exit_unet")],
)
def test_networks_that_see_the_whole_tile_have_no_halo(option, value):
    with pytest.raises(MaskmillError, match=f"model.{option} {value} the network looks at a tile as a whole"):
        exact_halo(MODEL | {option: value})


def test_exact_overlap_is_resolved_by_the_network():
    run = RUN | {"model": MODEL}

    tiling = resolve_tiling(TILING | {"tile": 64, "overlap": "exact"}, run)

    assert tiling.halo == exact_halo(MODEL)
    assert resolve_tiling(TILING, run).halo == (0, 0, 0)
    with pytest.raises(MaskmillError, match=r"predict.tile 32 × 32, but the network sees \d+ × \d+ pixels"):
        resolve_tiling(TILING | {"tile": 32, "overlap": "exact"}, run)


def test_tiles_with_a_halo_follow_one_another_without_a_gap():
    grid = lay_tiles((1, 50, 20), Tiling((1, 24, 40), "exact", "constant", 1, "none", (0, 8, 8)), (1, 8, 8))

    assert grid.inner == (1, 8, 24)
    assert grid.starts == ([0], [0, 8, 16, 24, 32, 40, 48], [0])


def test_cosine_weights_fall_off_to_the_edge_with_a_floor():
    weights = tile_weights((1, 4, 1), "cosine").ravel()

    outer, inner = np.cos(3 * np.pi / 8), np.cos(np.pi / 8)
    assert weights == pytest.approx([outer, inner, inner, outer])
    assert tile_weights((1, 512, 512), "cosine").min() == np.float32(1e-3)


def test_tta_of_a_network_without_context_is_the_picture():
    image = picture(50, 70)
    for tta in ("flips", "rotations"):
        tiling = Tiling((1, 32, 24), 0.2, "cosine", 3, tta)
        result = predict_probabilities(image, PLAIN, tiling, (1, 8, 8), 2, lambda batch: batch)
        assert np.array_equal(result[0], image[..., 0])


CASES = st.tuples(
    st.integers(1, 80), st.integers(1, 80), st.sampled_from([1.0, 0.5, 0.7, 1.3]), st.booleans(), st.booleans(),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
)  # fmt: skip


@settings(max_examples=40)
@given(CASES)
def test_a_picture_in_a_file_gives_what_it_gives_in_memory(tmp_path_factory, case):
    height, width, scale, own, crop, dtype = case
    image = picture(height, width).astype(dtype)
    image[:, : height // 3] = 0
    path = tmp_path_factory.mktemp("picture") / "a.tif"
    tifffile.imwrite(path, image[0, ..., 0], tile=(16, 32))
    ranges, normalization = (None, "image") if own else (((0, 255),), "dataset")
    preprocessing = Preprocessing(1, scale, ranges, 0, crop, normalization, (0.1,), (0.9,))
    rest = preprocessing, Tiling((1, 32, 24), 0.3, "gaussian", 3), (1, 8, 8), 2, neighbours
    expected = predict_probabilities(image, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "_KEPT_BYTES", 0)
        with open_pixels(path, False) as source:
            write_bands(path.with_suffix(".npy"), predict_bands(source, *rest), image.shape[:3])

    assert np.array_equal(np.load(path.with_suffix(".npy")), expected)


STEPS = [
    Step("closing", 1, 2),
    Step("fill_holes", 1, 12),
    Step("refine_border", 2, 2),
    Step("remove_small", 1, 9),
    Step("remove_small", 2, 5),
    Step("opening", 2, 1),
    Step("regularize_polygons", 1, 1),
    Step("keep_largest", 2),
]


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.lists(st.sampled_from(STEPS), max_size=4), st.integers(0, 99))
def test_a_mask_decided_in_bands_is_that_of_the_whole(height, width, steps, seed):
    image, point = picture(height, width, seed=seed), OperatingPoint((0.4, 0.3), tuple(steps))
    rest = PLAIN, Tiling((1, 16, 24), 0.3, "gaussian", 3), (1, 8, 8), 2, neighbours
    seen = Picture(None, False, image)
    probabilities = predict_probabilities(image, *rest)
    expected = apply_thresholds(probabilities, point.thresholds)
    for step in steps:
        after = step_region(expected, step, probabilities, point.thresholds, seen)
        expected[(expected == step.value) & ~after] = 0
        expected[after] = step.value

    mask = np.zeros(image.shape[:3], np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "_BAND_PIXELS", 5 * width)
        patch.setattr(lazy, "_KEPT_BYTES", 0)
        decide_bands(predict_bands(image, *rest), point, seen, mask)

    assert np.array_equal(mask, expected)
    assert np.array_equal(decide_mask(probabilities, point, seen), expected)


def test_the_order_of_tiles_side_by_side_does_not_matter(monkeypatch):
    image, rest = picture(70, 150), ((1, 8, 8), 2, box)
    tiling = Tiling((1, 32, 32), 0.4, "gaussian", 3)
    forwards = predict_probabilities(image, PLAIN, tiling, *rest)

    monkeypatch.setattr(sliding_window, "product", lambda pages, rows, columns: product(pages, rows, reversed(columns)))

    assert np.array_equal(predict_probabilities(image, PLAIN, tiling, *rest), forwards)


def test_bands_come_from_the_top_and_cover_the_content():
    cropping = Preprocessing(**PLAIN.as_dict() | {"crop_border": True})
    image = picture(90, 40) // 2 + 1
    image[:, :20] = image[:, 70:] = 0

    bands = list(predict_bands(image, cropping, Tiling((1, 16, 16), 0.25, "gaussian", 4), (1, 8, 8), 2, np.ones_like))

    assert [band.page for band in bands] == [0] * len(bands)
    ends = [20, *(band.top + band.values.shape[1] for band in bands)]
    assert [band.top for band in bands] == ends[:-1]
    assert ends[-1] == 70
    assert len(bands) > 3


class Generated:
    """A picture that is nowhere: what is read of it is made then."""

    dtype = np.dtype(np.uint8)

    def __init__(self, height, width):
        self.shape = (1, height, width, 1)

    def picture(self):
        """It as a picture that is read in parts."""
        height, width = self.shape[1:3]
        return lazy.LazyPicture(
            (slice(0, 1), slice(0, height), slice(0, width)), 1, self.dtype,
            lambda part: np.full([side.stop - side.start for side in part] + [1], 100, np.uint8),
        )  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3])
def test_memory_is_bounded_by_bands_however_long_the_picture_is(scale, monkeypatch):
    monkeypatch.setattr(lazy, "_KEPT_BYTES", 0)
    halved = Preprocessing(**PLAIN.as_dict() | {"scale": scale})
    tiling = Tiling((1, 64, 64), 0.25, "gaussian", 2)
    peaks = []
    for height in (600, 4800):
        image = Generated(height, 500).picture()
        tracemalloc.start()
        rows = sum(band.values.shape[1] for band in predict_bands(image, halved, tiling, (1, 8, 8), 2, lambda b: b))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert rows == height

    assert peaks[1] < 1.1 * peaks[0] + 2**18
