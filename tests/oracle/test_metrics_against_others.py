"""Metrics and intervals against independent implementations: MONAI, torchmetrics, SciPy."""

import warnings

import cv2
import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import binary_erosion, distance_transform_edt
from scipy.spatial.distance import directed_hausdorff

from maskmill.imaging.volumes import read_volume, stack_header
from maskmill.metrics.overlap import confusion
from maskmill.metrics.statistics import bootstrap_interval, paired_difference
from maskmill.metrics.surface import boundary, boundary_iou, surface_distances


def blobs(seed: int, height: int = 90, width: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a reference: discs, some at the frame, some of them moved, missed or invented."""
    generator = np.random.default_rng(seed)
    pair = np.zeros((2, height, width), np.uint8)
    for x, y, radius in generator.integers((0, 0, 2), (width, height, 18), size=(5, 3)).tolist():
        shift = generator.integers(-4, 5, size=3)
        if generator.random() > 0.15:
            cv2.circle(pair[1], (x, y), radius, 1, -1)
        if generator.random() > 0.15:
            cv2.circle(pair[0], (x + int(shift[0]), y + int(shift[1])), max(1, radius + int(shift[2])), 1, -1)
    return pair[0].astype(bool), pair[1].astype(bool)


@pytest.fixture(scope="module")
def monai_metrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("monai.metrics")


def one_hot(mask: np.ndarray):
    import torch

    return torch.from_numpy(mask.copy())[None, None].float()


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (2.0, 0.7)])
def test_hd95_equals_monai(monai_metrics, seed, spacing):
    prediction, reference = blobs(seed)
    expected = monai_metrics.compute_hausdorff_distance(
        one_hot(prediction), one_hot(reference), include_background=True, percentile=95, spacing=list(spacing)
    )
    assert surface_distances(prediction, reference, spacing=spacing).hd95() == pytest.approx(float(expected), rel=1e-5)


def balls(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A prediction and a reference of a volume: balls, some at the frame, some of them moved, missed or invented."""
    generator = np.random.default_rng(seed)
    axes = np.ogrid[:15, :40, :36]
    pair = np.zeros((2, 15, 40, 36), bool)
    for *centre, radius in generator.integers((0, 0, 0, 2), (15, 40, 36, 9), size=(4, 4)).tolist():
        shift = generator.integers(-2, 3, size=3)
        if generator.random() > 0.15:
            pair[1] |= sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)) <= radius**2
        if generator.random() > 0.15:
            pair[0] |= sum((axis - c - s) ** 2 for axis, c, s in zip(axes, centre, shift, strict=True)) <= radius**2
    return pair[0], pair[1]


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.7)])
def test_hd95_of_volumes_equals_monai(monai_metrics, seed, spacing):
    prediction, reference = balls(seed)
    ours = surface_distances(prediction, reference, spacing=spacing)
    arguments = {"include_background": True, "spacing": list(spacing)}
    tensors = one_hot(prediction), one_hot(reference)
    expected = monai_metrics.compute_hausdorff_distance(*tensors, percentile=95, **arguments)
    assert ours.hd95() == pytest.approx(float(expected), rel=1e-5)
    largest = monai_metrics.compute_hausdorff_distance(*tensors, **arguments)
    assert ours.hd() == pytest.approx(float(largest), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(8))
def test_mean_surface_distance_and_surface_dice_of_volumes_equal_monai(monai_metrics, seed):
    prediction, reference = balls(seed)
    spacing, tensors = (2.5, 0.8, 0.7), (one_hot(prediction), one_hot(reference))
    ours = surface_distances(prediction, reference, spacing=spacing)
    arguments = {"include_background": True, "spacing": list(spacing)}
    symmetric = monai_metrics.compute_average_surface_distance(*tensors, symmetric=True, **arguments)
    assert ours.assd() == pytest.approx(float(symmetric), rel=1e-5)
    dice = monai_metrics.compute_surface_dice(*tensors, class_thresholds=[2.0], **arguments)
    assert ours.nsd(2) == pytest.approx(float(dice), rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 0.7)])
def test_distances_of_pictures_equal_monai(monai_metrics, seed, spacing):
    prediction, reference = blobs(seed)
    ours, tensors = surface_distances(prediction, reference, spacing=spacing), (one_hot(prediction), one_hot(reference))
    arguments = {"include_background": True, "spacing": list(spacing)}
    largest = monai_metrics.compute_hausdorff_distance(*tensors, **arguments)
    assert ours.hd() == pytest.approx(float(largest), rel=1e-5)
    symmetric = monai_metrics.compute_average_surface_distance(*tensors, symmetric=True, **arguments)
    assert ours.assd() == pytest.approx(float(symmetric), rel=1e-5)
    dice = monai_metrics.compute_surface_dice(*tensors, class_thresholds=[1.5], **arguments)
    assert ours.nsd(1.5) == pytest.approx(float(dice), rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", ["pictures", "volumes"])
def test_boundary_iou_equals_that_of_masks_eroded_pixel_by_pixel(seed, make):
    prediction, reference = (blobs if make == "pictures" else balls)(seed)
    cube = np.ones((3,) * prediction.ndim)
    for width in (1, 3, 7):
        bands = [mask & ~binary_erosion(mask, cube, iterations=width) for mask in (prediction, reference)]
        expected = np.count_nonzero(bands[0] & bands[1]) / np.count_nonzero(bands[0] | bands[1])
        assert boundary_iou(prediction, reference, (width,) * prediction.ndim) == expected


@pytest.mark.real
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_hd95_of_real_volumes_equals_monai(monai_metrics, real_data):
    for path in sorted((real_data / "msd_hippocampus/labels").glob("*.nii.gz"))[:6]:
        header, reference = stack_header(path), read_volume(path).pixels[..., 0] == 1
        prediction = np.roll(reference, (1, -2, 3), axis=(0, 1, 2)) & ~np.roll(reference, 9, axis=1)
        expected = monai_metrics.compute_hausdorff_distance(
            one_hot(prediction), one_hot(reference), include_background=True, percentile=95,
            spacing=list(header.spacing),
        )  # fmt: skip
        ours = surface_distances(prediction, reference, spacing=header.spacing)
        assert ours.hd95() == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_dice_equals_monai(monai_metrics, seed):
    prediction, reference = blobs(seed)
    expected = monai_metrics.compute_dice(one_hot(prediction), one_hot(reference), include_background=True)
    assert confusion(prediction, reference).dice == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_overlap_equals_torchmetrics(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classification = pytest.importorskip("torchmetrics.functional.classification")
    prediction, reference = blobs(seed)
    ignored = blobs(seed + 100)[0]
    target = np.where(ignored, 255, reference.astype(np.int64))
    counts = confusion(prediction, reference, valid=~ignored)
    import torch

    arguments = (torch.from_numpy(prediction.astype(np.int64)), torch.from_numpy(target))
    for ours, name in (
        (counts.iou, "binary_jaccard_index"),
        (counts.dice, "binary_f1_score"),
        (counts.precision, "binary_precision"),
        (counts.recall, "binary_recall"),
        (counts.specificity, "binary_specificity"),
        (counts.accuracy, "binary_accuracy"),
    ):
        assert ours == pytest.approx(float(getattr(classification, name)(*arguments, ignore_index=255)), rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_boundary_equals_mask_minus_erosion(seed):
    for mask in (blobs(seed)[0], balls(seed)[0]):
        np.testing.assert_array_equal(boundary(mask), mask & ~binary_erosion(mask))


@pytest.mark.parametrize("seed", range(20))
def test_boundary_f1_equals_its_definition(seed):
    prediction, reference = blobs(seed)
    a, b = (np.argwhere(mask & ~binary_erosion(mask)) for mask in (prediction, reference))
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    precision, recall = (distances.min(axis=1) <= 2).mean(), (distances.min(axis=0) <= 2).mean()
    expected = 2 * precision * recall / (precision + recall)
    assert surface_distances(prediction, reference).boundary_f1(2) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(10))
def test_largest_distances_equal_the_directed_hausdorff_distances_of_scipy(seed):
    prediction, reference = blobs(seed)
    a, b = np.argwhere(boundary(prediction)), np.argwhere(boundary(reference))
    distances = surface_distances(prediction, reference)
    assert distances.to_reference.max() == pytest.approx(directed_hausdorff(a, b)[0], rel=1e-6)
    assert distances.to_prediction.max() == pytest.approx(directed_hausdorff(b, a)[0], rel=1e-6)


def test_distance_transform_is_exact_on_random_points():
    generator = np.random.default_rng(0)
    for density in (0.5, 0.02, 0.001):
        target = generator.random((301, 257)) < density
        target[150, 100] = True
        expected = distance_transform_edt(~target)
        measured = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        np.testing.assert_allclose(measured, expected, rtol=1e-6)


def test_interval_equals_scipys_bootstrap_where_every_case_is_a_group():
    values = np.random.default_rng(0).beta(5, 2, size=30)
    ours = bootstrap_interval(values, [str(i) for i in range(30)], resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    width = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.03 * width)


def test_interval_equals_scipys_bootstrap_of_the_means_of_groups_of_one_size():
    generator = np.random.default_rng(2)
    values = generator.normal(size=(15, 1)) + generator.normal(size=(15, 6))
    groups = [str(group) for group in range(15) for _ in range(6)]
    ours = bootstrap_interval(values.ravel(), groups, resamples=20_000)
    means = (values.mean(axis=1),)
    theirs = stats.bootstrap(means, np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.03 * (theirs.high - theirs.low))


def test_p_equals_the_share_of_sign_flips_that_are_as_extreme():
    differences = np.array([0.3, -0.1, 0.25, 0.4, 0.05, 0.2, -0.15])
    ranks = stats.rankdata(np.abs(differences))
    flips = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1)
    expected = np.mean(np.abs(ranks @ flips) >= abs(ranks @ np.sign(differences)) - 1e-9)
    a = {str(i): value for i, value in enumerate(differences)}
    assert paired_difference(a, dict.fromkeys(a, 0.0), {i: i for i in a}).p == pytest.approx(expected)
