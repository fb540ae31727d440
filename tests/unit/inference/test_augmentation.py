"""Averages over turned tiles and over members."""

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.inference.augmentation import AugmentedRuntime, EnsembleRuntime, turns

BATCH = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
SOLID = np.random.default_rng(1).random((2, 1, 4, 8, 6), np.float32)


def around(batch):
    """A network that sees the same in all directions: the largest of a pixel and its four neighbours."""
    padded = np.pad(batch[:, :1], [(0, 0), (0, 0), (1, 1), (1, 1)])
    down, along = padded[..., 1:-1], padded[..., 1:-1, :]
    shifts = [down[..., 1:-1, :], down[..., 2:, :], down[..., :-2, :], along[..., 2:], along[..., :-2]]
    return np.maximum.reduce(shifts)


def upper_left(batch):
    """A network that looks to one side."""
    return np.roll(batch[:, :1], (1, 1), (-2, -1))


@pytest.mark.parametrize(
    ("tta", "dimensions", "count"), [("none", 2, 1), ("flips", 2, 4), ("rotations", 2, 8), ("flips", 3, 8)]
)
def test_turns_are_all_different_and_undone(tta, dimensions, count):
    batch = BATCH if dimensions == 2 else SOLID
    seen = [turn.apply(batch) for turn in turns(tta, dimensions)]

    assert len({turned.tobytes() for turned in seen}) == count
    for turn, turned in zip(turns(tta, dimensions), seen, strict=True):
        assert np.array_equal(turn.undo(turned), batch)


@pytest.mark.parametrize("tta", ["none", "flips", "rotations"])
def test_a_network_that_sees_alike_in_all_directions_gives_what_it_gave(tta):
    assert np.allclose(AugmentedRuntime(around, tta, 2)(BATCH), around(BATCH), atol=1e-7)


def test_the_mean_of_a_one_sided_network_is_over_all_its_turns():
    corners = [np.roll(BATCH[:, :1], shift, (-2, -1)) for shift in ((1, 1), (1, -1), (-1, 1), (-1, -1))]

    assert np.allclose(AugmentedRuntime(upper_left, "flips", 2)(BATCH), sum(corners) / 4)
    one_sided = AugmentedRuntime(lambda batch: np.roll(batch[:, :1], 1, -1), "rotations", 2)
    sides = [np.roll(BATCH[:, :1], *shift) for shift in ((1, -1), (-1, -1), (1, -2), (-1, -2))]
    assert np.allclose(one_sided(BATCH), sum(sides) / 4)


def test_tiles_that_are_not_square_are_turned():
    wide = BATCH[..., :4]
    seen = []

    def record(batch):
        seen.append(batch.shape)
        return around(batch)

    assert np.allclose(AugmentedRuntime(record, "rotations", 2)(wide), around(wide), atol=1e-7)
    assert set(seen) == {(2, 3, 8, 4), (2, 3, 4, 8)}


def test_volumes_are_not_rotated():
    with pytest.raises(MaskmillError, match="write flips"):
        AugmentedRuntime(around, "rotations", 3)


def test_an_ensemble_is_the_mean_of_its_members():
    members = [lambda batch, factor=factor: batch[:, :1] * np.float32(factor) for factor in (0.25, 0.5, 0.75)]

    assert np.allclose(EnsembleRuntime(members)(BATCH), BATCH[:, :1] / 2)
    assert np.array_equal(EnsembleRuntime(members[:1])(BATCH), members[0](BATCH))
    with pytest.raises(MaskmillError, match="no member"):
        EnsembleRuntime([])
