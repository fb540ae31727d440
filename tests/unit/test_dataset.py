"""Patches for training and validation."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.augment import Augmentation
from maskmill.cache import CachedSample
from maskmill.dataset import EpochSampler, TrainingPatches, ValidationPatches, build_loader
from maskmill.preprocess import Preprocessing

PREPROCESSING = Preprocessing(1, 1.0, (0, 255), 0.0, False, "dataset", (0.0,), (1.0,))


class InMemory(CachedSample):
    """A sample whose arrays were never written: pixel values are (row, column, 0) so that a patch shows its place."""

    def image(self):
        rows, columns = np.mgrid[: self.height, : self.width]
        return np.stack([rows, columns, 0 * rows], axis=2).astype(np.uint8)[:, :, : self.channels]

    def labels(self):
        labels = np.zeros((self.height, self.width), np.uint8)
        labels[self.height // 2, self.width // 2] = 2
        return labels


def sample(height, width, channels=1, name="a"):
    return InMemory(name, None, height, width, channels, "uint8", 0, 255, "", "")


class WithLabels(InMemory):
    """A black sample of a given label image."""

    def __init__(self, labels, frame=0):
        super().__init__("labels", None, *labels.shape, 1, "uint8", 0, 255, "", "")
        object.__setattr__(self, "_labels", labels)
        object.__setattr__(self, "_frame", frame)

    def image(self):
        image = np.zeros((*self._labels.shape, 1), np.uint8)
        image[self._frame : self.height - self._frame, self._frame : self.width - self._frame] = 255
        return image

    def labels(self):
        return self._labels


def training(samples, preprocessing=PREPROCESSING, size=16, per_epoch="auto", foreground=0.0, seed=0, **augment):
    return TrainingPatches(samples, preprocessing, size, per_epoch, foreground, Augmentation(**augment), seed)


def test_patches_are_normalised_tensors():
    preprocessing = Preprocessing(3, 1.0, (0, 255), 0.0, False, "dataset", (0.1, 0.2, 0.0), (0.5, 0.25, 1.0))
    image, labels = training([sample(40, 50, channels=3)], preprocessing)[0]
    assert image.shape == (3, 16, 16)
    assert image.dtype == torch.float32
    assert labels.shape == (16, 16)
    assert labels.dtype == torch.int64
    top = image[0, 0, 0] * 0.5 + 0.1
    left = image[1, 0, 0] * 0.25 + 0.2
    assert round(float(top * 255)) in range(25)
    assert round(float(left * 255)) in range(35)
    rows = (image[0] * 0.5 + 0.1) * 255
    np.testing.assert_allclose(rows[:, 3] - rows[0, 3], np.arange(16), atol=1e-3)


def test_each_pictures_own_moments_are_those_of_the_whole_picture():
    preprocessing = Preprocessing(1, 1.0, (0, 255), 0.0, False, "image", (0.0,), (1.0,))
    rows = np.repeat(np.arange(40), 50) / 255
    image, _ = training([sample(40, 50)], preprocessing)[0]
    top = float(image[0, 0, 0]) * rows.std() + rows.mean()
    assert abs(top * 255 - round(top * 255)) < 1e-3
    assert 0 <= round(top * 255) <= 24


def test_an_epoch_draws_pictures_in_proportion_to_their_tiles():
    patches = training([sample(16, 16), sample(32, 33), sample(48, 16)])
    assert len(patches) == 1 + 6 + 3
    drawn = [Counter(patches._drawn_picture(epoch, index) for index in range(10)) for epoch in range(3)]
    assert drawn == [{0: 1, 1: 6, 2: 3}] * 3
    orders = {tuple(patches._drawn_picture(epoch, index) for index in range(10)) for epoch in range(3)}
    assert len(orders) == 3


def test_more_patches_than_tiles_deal_the_pictures_again():
    patches = training([sample(16, 16), sample(16, 32)], per_epoch=9)
    assert Counter(patches._drawn_picture(0, index) for index in range(9)) == {0: 3, 1: 6}


def test_positions_fill_the_picture_to_its_edges():
    patches = training([sample(20, 18)], per_epoch=200)
    corners = {tuple((patches[draw][0][0, 0, :1] * 255).round().int().tolist()) for draw in range(200)}
    assert corners == {(0,), (1,), (2,), (3,), (4,)}


def test_small_pictures_are_padded_with_ignored_pixels():
    image, labels = training([sample(10, 12)])[0]
    assert (labels[:10, :12] != 255).all()
    assert (labels[10:] == 255).all()
    assert (labels[:, 12:] == 255).all()
    assert (image[0, 10:] == 0).all()


def test_foreground_patches_show_every_class_alike():
    labels = np.zeros((200, 200), np.uint8)
    labels[5:100, 5:100], labels[150, 150], labels[0, 0] = 1, 7, 255
    patches = training([WithLabels(labels)], size=16, per_epoch=300, foreground=1.0)
    centres = Counter()
    for draw in range(300):
        patch = patches[draw][1]
        centres[7 if (patch == 7).any() else int((patch == 1).any())] += 1
    assert centres[0] == 0
    assert 110 < centres[7] < 190


def test_foreground_share_is_kept():
    labels = np.zeros((512, 512), np.uint8)
    labels[256, 256] = 1
    patches = training([WithLabels(labels)], size=16, per_epoch=400, foreground=0.25)
    shown = sum(int((patches[draw][1] == 1).any()) for draw in range(400))
    assert 70 < shown < 135


def test_pictures_without_foreground_give_random_patches():
    assert (training([WithLabels(np.zeros((32, 32), np.uint8))], foreground=1.0)[0][1] == 0).all()


def test_patches_stay_in_the_content_box():
    labels = np.full((60, 60), 1, np.uint8)
    preprocessing = Preprocessing(1, 1.0, (0, 255), 0.0, True, "dataset", (0.0,), (1.0,))
    for foreground in (0.0, 1.0):
        patches = training([WithLabels(labels, frame=20)], preprocessing, foreground=foreground, per_epoch=40)
        for draw in range(40):
            image, _ = patches[draw]
            assert (image == 1).all()


def test_a_draw_depends_on_seed_epoch_and_index_alone():
    samples = [sample(64, 64), sample(50, 80, name="b")]
    settings_ = {"per_epoch": 6, "foreground": 0.5, "flip": 0.5, "affine": 0.5, "noise": 0.5}
    patches, again = training(samples, **settings_), training(samples, **settings_)
    forward = [patches[draw] for draw in range(12)]
    backward = [again[draw] for draw in reversed(range(12))][::-1]
    for (image, labels), (same_image, same_labels) in zip(forward, backward, strict=True):
        assert torch.equal(image, same_image)
        assert torch.equal(labels, same_labels)
    assert len({image.numpy().tobytes() for image, _ in forward}) == 12
    assert not torch.equal(forward[0][0], training(samples, seed=1, **settings_)[0][0])


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_the_number_of_workers_changes_nothing():
    samples = [sample(64, 64), sample(50, 80, name="b")]
    batches = []
    for workers in (0, 1, 2):
        patches = training(samples, per_epoch=10, foreground=0.5, flip=0.5, affine=0.5, noise=0.5, gamma=0.5)
        sampler = EpochSampler(len(patches))
        loader = build_loader(patches, sampler, batch_size=4, workers=workers)
        epochs = []
        for sampler.epoch in (0, 1):
            epochs += [image for image, _ in loader]
        batches.append(torch.cat(epochs))
    assert batches[0].shape == (20, 1, 16, 16)
    assert torch.equal(batches[0], batches[1])
    assert torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0][:10], batches[0][10:])


def test_loading_leaves_the_random_numbers_of_torch_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    patches = training([sample(64, 64)], noise=1)
    list(build_loader(patches, EpochSampler(len(patches)), batch_size=4, workers=0))
    assert torch.equal(torch.rand(1), expected)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), size=st.sampled_from([16, 32]))
def test_validation_counts_every_pixel_once(height, width, size):
    patches = ValidationPatches([sample(height, width, channels=3)], PREPROCESSING_RGB, size)
    seen = Counter()
    for number in range(len(patches)):
        image, labels = patches[number]
        places = (image[:2] * 255).round().int()
        for row, column in zip(places[0][labels != 255].tolist(), places[1][labels != 255].tolist(), strict=True):
            seen[row, column] += 1
    assert set(seen.values()) == {1}
    assert len(seen) == height * width


PREPROCESSING_RGB = Preprocessing(3, 1.0, (0, 255), 0.0, False, "dataset", (0.0,) * 3, (1.0,) * 3)
