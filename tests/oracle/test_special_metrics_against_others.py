"""Metrics of single tasks against scikit-learn, scikit-image, torchmetrics, and loops over all pixels or pairs."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.morphology import skeletonize
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    brier_score_loss,
    mutual_info_score,
    normalized_mutual_info_score,
    precision_recall_curve,
)
from sklearn.metrics.cluster import pair_confusion_matrix

from maskmill.metrics.calibration import calibration
from maskmill.metrics.cldice import cldice
from maskmill.metrics.instance import object_overlaps
from maskmill.metrics.rand import compare_cells
from maskmill.metrics.relaxed import relaxed_curve


def smooth(seed: int, shape: tuple[int, ...] = (24, 30)) -> np.ndarray:
    """Random values from 0 to 1 of which neighbours are alike."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return (values - values.min()) / np.ptp(values)


def probabilities(seed: int, shape: tuple[int, ...] = (24, 30)) -> tuple[np.ndarray, np.ndarray]:
    """Stored probabilities (1, H, W), and a reference that resembles them."""
    truth = smooth(seed, shape)
    levels = np.clip(255 * (truth + 0.3 * (smooth(seed + 100, shape) - 0.5)), 0, 254).astype(np.uint8)
    return levels[None], truth[None] > np.quantile(truth, 0.8)


def cells(seed: int, borders: bool) -> np.ndarray:
    """Cell numbers (20, 24), 0 on borders or nowhere."""
    numbers = (smooth(seed, (20, 24)) * 6).astype(int) + 1
    if borders:
        numbers[np.random.default_rng(seed).random(numbers.shape) < 0.2] = 0
    return numbers


def everywhere(levels: np.ndarray) -> np.ndarray:
    return np.ones(levels.shape, bool)


@pytest.mark.parametrize("seed", range(4))
def test_relaxed_scores_equal_those_of_the_distances_of_all_pixels(seed):
    levels, reference = probabilities(seed)
    curve = relaxed_curve(levels, reference, everywhere(levels))
    for level in (1, 60, 128, 200, int(levels.max())):
        distances = cdist(np.argwhere(levels >= level), np.argwhere(reference))
        assert curve.precision(level) == np.mean(distances.min(axis=1) <= 3)
        assert curve.recall(level) == np.mean(distances.min(axis=0) <= 3)


@pytest.mark.parametrize("seed", range(4))
def test_without_slack_the_curve_is_that_of_scikit_learn(seed):
    levels, reference = probabilities(seed)
    precision, recall, thresholds = precision_recall_curve(reference.ravel(), levels.ravel())
    curve = relaxed_curve(levels, reference, everywhere(levels), radius=0)
    assert [curve.precision(level) for level in thresholds] == pytest.approx(precision[:-1].tolist())
    assert [curve.recall(level) for level in thresholds] == pytest.approx(recall[:-1].tolist())
    gaps = precision - recall
    near = [i for i, (here, there) in enumerate(pairwise(gaps)) if here <= 0 <= there]
    limits = np.concatenate([precision[[i, i + 1]] for i in near])
    assert limits.min() <= curve.break_even() <= limits.max()


@pytest.mark.parametrize("seed", range(6))
def test_v_rand_counts_pairs_as_scikit_learn_does(seed):
    reference, prediction = cells(seed, borders=True), cells(seed + 50, borders=True)
    foreground = reference > 0
    referred, predicted = reference[foreground], prediction[foreground]
    predicted = np.where(predicted == 0, 1000 + np.arange(len(predicted)), predicted)  # each pixel alone
    pairs, pixels = pair_confusion_matrix(referred, predicted), len(referred)
    together, split, merged = pairs[1, 1] + pixels, pairs[1, 0], pairs[0, 1]
    expected = 2 * together / (2 * together + split + merged)
    assert compare_cells(prediction, reference).v_rand == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_v_info_is_the_mutual_information_normalised_as_scikit_learn_does(seed):
    reference, prediction = cells(seed, borders=True), cells(seed + 50, borders=True)
    foreground = reference > 0
    referred, predicted = reference[foreground], prediction[foreground]
    predicted = np.where(predicted == 0, 1000 + np.arange(len(predicted)), predicted)
    expected = normalized_mutual_info_score(referred, predicted, average_method="arithmetic")
    assert compare_cells(prediction, reference).v_info == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_without_borders_both_follow_from_the_measures_of_scikit_image(seed):
    reference, prediction = cells(seed, borders=False), cells(seed + 50, borders=False)
    agreement, pixels = compare_cells(prediction, reference), reference.size
    error, *_ = adapted_rand_error(reference, prediction, ignore_labels=())  # of pairs of two different pixels
    pairs = agreement.predicted + agreement.reference - 2 * pixels
    assert 2 * (agreement.together - pixels) / pairs == pytest.approx(1 - error)
    apart = sum(variation_of_information(reference, prediction)) * np.log(2)
    mutual = mutual_info_score(reference.ravel(), prediction.ravel())
    assert agreement.v_info == pytest.approx(2 * mutual / (2 * mutual + apart))


def pairs_of_objects(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of the numbers of squares, some of them moved, missed, split or invented."""
    generator = np.random.default_rng(seed)
    prediction, reference = np.zeros((2, 60, 70), np.int32)
    for number, (top, left, side) in enumerate(generator.integers((0, 0, 4), (50, 60, 14), size=(14, 3)).tolist(), 1):
        down, right, more = generator.integers(-1, 2, 3).tolist()
        if generator.random() > 0.2:
            reference[top : top + side, left : left + side] = 3 * number
        if generator.random() > 0.2:
            prediction[max(0, top + down) : top + down + side, max(0, left + right) : left + side + more] = 7 + number
    return prediction, reference


def ious(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(predicted, reference) IoU of any two objects."""
    masks = [[image == n for n in np.unique(image[image > 0])] for image in (prediction, reference)]
    return np.array([[(p & r).sum() / (p | r).sum() for r in masks[1]] for p in masks[0]])


@pytest.mark.parametrize("seed", range(8))
def test_matches_equal_the_best_assignment_of_all_pairs(seed):
    from scipy.optimize import linear_sum_assignment

    prediction, reference = pairs_of_objects(seed)
    overlaps, every = object_overlaps(prediction, reference), ious(prediction, reference)
    scores = []
    for threshold in np.arange(0.5, 1.0, 0.05).round(2):
        matched = every > threshold
        tp = matched[linear_sum_assignment(-matched.astype(float))].sum()
        scores.append(tp / (sum(every.shape) - tp))
        assert overlaps.average_precision(threshold) == pytest.approx(scores[-1])
    assert overlaps.mean_average_precision() == pytest.approx(np.mean(scores))
    tp = (every > 0.5).sum()
    assert overlaps.rq == pytest.approx(tp / (tp + (every.shape[0] - tp) / 2 + (every.shape[1] - tp) / 2))
    assert overlaps.sq == pytest.approx(every[every > 0.5].mean())


@pytest.mark.parametrize("seed", range(8))
def test_aji_equals_the_published_algorithm_in_plain_loops(seed):
    prediction, reference = pairs_of_objects(seed)
    every = ious(prediction, reference)
    predicted, referred = ([image == n for n in np.unique(image[image > 0])] for image in (prediction, reference))
    common = union = 0
    taken = set()
    for column, mask in enumerate(referred):
        if not every[:, column].any():
            union += mask.sum()
            continue
        best = int(every[:, column].argmax())
        common += (mask & predicted[best]).sum()
        union += (mask | predicted[best]).sum()
        taken.add(best)
    union += sum(mask.sum() for number, mask in enumerate(predicted) if number not in taken)
    assert object_overlaps(prediction, reference).aji() == pytest.approx(common / union)


@pytest.fixture(scope="module")
def torchmetrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchmetrics.functional")


@pytest.mark.parametrize("seed", range(6))
def test_panoptic_quality_equals_torchmetrics(torchmetrics, seed):
    import torch

    pair = pairs_of_objects(seed)
    tensors = [torch.from_numpy(np.stack([(image > 0).astype(np.int64), image], axis=-1))[None] for image in pair]
    expected = torchmetrics.detection.panoptic_quality(*tensors, things={1}, stuffs={0}, return_per_class=True)
    assert object_overlaps(*pair).pq == pytest.approx(float(expected[0, 0]))


@pytest.mark.parametrize("seed", range(6))
def test_calibration_equals_torchmetrics_and_scikit_learn(torchmetrics, seed):
    import torch

    levels, reference = probabilities(seed)  # none is 1, of which torchmetrics makes a bin of its own
    levels += levels % 17 == 0  # scikit-learn puts the limit of two bins into the lower one
    ours = calibration(levels, reference, everywhere(levels))
    values = (levels / 255).ravel()
    tensors = torch.from_numpy(values), torch.from_numpy(reference.ravel().astype(np.int64))
    expected = torchmetrics.classification.binary_calibration_error(*tensors, n_bins=15, norm="l1")
    assert ours.ece() == pytest.approx(float(expected), abs=1e-6)
    assert ours.brier() == pytest.approx(brier_score_loss(reference.ravel(), values))
    shares, means = calibration_curve(reference.ravel(), values, n_bins=15)
    assert [row["probability"] for row in ours.reliability()] == pytest.approx(means.tolist())
    assert [row["share"] for row in ours.reliability()] == pytest.approx(shares.tolist())


@pytest.mark.parametrize("seed", range(4))
def test_cldice_equals_its_formula_on_the_skeletons_of_another_method(seed):
    prediction, reference = smooth(seed) > 0.5, smooth(seed + 1) > 0.5
    lines = [skeletonize(mask, method="lee") > 0 for mask in (prediction, reference)]
    shares = reference[lines[0]].mean(), prediction[lines[1]].mean()
    expected = 2 * np.prod(shares) / np.sum(shares)
    assert cldice(prediction, reference) == pytest.approx(expected, abs=0.1)  # skeletons differ by a few pixels
