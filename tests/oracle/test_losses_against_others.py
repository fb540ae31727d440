"""Losses against torch, MONAI and the definition of the Lovász extension."""

import itertools

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional as F

from maskmill.losses import cross_entropy_loss, lovasz_loss, soft_dice_loss


def case(outputs, seed, size=(2, 6, 5)):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(size[0], outputs, *size[1:], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(2, outputs), size, generator=generator)
    labels[torch.rand(size, generator=generator) < 0.2] = 255
    return logits.requires_grad_(), labels


def same_value_and_gradient(ours, theirs, logits):
    """Compare two losses of the same logits."""
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (ours, theirs)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outputs", [2, 5])
def test_cross_entropy_is_that_of_torch(outputs, seed):
    logits, labels = case(outputs, seed)
    theirs = F.cross_entropy(logits, labels, ignore_index=255)
    same_value_and_gradient(cross_entropy_loss(logits, labels), theirs, logits)


@pytest.mark.parametrize("seed", range(3))
def test_binary_cross_entropy_is_that_of_torch(seed):
    logits, labels = case(1, seed)
    valid = labels != 255
    theirs = F.binary_cross_entropy_with_logits(logits[:, 0][valid], labels[valid].double())
    same_value_and_gradient(cross_entropy_loss(logits, labels), theirs, logits)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_dice_is_that_of_monai(outputs, seed):
    logits, labels = case(outputs, seed)
    valid = labels != 255
    kept = logits.transpose(0, 1)[:, valid].unsqueeze(0)
    settings = (
        {"sigmoid": True} if outputs == 1 else {"softmax": True, "include_background": False, "to_onehot_y": True}
    )
    theirs = DiceLoss(batch=True, smooth_nr=1e-5, smooth_dr=1e-5, **settings)(kept, labels[valid].view(1, 1, -1))
    same_value_and_gradient(soft_dice_loss(logits, labels), theirs, logits)


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
