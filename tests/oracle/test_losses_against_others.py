"""Losses against torch, MONAI, and straightforward NumPy after the papers' definitions."""

import itertools
import math

import cv2
import numpy as np
import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss, DiceLoss
from scipy import ndimage, special
from torch.nn import functional as F

from maskmill.losses import SegmentationLoss, boundary_loss, cross_entropy_loss, lovasz_loss, soft_dice_loss

PLANE, VOLUME = (6, 5), (3, 4, 5)
SMOOTH = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}


def case(outputs, seed, size=(2, *PLANE), ignored=0.2):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size[0], outputs, *size[1:], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(2, outputs), size, generator=generator)
    labels[torch.rand(size, generator=generator) < ignored] = 255
    return logits.requires_grad_(), labels


def same_value_and_gradient(ours, theirs, logits):
    """Compare two losses of the same logits."""
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))


def mean_of_samples(loss, logits, labels):
    """What `per_sample` should give: the mean of a loss of each sample alone."""
    return torch.stack([loss(logits[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]).mean()


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("weights", [None, [0.2, 1.0, 3.0, 0.0, 1.5]])
@pytest.mark.parametrize("outputs", [2, 5])
def test_cross_entropy_is_that_of_torch(outputs, weights, size):
    logits, labels = case(outputs, 0, (3, *size))
    given = None if weights is None else weights[:outputs]
    settings = {"ignore_index": 255, "weight": None if given is None else torch.tensor(given, dtype=torch.float64)}

    def torchs(logits, labels):
        return F.cross_entropy(logits, labels, **settings)

    ours = cross_entropy_loss(logits, labels, class_weights=given)
    same_value_and_gradient(ours, torchs(logits, labels), logits)
    ours = cross_entropy_loss(logits, labels, class_weights=given, per_sample=True)
    same_value_and_gradient(ours, mean_of_samples(torchs, logits, labels), logits)


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("weights", [None, [0.4, 3.0]])
def test_binary_cross_entropy_is_that_of_torch(weights, size):
    logits, labels = case(1, 0, (3, *size))

    def torchs(logits, labels):
        valid = labels != 255
        weight = torch.tensor(weights or [1.0, 1.0], dtype=torch.float64)[labels[valid]]
        losses = F.binary_cross_entropy_with_logits(
            logits[:, 0][valid], labels[valid].double(), weight, reduction="sum"
        )
        return losses / weight.sum()

    ours = cross_entropy_loss(logits, labels, class_weights=weights)
    same_value_and_gradient(ours, torchs(logits, labels), logits)
    ours = cross_entropy_loss(logits, labels, class_weights=weights, per_sample=True)
    same_value_and_gradient(ours, mean_of_samples(torchs, logits, labels), logits)


def test_binary_cross_entropy_is_that_of_two_classes():
    logits, labels = case(1, 0)
    pair = torch.cat([torch.zeros_like(logits), logits], dim=1)
    for weights in (None, [0.3, 2.0]):
        ours, theirs = (cross_entropy_loss(of, labels, class_weights=weights) for of in (logits, pair))
        same_value_and_gradient(ours, theirs, logits)


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("outputs", [1, 4])
def test_hardest_pixels_are_those_of_a_sort(outputs, share, size):
    logits, labels = case(outputs, 0, (2, *size))

    def sorts(logits, labels):
        flat, valid = logits.transpose(0, 1).flatten(1).T, labels.flatten() != 255
        pair = torch.cat([torch.zeros_like(flat), flat], dim=1) if outputs == 1 else flat
        losses = F.cross_entropy(pair[valid], labels.flatten()[valid], reduction="none")
        return losses.sort(descending=True).values[: math.ceil(share * len(losses))].mean()

    same_value_and_gradient(cross_entropy_loss(logits, labels, share), sorts(logits, labels), logits)
    ours = cross_entropy_loss(logits, labels, share, per_sample=True)
    same_value_and_gradient(ours, mean_of_samples(sorts, logits, labels), logits)


def monais(outputs):
    """Options that make MONAI's losses take logits and labels as ours do."""
    if outputs == 1:
        return {"sigmoid": True, **SMOOTH}
    return {"softmax": True, "include_background": False, "to_onehot_y": True, **SMOOTH}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_dice_is_that_of_monai(outputs, seed):
    logits, labels = case(outputs, seed)

    def theirs(logits, labels):
        valid = labels != 255
        kept = logits.transpose(0, 1)[:, valid].unsqueeze(0)
        return DiceLoss(batch=True, **monais(outputs))(kept, labels[valid].view(1, 1, -1))

    same_value_and_gradient(soft_dice_loss(logits, labels), theirs(logits, labels), logits)
    ours = soft_dice_loss(logits, labels, per_sample=True)
    same_value_and_gradient(ours, mean_of_samples(theirs, logits, labels), logits)


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_dice_of_samples_is_that_of_monai(outputs, size):
    logits, labels = case(outputs, 0, (3, *size), ignored=0)
    for per_sample in (False, True):
        theirs = DiceLoss(batch=not per_sample, **monais(outputs))(logits, labels.unsqueeze(1))
        same_value_and_gradient(soft_dice_loss(logits, labels, per_sample), theirs, logits)


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("outputs", [1, 5])
def test_the_sum_with_cross_entropy_is_that_of_monai(outputs, size):
    logits, labels = case(outputs, 0, (3, *size), ignored=0)
    loss = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0, boundary=0, ohem=1, class_weights=None, per_sample=False)
    theirs = DiceCELoss(lambda_dice=0.3, lambda_ce=0.5, batch=True, **monais(outputs))
    same_value_and_gradient(loss(logits, labels), theirs(logits, labels.unsqueeze(1).double()), logits)


def test_the_levels_are_weighed_as_by_monai():
    logits, labels = case(3, 0, (2, 16, 12))
    logits = logits.detach().float().requires_grad_()
    levels = [logits, logits[..., ::2, ::2], logits[..., ::4, ::4]]
    loss = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0.2, boundary=0, ohem=1, class_weights=None, per_sample=True)
    monais_loss = DeepSupervisionLoss(lambda logits, labels: loss(logits, labels.squeeze(1).long()), "exp")
    theirs = monais_loss(levels, labels.unsqueeze(1).float())
    same_value_and_gradient(loss(levels, labels), theirs / (1 + 1 / 2 + 1 / 4), logits)


def lovasz_of_sets(errors, reference):
    """Lovász extension after [Berman et al. 2018, Definition 1]: errors, sorted, times the gain of the set function.

    errors: (P,) float64; reference: (P,) bool. Also returns the gains, in the order of the pixels.
    """
    order = np.argsort(-errors, kind="stable")
    gains, before = np.zeros(len(errors)), 0.0
    for count, pixel in enumerate(order, 1):
        mistaken = np.zeros(len(errors), bool)
        mistaken[order[:count]] = True
        union = (reference | mistaken).sum()
        after = 1 - (reference & ~mistaken).sum() / union
        gains[pixel], before = after - before, after
    return float((errors * gains).sum()), gains


def lovasz_by_hand(logits, labels):
    """Value and gradient of both Lovász losses over all pixels, in NumPy; logits (N, C, *S), labels (N, *S)."""
    places = labels != 255
    flat, kept = np.moveaxis(logits, 1, -1)[places], labels[places]
    gradient = np.zeros(np.moveaxis(logits, 1, -1).shape)
    if logits.shape[1] == 1:
        signs = np.where(kept == 1, 1.0, -1.0)
        errors = np.maximum(0, 1 - flat[:, 0] * signs)
        value, gains = lovasz_of_sets(errors, kept == 1)
        gradient[places] = (-signs * gains * (errors > 0))[:, None]
        return value, np.moveaxis(gradient, -1, 1)
    probabilities = special.softmax(flat, axis=1)
    shown = [value for value in range(logits.shape[1]) if (kept == value).any()]
    total, slopes = 0.0, np.zeros_like(probabilities)
    for value in shown:
        reference = kept == value
        loss, gains = lovasz_of_sets(np.abs(reference - probabilities[:, value]), reference)
        total += loss / len(shown)
        slopes[:, value] = np.where(reference, -gains, gains) / len(shown)
    gradient[places] = probabilities * (slopes - (slopes * probabilities).sum(axis=1, keepdims=True))
    return total, np.moveaxis(gradient, -1, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [(9, 11), VOLUME])
@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_lovasz_is_that_of_numpy_pooled_and_of_each_sample(outputs, size, dtype):
    logits, labels = case(outputs, 1, (3, *size))
    labels[1][labels[1] == 1] = 0
    logits = logits.detach().to(dtype).requires_grad_()
    arrays = logits.detach().double().numpy(), labels.numpy()
    samples = [lovasz_by_hand(*(array[i : i + 1] for array in arrays)) for i in range(3)]
    each = np.mean([value for value, _ in samples]), np.concatenate([gradient for _, gradient in samples]) / 3
    for per_sample, (value, gradient) in [(False, lovasz_by_hand(*arrays)), (True, each)]:
        ours = lovasz_loss(logits, labels, per_sample)
        assert ours.item() == pytest.approx(value, rel=1e-12 if dtype == torch.float64 else 1e-6)
        torch.testing.assert_close(torch.autograd.grad(ours, logits)[0], torch.from_numpy(gradient).to(dtype))


def jaccard_loss(reference, mistaken):
    """1 - IoU of a class where exactly the pixels in `mistaken` are predicted wrongly."""
    missed = len(mistaken & reference)
    union = len(reference | mistaken)
    return 1 - (len(reference) - missed) / union if union else 0.0


def lovasz_extension(errors, reference):
    """Lovász extension by its definition for submodular set functions: the largest of the sums over all orders."""
    best = -torch.inf
    for order in itertools.permutations(range(len(errors))):
        total, before, mistaken = 0.0, 0.0, frozenset()
        for pixel in order:
            mistaken |= {pixel}
            after = jaccard_loss(reference, mistaken)
            total += errors[pixel] * (after - before)
            before = after
        best = max(best, total)
    return best


@pytest.mark.parametrize("seed", range(4))
def test_lovasz_hinge_is_the_extension_of_the_jaccard_loss(seed):
    logits, labels = case(1, seed, size=(1, 1, 6))
    pixels = [pixel for pixel in range(6) if labels[0, 0, pixel] != 255]
    reference = frozenset(place for place, pixel in enumerate(pixels) if labels[0, 0, pixel] == 1)
    errors = [
        max(0.0, 1 - logits[0, 0, 0, pixel].item() * (1 if place in reference else -1))
        for place, pixel in enumerate(pixels)
    ]
    assert lovasz_loss(logits, labels).item() == pytest.approx(lovasz_extension(errors, reference))


@pytest.mark.parametrize("seed", range(4))
def test_lovasz_softmax_is_the_extension_of_the_jaccard_loss(seed):
    logits, labels = case(3, seed, size=(1, 2, 3))
    probabilities, flat = torch.softmax(logits.detach(), dim=1)[0].flatten(1), labels.flatten()
    pixels = [pixel for pixel in range(6) if flat[pixel] != 255]
    losses = []
    for value in range(3):
        reference = frozenset(place for place, pixel in enumerate(pixels) if flat[pixel] == value)
        errors = [abs((flat[pixel] == value).double() - probabilities[value, pixel]).item() for pixel in pixels]
        if reference:
            losses.append(lovasz_extension(errors, reference))
    assert lovasz_loss(logits, labels).item() == pytest.approx(sum(losses) / len(losses))


@pytest.mark.parametrize("seed", range(3))
def test_lovasz_of_certain_predictions_is_one_minus_iou(seed):
    generator = torch.Generator().manual_seed(seed)
    predicted, labels = (torch.randint(0, 2, (1, 8, 8), generator=generator) for _ in range(2))
    intersection, union = (predicted & labels).sum(), (predicted | labels).sum()
    two_logits = 200.0 * torch.stack([1 - predicted, predicted], dim=1)
    background = 1 - ((1 - predicted) & (1 - labels)).sum() / ((1 - predicted) | (1 - labels)).sum()
    expected = (background + 1 - intersection / union) / 2
    torch.testing.assert_close(lovasz_loss(two_logits, labels), expected)


def boundary_by_hand(probabilities, masks, ignored):
    """Boundary loss of one class over planes (N, H, W), in NumPy and SciPy; None without an edge."""
    drawn = placed = found = length = 0.0
    for probability, mask, unknown in zip(probabilities, masks, ignored, strict=True):
        soft = ndimage.maximum_filter(probability, 3, mode="nearest") - ndimage.minimum_filter(
            probability, 3, mode="nearest"
        )
        edge = cv2.Canny(mask.astype(np.uint8) * 255, 100, 200) > 0
        step = ndimage.maximum_filter(mask, 3, mode="nearest") & ~ndimage.minimum_filter(mask, 3, mode="nearest")
        band = ndimage.binary_dilation(edge, np.ones((3, 3))) | step
        counted = ~ndimage.binary_dilation(unknown, np.ones((5, 5)))
        drawn += soft[counted].sum()
        placed += soft[counted & band].sum()
        found += soft[counted & edge].sum()
        length += (counted & edge).sum()
    if length == 0:
        return None
    precision, recall = placed / drawn, found / length
    return 1 - 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("size", [(24, 28), (3, 16, 20)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_boundary_loss_is_that_of_numpy(outputs, size):
    rng = np.random.default_rng(0)
    fields = ndimage.gaussian_filter(rng.normal(size=(2, max(2, outputs), *size)), [0, 0] + [2] * len(size))
    labels = fields.argmax(axis=1)
    labels[1, ..., 4:8, 5:7] = 255
    logits = 4 * rng.normal(size=(2, outputs, *size))
    every = np.concatenate([np.zeros_like(logits), logits], axis=1) if outputs == 1 else logits
    losses = []
    for value in range(1, max(2, outputs)):
        planes = (special.softmax(every, axis=1)[:, value], labels == value, labels == 255)
        losses.append(boundary_by_hand(*(plane.reshape(-1, *size[-2:]) for plane in planes)))
    ours = boundary_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert ours.item() == pytest.approx(np.mean([loss for loss in losses if loss is not None]), abs=1e-6)
