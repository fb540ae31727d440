"""The batches of a training."""

from types import SimpleNamespace

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.training.feed import Feed
from maskmill.training.job import read_job
from tests.unit.training_data import options

PATCHES = 20  # the four tiles of five pictures


def make_feed(data, rank=0, world=1, **train):
    job = read_job(**data, options=options(**train), experiment="", fold=0, seed=0, workers=0)
    place = SimpleNamespace(world_size=world, global_rank=rank, to_device=lambda batch: batch)
    return Feed(job, place)


def test_batches_follow_each_other_and_end_steps(data):
    feed = make_feed(data, batch_size=6)
    batches = list(feed.batches(0, 0))
    assert (feed.patches, feed.steps) == (PATCHES, 4)
    assert [batch.patches for batch in batches] == [6, 6, 6, 2]
    assert [batch.step for batch in batches] == [0, 1, 2, 3]
    assert all(batch.ends_step and batch.share == 1 for batch in batches)


def test_accumulated_batches_share_a_step_by_their_patches(data):
    feed = make_feed(data, batch_size=3, accumulate=3)
    batches = list(feed.batches(0, 0))
    assert feed.steps == 3
    assert [batch.step for batch in batches] == [0, 0, 0, 1, 1, 1, 2]
    assert [batch.ends_step for batch in batches] == [False, False, True, False, False, True, True]
    assert [batch.share for batch in batches] == pytest.approx([1 / 3] * 6 + [1])


@pytest.mark.parametrize("start", [3, 9])
def test_an_epoch_goes_on_in_the_middle(data, start):
    feed = make_feed(data, batch_size=3, accumulate=3)
    whole, rest = list(feed.batches(1, 0)), list(feed.batches(1, start))
    assert len(rest) == len(whole) - start // 3
    for ours, theirs in zip(rest, whole[start // 3 :], strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert (ours.step, ours.share, ours.ends_step) == (theirs.step, theirs.share, theirs.ends_step)
    assert list(feed.batches(1, PATCHES)) == []


@pytest.mark.parametrize("world", [2, 3])
def test_processes_together_see_what_one_sees(data, world):
    per_process = {2: 4, 3: 2}[world]
    alone = list(make_feed(data, batch_size=per_process * world).batches(0, 0))
    feeds = [make_feed(data, rank, world, batch_size=per_process) for rank in range(world)]
    assert {feed.patches for feed in feeds} == {PATCHES - PATCHES % world}
    shared = list(zip(*(feed.batches(0, 0) for feed in feeds), strict=True))
    assert len(shared) == len(alone) - (world == 3)  # of the 20 patches 2 are left out
    for whole, parts in zip(alone, shared, strict=False):
        images = torch.cat([part.images for part in parts])
        assert torch.equal(images, whole.images[: len(images)])
        assert {part.patches for part in parts} == {len(images)}
        assert {part.share for part in parts} == {1}


def test_every_validation_patch_is_taken_once_in_the_batches_of_one_process(data):
    alone = [images for images, _ in make_feed(data, batch_size=3).validation]
    feeds = [make_feed(data, rank, 2, batch_size=3) for rank in range(2)]
    shared = [[images for images, _ in feed.validation] for feed in feeds]
    assert [len(batches) for batches in shared] == [2, 1]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(shared[0], alone[::2], strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(shared[1], alone[1::2], strict=True))


def test_an_epoch_too_short_for_all_devices_is_refused(data):
    with pytest.raises(MaskmillError, match=r"2 patches for 3 devices; raise train.patches_per_epoch"):
        make_feed(data, world=3, patches_per_epoch=2)


@pytest.mark.parametrize(("batch_size", "world"), [(1, 1), (19, 1), (6, 3)])
def test_a_single_pixel_of_a_single_patch_is_refused_with_batch_norm(data, batch_size, world):
    with pytest.raises(MaskmillError, match=r"model.norm: batch cannot .* train.patch: 4 .*; use a larger train.patch"):
        make_feed(data, 0, world, batch_size=batch_size, patch=4, patches_per_epoch=PATCHES + (world > 1))


def test_two_patches_or_two_pixels_are_enough_for_batch_norm(data):
    make_feed(data, batch_size=6, patch=4, patches_per_epoch=PATCHES)
    make_feed(data, batch_size=1, patch=[1, 4, 8], patches_per_epoch=PATCHES)
