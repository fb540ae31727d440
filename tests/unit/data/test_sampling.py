"""In which order training patches are drawn, and from where."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.data.sampling import ClassCentres, Deck, EpochSampler
from tests.unit.sample_data import InMemory, WithLabels


@settings(max_examples=60)
@given(
    per_epoch=st.integers(1, 40),
    batch=st.integers(1, 5),
    world=st.integers(1, 4),
    epoch=st.integers(0, 3),
    done=st.integers(0, 3),
)
def test_the_processes_together_draw_what_one_does(per_epoch, batch, world, epoch, done):
    drawn = []
    for rank in range(world):
        sampler = EpochSampler(per_epoch, batch, rank, world)
        sampler.epoch, sampler.start = epoch, min(done * batch * world, per_epoch)
        draws = list(sampler)
        drawn.append([draws[first : first + batch] for first in range(0, len(draws), batch)])
        sampler.start = 0
        assert len(list(sampler)) == len(sampler)
    single = EpochSampler(per_epoch - per_epoch % world, batch * world)
    first = min(done * batch * world, per_epoch)
    alone = [draw + epoch * per_epoch for draw in single][first:]
    global_batches = [alone[start : start + batch * world] for start in range(0, len(alone), batch * world)]
    together = [[draw for part in parts for draw in part] for parts in zip(*drawn, strict=True)]
    assert together == global_batches


def test_an_epoch_may_begin_in_its_middle():
    sampler = EpochSampler(10)
    sampler.epoch, sampler.start = 2, 7
    assert list(sampler) == [27, 28, 29]
    assert len(sampler) == 10


def test_pictures_are_dealt_in_proportion_to_their_tiles():
    samples = [InMemory.of(16, 16), InMemory.of(32, 33), InMemory.of(48, 16), InMemory.of(16, 16, depth=5)]
    deck = Deck(samples, (1, 16, 16), seed=0)
    assert len(deck) == 1 + 6 + 3 + 5
    dealt = [[deck.picture(epoch, index) for index in range(15)] for epoch in range(3)]
    assert [Counter(one) for one in dealt] == [{0: 1, 1: 6, 2: 3, 3: 5}] * 3
    assert len(set(map(tuple, dealt))) == 3


def test_a_deck_that_runs_out_is_dealt_again():
    deck = Deck([InMemory.of(16, 16), InMemory.of(16, 32)], (1, 16, 16), seed=0)
    assert Counter(deck.picture(0, index) for index in range(9)) == {0: 3, 1: 6}


def two_classes():
    """A picture with both classes, two with the first alone."""
    both, first = np.zeros((2, 1, 40, 40), np.uint8)
    first[0, :30] = 1
    both[0, :30], both[0, 35, 35] = 1, 2
    return [WithLabels.of(labels) for labels in (first, both, first)]


def test_classes_are_drawn_by_their_shares_and_their_pictures_alike():
    samples = two_classes()
    centres = ClassCentres(samples, 2, [0.25, 0.75])
    random = np.random.default_rng(0)
    drawn = [centres.draw(random) for _ in range(2000)]
    seen = Counter((number, int(samples[number].labels()[pixel])) for number, pixel in drawn)
    assert seen[1, 2] == pytest.approx(1500, abs=80)
    for number in range(3):
        assert seen[number, 1] == pytest.approx(500 / 3, abs=50)
    assert set(seen) == {(0, 1), (1, 1), (2, 1), (1, 2)}


def test_shares_of_classes_that_no_picture_shows_go_to_the_others():
    centres = ClassCentres(two_classes(), 2, [0.1, 0.1, 0.8])
    random = np.random.default_rng(0)
    assert Counter(centres.draw(random)[1] == (0, 35, 35) for _ in range(400))[True] == pytest.approx(200, abs=40)


@pytest.mark.parametrize("shares", [[0.0, 0.0], [], [0, 0, 1]])
def test_without_a_class_to_draw_there_is_no_centre(shares):
    assert ClassCentres(two_classes(), 2, shares).draw(np.random.default_rng(0)) is None


def test_slices_are_alike_likely_in_two_dimensions_and_voxels_in_three():
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[1, 3, 4], labels[4] = 1, 1
    sample = WithLabels.of(labels)
    random = np.random.default_rng(0)
    slices = Counter(ClassCentres([sample], 2, [1]).draw(random)[1][0] for _ in range(400))
    assert slices[1] == pytest.approx(200, abs=40)
    voxels = Counter(ClassCentres([sample], 3, [1]).draw(random)[1][0] for _ in range(400))
    assert voxels[4] > 390


def test_volumes_are_alike_likely_in_three_dimensions():
    small, large = np.zeros((2, 4, 20, 20), np.uint8)
    small[1, 3, 4], large[1:] = 1, 1
    centres = ClassCentres([WithLabels.of(small), WithLabels.of(large)], 3, [1])
    random = np.random.default_rng(0)
    assert Counter(centres.draw(random)[0] for _ in range(400))[0] == pytest.approx(200, abs=40)
