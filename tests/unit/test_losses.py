"""Losses, on values worked out by hand and by their gradients."""

import math

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.losses import SegmentationLoss, cross_entropy_loss, lovasz_loss, soft_dice_loss


def logit(probability):
    return math.log(probability / (1 - probability))


def binary(probabilities, labels):
    """Logits (1, 1, 1, P) and labels (1, 1, P) of a row of pixels."""
    return torch.tensor([[[[logit(p) for p in probabilities]]]], dtype=torch.float64), torch.tensor([[labels]])


def random_case(outputs, seed=0, ignored=True):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, outputs, 3, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(2, outputs), (2, 3, 4), generator=generator)
    if ignored:
        labels[0, 1] = 255
    return logits, labels


def test_binary_cross_entropy_by_hand():
    loss = cross_entropy_loss(*binary([0.9, 0.2, 0.5], [1, 0, 255]))
    assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_hardest_pixels_by_hand():
    case = binary([0.9, 0.2, 0.4, 0.01, 0.7], [1, 0, 1, 255, 0])  # losses by rank: 0.3 (of 0), 0.4, 0.8 (of 0), 0.9
    hardest = [-math.log(p) for p in (0.3, 0.4, 0.8, 0.9)]
    for share, count in [(0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (1.0, 4)]:
        assert cross_entropy_loss(*case, ohem=share).item() == pytest.approx(sum(hardest[:count]) / count)


def test_dice_by_hand():
    loss = soft_dice_loss(*binary([0.9, 0.2, 0.5], [1, 0, 255]))
    assert loss.item() == pytest.approx(1 - 2 * 0.9 / (0.9 + 0.2 + 1), abs=1e-5)


def test_lovasz_hinge_by_hand():
    # hinge errors 1 - m·s: 0.5 (of a 1), 1.5 (of a 0), 0 (beyond the margin)
    logits = torch.tensor([[[[0.5, 0.5, -2.0]]]])
    labels = torch.tensor([[[1, 0, 0]]])
    # sorted 1.5, 0.5: Jaccard loss 1 - 1/2 once the false positive is in, 1 once the miss is too
    assert lovasz_loss(logits, labels).item() == pytest.approx(1.5 * 0.5 + 0.5 * 0.5)


def test_lovasz_hinge_of_an_absent_class_is_the_largest_error():
    logits = torch.tensor([[[[0.5, 9.0, -2.0, 0.1]]]])
    assert lovasz_loss(logits, torch.tensor([[[0, 255, 0, 0]]])).item() == pytest.approx(1.5)


def test_lovasz_softmax_by_hand():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])  # two pixels, class 2 occurs in neither label
    logits, labels = probabilities.log().T.view(1, 3, 1, 2), torch.tensor([[[0, 1]]])
    background = 0.4 * 1 + 0.2 * 0  # errors: 0.4 of the reference pixel (loss 1 at once), 0.2 of the other
    building = 0.3 * 0.5 + 0.3 * 0.5  # equal errors: the order does not matter
    assert lovasz_loss(logits, labels).item() == pytest.approx((background + building) / 2)


@pytest.mark.parametrize("outputs", [1, 2, 4])
@pytest.mark.parametrize("part", ["ce", "dice", "lovasz"])
def test_perfect_predictions_cost_nothing_and_wrong_ones_do(part, outputs):
    loss = SegmentationLoss(**({"ce": 0, "dice": 0, "lovasz": 0, "ohem": 1} | {part: 1}))
    _, labels = random_case(outputs)
    shown = labels.clamp(max=max(1, outputs - 1))
    if outputs == 1:
        perfect = (shown * 2 - 1).unsqueeze(1) * 30.0
    else:
        perfect = torch.nn.functional.one_hot(shown, outputs).permute(0, 3, 1, 2) * 60.0
    assert loss(perfect, labels).item() == pytest.approx(0, abs=1e-5)
    assert loss(-perfect, labels).item() > 0.9


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("ohem", [1.0, 0.4])
def test_gradients_are_right(outputs, ohem):
    logits, labels = random_case(outputs)
    loss = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0.2, ohem=ohem)
    assert torch.autograd.gradcheck(lambda values: loss(values, labels), logits.requires_grad_())


@pytest.mark.parametrize("outputs", [1, 3])
def test_ignored_pixels_have_no_say(outputs):
    logits, labels = random_case(outputs)
    loss = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0.2, ohem=0.5)
    changed = logits.clone()
    changed[0, :, 1] += 50 * torch.randn(outputs, 4, dtype=torch.float64)
    assert loss(changed, labels).item() == pytest.approx(loss(logits, labels).item(), rel=1e-12)
    changed.requires_grad_()
    loss(changed, labels).backward()
    assert (changed.grad[0, :, 1] == 0).all()
    assert (changed.grad[1] != 0).any()


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_batch_of_ignored_pixels_costs_nothing(outputs):
    logits, labels = random_case(outputs)
    loss = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0.2, ohem=0.5)
    logits.requires_grad_()
    value = loss(logits, torch.full_like(labels, 255))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-9)
    assert (logits.grad == 0).all()


def test_parts_are_weighed():
    logits, labels = random_case(3)
    whole = SegmentationLoss(ce=0.5, dice=0.3, lovasz=0.2, ohem=0.5)(logits, labels)
    parts = (
        0.5 * cross_entropy_loss(logits, labels, 0.5)
        + 0.3 * soft_dice_loss(logits, labels)
        + 0.2 * lovasz_loss(logits, labels)
    )
    assert whole.item() == pytest.approx(parts.item())
    with pytest.raises(MaskmillError, match="all weights"):
        SegmentationLoss(ce=0, dice=0, lovasz=0, ohem=1)
