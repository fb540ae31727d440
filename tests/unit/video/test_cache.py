"""The frame cache gives the very bytes that each frame gives by itself, and computes only what changed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.errors import MaskmillError
from maskmill.inference.batches import same_in_one_batch
from maskmill.inference.postprocess import OperatingPoint, Step
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.recipe import Recipe
from maskmill.inference.tiling import Tiling
from maskmill.video import cache
from maskmill.video.cache import FrameSegmenter, TileCache
from tests.unit.member import CLASSES
from tests.unit.video.clip_data import drive_past

SHARES = Preprocessing(3, 1.0, ((0, 255),) * 3, 0, False, "dataset", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
RECIPE = Recipe(
    CLASSES,
    SHARES,
    Tiling((1, 16, 16), 0.25, "gaussian", 4),
    False,
    2,
    (1, 4, 4),
    OperatingPoint((0.55, 0.7), (Step("fill_holes", 1, 9), Step("remove_small", 2, 5), Step("refine_border", 1, 2))),
)
KINDS = {
    "blended": RECIPE,
    "overlapping by what the network sees": replace(
        RECIPE, tiling=Tiling((1, 16, 16), "exact", "constant", 3, "none", (0, 2, 2))
    ),
    "turned copies": replace(RECIPE, tiling=replace(RECIPE.tiling, tta="rotations")),
    "scaled": replace(RECIPE, preprocessing=replace(SHARES, scale=0.7)),
    "larger than the frame": replace(RECIPE, tiling=replace(RECIPE.tiling, tile=(1, 64, 128))),
    "own intensities": replace(RECIPE, preprocessing=replace(SHARES, intensity_ranges=None)),
    "own mean": replace(RECIPE, preprocessing=replace(SHARES, normalization="image")),
    "without its border": replace(RECIPE, preprocessing=replace(SHARES, crop_border=True, intensity_floor=0.1)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def indifferent(monkeypatch):
    """Networks to which batches do not matter, known without a trial, whose tiles would count."""
    monkeypatch.setattr(cache, "same_in_one_batch", lambda runtime, shapes: True)


class Network:
    """A stand-in for a network that sees two pixels around, with two classes; counts the tiles it is given."""

    def __init__(self):
        self.tiles = 0

    def __call__(self, batch):
        self.tiles += len(batch)
        near = sum(np.roll(batch, (down, along), (2, 3)) for down in (-2, 0, 2) for along in (-2, 0, 2)) / 9
        return 1 / (1 + np.exp(-np.stack([near[:, 0] - near[:, 2], near[:, 1] - batch[:, 0]], axis=1)))


def alone(recipe, frame):
    """The mask of a frame by itself."""
    return recipe.mask(frame[np.newaxis], Network())[0]


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_the_frames_by_themselves(kind):
    frames = drive_past(9)
    frames[3] = frames[2]
    frames[6:, :5] = 0
    frames[7] = 255 - frames[7]
    network = Network()
    segmenter = FrameSegmenter(KINDS[kind], network)

    for frame in frames:
        np.testing.assert_array_equal(segmenter.mask(frame), alone(KINDS[kind], frame))

    assert segmenter.tiles.computed == network.tiles <= segmenter.tiles.asked
    assert len(np.unique([alone(KINDS[kind], frame) for frame in frames])) == 3


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_any_change_anywhere_is_seen(seed):
    random = np.random.default_rng(seed)
    frame = random.integers(0, 256, (37, 50, 3)).astype(np.uint8)
    segmenter = FrameSegmenter(RECIPE, Network())
    for _ in range(4):
        np.testing.assert_array_equal(segmenter.mask(frame), alone(RECIPE, frame))
        frame = frame.copy()
        row, column, channel = (random.integers(side) for side in frame.shape)
        frame[row, column, channel] ^= 128


def test_only_tiles_that_hold_a_change_are_computed():
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    recipe = replace(RECIPE, tiling=Tiling((1, 16, 16), 0.0, "constant", 4))
    network = Network()
    segmenter = FrameSegmenter(recipe, network)

    counts = []
    for row, column in ((0, 0), (0, 0), (20, 40), (63, 63)):
        frame = frame.copy()
        frame[row, column] ^= 1
        segmenter.mask(frame)
        counts.append(network.tiles)
    segmenter.mask(frame.copy())

    assert counts == [16, 17, 18, 19]
    assert network.tiles == 19


def test_tiles_of_older_frames_are_let_go():
    network = Network()
    kept = TileCache(network)
    tiles = [np.full((1, 3, 4, 4), value, np.float32) for value in range(2)]

    for tile in (0, 1, 0, 0, 1):
        kept(tiles[tile])
        kept.next_frame()

    assert network.tiles == 4  # the third and the last are of two frames before
    assert (kept.computed, kept.asked) == (4, 5)


def test_a_runtime_may_use_the_memory_of_its_outputs_again():
    memory = np.zeros((1, 2, 4, 4), np.float32)

    def network(batch):
        memory[:] = batch[:, :2]
        return memory

    kept = TileCache(network)
    tiles = np.stack([np.full((3, 4, 4), value, np.float32) for value in (1, 2)])

    for _ in range(2):
        np.testing.assert_array_equal(kept(tiles), tiles[:, :2])
        kept.next_frame()


def test_what_a_tile_gives_does_not_depend_on_its_batch():
    sizes = []

    def network(batch):
        sizes.append(len(batch))
        return batch[:, :2]

    segmenter = FrameSegmenter(RECIPE, network)
    segmenter.mask(drive_past(1)[0])

    assert set(sizes) == {1}


def test_a_network_to_which_batches_matter_sees_those_that_it_sees_without_the_cache(monkeypatch):
    """As those with channel attention in ONNX Runtime."""
    monkeypatch.setattr(cache, "same_in_one_batch", same_in_one_batch)

    class Dependent(Network):
        def __call__(self, batch):
            return super().__call__(batch) * np.float32(1 if len(batch) == 1 else 1 + 2**-20)

    tiles = TileCache(Dependent())
    random, frames = np.random.default_rng(0), []
    for _ in range(3):
        frames.append(random.normal(size=(3, 3, 8, 8)).astype(np.float32))
    frames.append(np.concatenate([frames[-1][:2], frames[0][2:]]))

    for frame in (*frames, frames[-1]):
        tiles.next_frame()
        np.testing.assert_array_equal(tiles(frame), Dependent()(frame))
    assert (tiles.computed, tiles.asked) == (12, 15)


def test_a_network_that_exits_early_sees_the_batches_that_it_sees_without_the_cache():
    """Whatever a trial would say."""
    sizes = []

    def network(batch):
        sizes.append(len(batch))
        return batch[:, :2]

    tiles = TileCache(network, exits_early=True)
    for count in (3, 1):
        tiles(np.zeros((count, 3, 8, 8), np.float32))

    assert sizes == [3, 1]


def test_a_tolerance_keeps_what_changed_little_as_it_was_and_never_drifts_away():
    frame = np.full((16, 16, 3), 100, np.uint8)
    seen = []
    recipe = replace(RECIPE, preprocessing=replace(SHARES, mean=(0,) * 3, std=(1 / 255,) * 3))

    def network(batch):
        seen.append(np.rint(batch[0, :, 0, 0]).astype(int).tolist())
        return batch[:, :2] * 0

    segmenter = FrameSegmenter(recipe, network, tolerance=3)
    for change in ((0, 0, 0), (3, -3, 0), (2, 0, 0), (4, 0, 0), (1, 0, 0), (0, 0, 0)):
        frame = frame.copy()
        frame[:8] = np.array((100, 100, 100)) + change
        segmenter.mask(frame)

    assert seen == [[100, 100, 100], [104, 100, 100], [100, 100, 100]]


def test_smoothing_is_an_exponential_mean_of_probabilities():
    levels = iter([1.0, 0.0, 0.0])
    point = OperatingPoint((0.3, 0.9))

    def network(batch):
        return np.stack([np.full(batch.shape[2:], next(levels)), np.zeros(batch.shape[2:])])[np.newaxis]

    recipe = replace(RECIPE, point=point)
    segmenter = FrameSegmenter(recipe, network, smoothing=0.5)
    frames = [np.full((16, 16, 3), value, np.uint8) for value in (0, 1, 1, 2)]

    found = [int(segmenter.mask(frame)[0, 0]) for frame in frames]

    assert found == [1, 1, 0, 0]  # means 1, 1/2, 1/4 though the frame is the same, 1/8


def test_smoothed_masks_are_the_same_with_and_without_the_cache():
    frames = drive_past(6)
    frames[3] = frames[2]
    segmenter = FrameSegmenter(RECIPE, Network(), smoothing=0.6)
    mean = None
    for frame in frames:
        probabilities = RECIPE.probabilities(frame[np.newaxis], Network()).astype(np.float32)
        mean = probabilities if mean is None else mean + np.float32(0.4) * (probabilities - mean)
        expected = RECIPE.decide(np.rint(mean).astype(np.uint8), frame[np.newaxis])[0]
        np.testing.assert_array_equal(segmenter.mask(frame), expected)


def test_frames_are_grey_to_a_model_of_grey_pictures():
    grey = Preprocessing(1, 1.0, ((0, 255),), 0, False, "dataset", (0.5,), (0.25,))
    recipe = replace(RECIPE, preprocessing=grey)

    def network(batch):
        return np.concatenate([batch, -batch], axis=1)

    frames = np.repeat(drive_past(3)[..., :1], 3, axis=-1)
    segmenter = FrameSegmenter(recipe, network)
    for frame in frames:
        np.testing.assert_array_equal(segmenter.mask(frame), recipe.mask(frame[np.newaxis, ..., :1], network)[0])


def test_a_model_of_other_channels_is_refused():
    preprocessing = Preprocessing(4, 1.0, ((0, 255),) * 4, 0, False, "dataset", (0,) * 4, (1,) * 4)

    with pytest.raises(MaskmillError, match="3 channels where the model was trained on 4"):
        FrameSegmenter(replace(RECIPE, preprocessing=preprocessing), Network()).mask(drive_past(1)[0])
