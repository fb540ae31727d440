"""Patches for training and validation."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmill.data.augment import Augmentation
from maskmill.data.cache import read_cache
from maskmill.data.dataset import TrainingPatches, ValidationPatches, build_loader
from maskmill.data.sampling import EpochSampler
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import predict_probabilities
from maskmill.inference.tiling import Tiling
from tests.unit.sample_data import InMemory, WithLabels
from tests.unit.training_data import write_data

AUGMENTED = {"flip": 0.5, "rotate90": 0.5, "affine": 0.5, "noise": 0.5, "gamma": 0.5}
SIZES = {2: (1, 16, 16), 3: (8, 16, 16)}


def preprocessing(channels=3, mean=None, std=None, **changes):
    values = {
        "channels": channels, "scale": 1.0, "intensity_ranges": ((0, 255),) * channels, "intensity_floor": 0.0,
        "crop_border": False, "normalization": "dataset", "mean": mean or (0.0,) * channels,
        "std": std or (1.0,) * channels,
    }  # fmt: skip
    return Preprocessing(**values | changes)


PLAIN = preprocessing()


def training(samples, how=PLAIN, dimensions=2, size=None, per_epoch="auto", foreground=0.0, shares=(0.5, 0.5), **more):
    augmentation = Augmentation(**{name: more[name] for name in more if name != "seed"})
    size = size or SIZES[dimensions]
    return TrainingPatches(
        samples, how, size, dimensions, per_epoch, foreground, shares, augmentation, more.get("seed", 0)
    )


def places(image):
    """The stored values of a patch: integers of the shape of the normalised patch."""
    return (image * 255).round().int()


def test_patches_are_normalised_tensors():
    mean, std = (0.0, 0.1, 0.2), (1.0, 0.5, 0.25)
    image, labels = training([InMemory.of(40, 50)], preprocessing(mean=mean, std=std))[0]
    assert (image.shape, image.dtype) == ((3, 16, 16), torch.float32)
    assert (labels.shape, labels.dtype) == ((16, 16), torch.int64)
    shown = places(image * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None])
    top, left = int(shown[1, 0, 0]), int(shown[2, 0, 0])
    assert 0 <= top <= 24
    assert 0 <= left <= 34
    rows, columns = torch.meshgrid(torch.arange(16) + top, torch.arange(16) + left, indexing="ij")
    assert torch.equal(shown, torch.stack([torch.zeros_like(rows), rows, columns]))


def test_volumes_give_blocks_to_networks_of_three_dimensions():
    image, labels = training([InMemory.of(40, 50, depth=20)], dimensions=3)[0]
    assert image.shape == (3, 8, 16, 16)
    assert labels.shape == (8, 16, 16)
    shown = places(image)
    for axis in range(3):
        expected = torch.arange(shown.shape[axis + 1]) + shown[axis, 0, 0, 0]
        assert torch.equal(shown[axis].movedim(axis, -1), expected.expand(shown[axis].movedim(axis, -1).shape))


def test_volumes_give_slices_to_networks_of_two_dimensions():
    patches = training([InMemory.of(16, 16, depth=20)], per_epoch=200)
    images = [patches[draw][0] for draw in range(200)]
    assert images[0].shape == (3, 16, 16)
    assert {int(places(image)[0].unique()) for image in images} == set(range(20))
    assert len(training([InMemory.of(16, 16, depth=20)])) == 20


def test_each_pictures_own_moments_and_range_are_those_of_the_whole_picture():
    own = preprocessing(intensity_ranges=None, normalization="image")
    sample = InMemory.of(40, 50)
    object.__setattr__(sample, "low", (0, 0, 0))
    object.__setattr__(sample, "high", (1, 39, 49))
    image, _ = training([sample], own)[0]
    rows = np.repeat(np.arange(40), 50) / 39
    tops = (image[1, 0].numpy() * rows.std() + rows.mean()) * 39
    np.testing.assert_allclose(tops, round(float(tops[0])), atol=1e-3)


def test_positions_fill_the_picture_to_its_edges():
    patches = training([InMemory.of(20, 18)], per_epoch=200)
    corners = {tuple(places(patches[draw][0])[1:, 0, 0].tolist()) for draw in range(200)}
    assert corners == {(top, left) for top in range(5) for left in range(3)}
    blocks = training([InMemory.of(17, 16, depth=10)], dimensions=3, per_epoch=100)
    corners = {tuple(places(blocks[draw][0])[:, 0, 0, 0].tolist()) for draw in range(100)}
    assert corners == {(page, top, 0) for page in range(3) for top in range(2)}


@pytest.mark.parametrize("depth", [1, 5])
def test_small_pictures_are_mirrored_and_ignored_beyond_their_ends(depth):
    image, labels = training([InMemory.of(10, 12, depth=depth)], dimensions=3)[0]
    inside = torch.zeros(8, 16, 16, dtype=torch.bool)
    inside[:depth, :10, :12] = True
    assert torch.equal(labels != 255, inside)
    pages, rows = ([*range(n), *reversed(range(n))][:side] for n, side in ((depth, 8), (10, 16)))
    pages = pages if depth > 1 else [0] * 8
    assert places(image)[0, :, 0, 0].tolist() == pages
    assert places(image)[1, 0, :, 0].tolist() == rows


@pytest.mark.parametrize("normalization", ["dataset", "image"])
def test_a_patch_larger_than_its_picture_is_the_tile_that_prediction_cuts(normalization):
    how = preprocessing(normalization=normalization)
    sample, seen = InMemory.of(10, 12, depth=5), []

    def runtime(batch):
        seen.append(batch[0])
        return batch[:, :1]

    tiling = Tiling((8, 16, 16), 0.2, "gaussian", 1)
    predict_probabilities(sample.image(), how, tiling, (8, 16, 16), 3, runtime)
    (tile,) = seen
    for patches in (training([sample], how, 3), ValidationPatches([sample], how, (8, 16, 16), 3)):
        assert np.array_equal(patches[0][0], tile)


def test_foreground_patches_are_centred_on_the_classes():
    labels = np.zeros((1, 200, 200), np.uint8)
    labels[0, 5:100, 5:100], labels[0, 150, 150], labels[0, 0, 0] = 1, 7, 255
    shares = [0.5, 0, 0, 0, 0, 0, 0.5]
    patches = training([WithLabels.of(labels)], preprocessing(1), per_epoch=300, foreground=1.0, shares=shares)
    centres = Counter(int(patches[draw][1][8, 8]) for draw in range(300))
    assert 110 < centres[7] < 190
    assert centres[0] + centres[255] < 40  # where the patch would leave the picture


@pytest.mark.parametrize(("dimensions", "centre"), [(2, (8, 8)), (3, (4, 8, 8))])
def test_centres_lie_in_their_slices(dimensions, centre):
    labels = np.zeros((30, 60, 60), np.uint8)
    labels[11, 30, 20], labels[17, 40, 40] = 1, 1
    patches = training([WithLabels.of(labels)], preprocessing(1), dimensions, per_epoch=40, foreground=1.0, shares=[1])
    assert all(patches[draw][1][centre] == 1 for draw in range(40))


def test_foreground_share_is_kept():
    labels = np.zeros((1, 512, 512), np.uint8)
    labels[0, 256, 256] = 1
    patches = training([WithLabels.of(labels)], preprocessing(1), per_epoch=400, foreground=0.25, shares=[1])
    shown = sum(int((patches[draw][1] == 1).any()) for draw in range(400))
    assert 70 < shown < 135


def test_pictures_without_foreground_give_random_patches():
    labels = np.zeros((1, 32, 32), np.uint8)
    assert (training([WithLabels.of(labels)], preprocessing(1), foreground=1.0)[0][1] == 0).all()


def test_patches_stay_in_the_content_box():
    labels = np.full((3, 60, 60), 1, np.uint8)
    for foreground in (0.0, 1.0):
        for dimensions, size in ((2, (1, 16, 16)), (3, (2, 16, 16))):
            patches = training(
                [WithLabels.of(labels, frame=20)], preprocessing(1, crop_border=True), dimensions, size,
                foreground=foreground, per_epoch=30,
            )  # fmt: skip
            assert all((patches[draw][0] == 1).all() for draw in range(30))


@pytest.mark.parametrize(("spacing", "turned"), [((1, 1, 1), True), ((5, 1, 1), False), (None, False)])
def test_volumes_are_turned_out_of_their_planes_where_voxels_are_cubes(spacing, turned):
    sample = InMemory.of(8, 8, depth=8, spacing=spacing)
    patches = training([sample], dimensions=3, size=(8, 8, 8), per_epoch=30, flip=0.5, rotate90=0.5)
    pages = [places(patches[draw][0])[0, :, 0, 0].tolist() for draw in range(30)]
    assert any(page != list(range(8)) for page in pages) == turned


def test_a_draw_depends_on_seed_epoch_and_index_alone():
    samples = [InMemory.of(64, 64), InMemory.of(50, 80, name="b")]
    options = {"per_epoch": 6, "foreground": 0.5, **AUGMENTED}
    patches, again = training(samples, **options), training(samples, **options)
    forward = [patches[draw] for draw in range(12)]
    backward = [again[draw] for draw in reversed(range(12))][::-1]
    for (image, labels), (same_image, same_labels) in zip(forward, backward, strict=True):
        assert torch.equal(image, same_image)
        assert torch.equal(labels, same_labels)
    assert len({image.numpy().tobytes() for image, _ in forward}) == 12
    assert not torch.equal(forward[0][0], training(samples, seed=1, **options)[0][0])


def batches(patches, workers, epochs=(0, 1), start=0, rank=0, world=1, batch_size=4):
    """Bytes of all batches of some epochs, the first begun at `start`."""
    sampler = EpochSampler(len(patches), batch_size, rank, world)
    loader = build_loader(patches, sampler, batch_size, workers)
    found = []
    for sampler.epoch in epochs:
        sampler.start = start if sampler.epoch == epochs[0] else 0
        found += [(images.numpy().tobytes(), labels.numpy().tobytes()) for images, labels in loader]
    return found


@pytest.fixture(params=["pictures", "slices", "volumes"])
def cached_patches(request, tmp_path):
    """Augmented training patches of what was cached in files."""
    volumes = request.param != "pictures"
    write_data(tmp_path, ["train"] * 3, size=40, channels=3, volumes=volumes)
    samples = list(read_cache([tmp_path / "cache/00", tmp_path / "cache/01"]).values())
    how = preprocessing(samples[0].channels, intensity_ranges=None, normalization="image")
    dimensions = 3 if request.param == "volumes" else 2
    return training(samples, how, dimensions, per_epoch=10, foreground=0.5, shares=[1], **AUGMENTED)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes")
def test_the_number_of_workers_changes_nothing(cached_patches):
    alone = batches(cached_patches, workers=0)
    assert len(set(alone)) == 6
    assert batches(cached_patches, workers=1) == alone
    assert batches(cached_patches, workers=8) == alone


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_start_in_the_middle_of_an_epoch_goes_on_with_the_same_batches(cached_patches, workers):
    assert batches(cached_patches, workers, start=8) == batches(cached_patches, 0)[2:]


def test_processes_together_see_the_batches_of_one(cached_patches):
    alone = batches(cached_patches, workers=0, batch_size=4)
    shared = [batches(cached_patches, workers=0, batch_size=2, rank=rank, world=2) for rank in (0, 1)]
    assert [tuple(a + b for a, b in zip(*parts, strict=True)) for parts in zip(*shared, strict=True)] == alone


def test_loading_leaves_the_random_numbers_of_torch_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    patches = training([InMemory.of(64, 64)], noise=1)
    list(build_loader(patches, EpochSampler(len(patches)), batch_size=4, workers=0))
    assert torch.equal(torch.rand(1), expected)


@settings(max_examples=60)
@given(
    depth=st.integers(1, 12),
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    side=st.sampled_from([16, 32]),
    dimensions=st.sampled_from([2, 3]),
)
def test_validation_counts_every_pixel_once(depth, height, width, side, dimensions):
    size = (1, side, side) if dimensions == 2 else (5, side, 16)
    patches = ValidationPatches([InMemory.of(height, width, depth)], PLAIN, size, dimensions)
    seen = Counter()
    for number in range(len(patches)):
        image, labels = patches[number]
        assert labels.shape == (size if dimensions == 3 else size[1:])
        seen.update(map(tuple, places(image)[:, labels != 255].T.tolist()))
    assert set(seen.values()) == {1}
    assert len(seen) == depth * height * width


def test_validation_leaves_out_the_border():
    patches = ValidationPatches(
        [WithLabels.of(np.ones((2, 60, 60), np.uint8), frame=20)], preprocessing(1, crop_border=True), (1, 16, 16), 2
    )
    assert sum(int((labels == 1).sum()) for _, labels in patches) == 2 * 20 * 20


def test_crops_read_only_their_windows(tmp_path, monkeypatch):
    write_data(tmp_path, ["train"] * 2, size=64)
    samples = list(read_cache([tmp_path / "cache/00", tmp_path / "cache/01"]).values())
    read = []

    class Watched(np.memmap):
        def __getitem__(self, index):
            found = super().__getitem__(index)
            read.append(found.size)
            return found

    load = np.load
    monkeypatch.setattr(np, "load", lambda path, mmap_mode: load(path, mmap_mode=mmap_mode).view(Watched))
    patches = training(samples, foreground=0.5, shares=[1], per_epoch=20)
    for draw in range(20):
        patches[draw]
    assert len(read) > 40
    assert max(read) <= max(16 * 16 * 3, samples[0].places().shape[1])
