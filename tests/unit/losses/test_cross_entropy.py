"""Cross-entropy, class weights and hard example mining on values worked out by hand."""

import math

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.losses import cross_entropy_loss
from tests.unit.losses.cases import random_case, row


def mean(values):
    return sum(values) / len(values)


def test_binary_cross_entropy_by_hand():
    loss = cross_entropy_loss(*row([0.9, 0.2, 0.5], [1, 0, 255]))
    assert loss.item() == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


def test_cross_entropy_by_hand():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    loss = cross_entropy_loss(probabilities.log().T.view(1, 3, 1, 3), torch.tensor([[[0, 1, 255]]]))
    assert loss.item() == pytest.approx(-(math.log(0.6) + math.log(0.7)) / 2)


def test_class_weights_by_hand():
    case = row([0.9, 0.2, 0.5, 0.6], [1, 0, 255, 1])
    loss = cross_entropy_loss(*case, class_weights=[0.5, 2])
    weighted = 2 * math.log(0.9) + 0.5 * math.log(0.8) + 2 * math.log(0.6)
    assert loss.item() == pytest.approx(-weighted / 4.5)


def test_a_class_of_weight_0_has_no_say():
    logits, labels = row([0.9, 0.2, 0.4], [1, 0, 0])
    assert cross_entropy_loss(logits, labels, class_weights=[0, 3]).item() == pytest.approx(-math.log(0.9))
    assert cross_entropy_loss(logits, torch.zeros_like(labels), class_weights=[0, 3]).item() == 0


@pytest.mark.parametrize(("outputs", "weights"), [(1, [1]), (1, [1, 1, 1]), (3, [1, 2])])
def test_a_weight_for_each_class_and_background_is_asked_for(outputs, weights):
    with pytest.raises(MaskmillError, match=f"give {max(2, outputs)}, that of background first"):
        cross_entropy_loss(*random_case(outputs), class_weights=weights)


def test_hardest_pixels_by_hand():
    case = row([0.9, 0.2, 0.4, 0.01, 0.7], [1, 0, 1, 255, 0])  # of the reference: 0.3, 0.4, 0.8, 0.9
    hardest = [-math.log(p) for p in (0.3, 0.4, 0.8, 0.9)]
    for share, count in [(0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (1.0, 4)]:
        assert cross_entropy_loss(*case, ohem=share).item() == pytest.approx(mean(hardest[:count]))


def test_hardest_pixels_of_each_sample_by_hand():
    first, second = row([0.9, 0.2, 0.4], [1, 0, 1]), row([0.95, 0.1, 0.3], [1, 255, 255])
    case = [torch.cat(pair) for pair in zip(first, second, strict=True)]
    pooled = cross_entropy_loss(*case, ohem=0.5)  # two of four
    assert pooled.item() == pytest.approx(-mean([math.log(0.4), math.log(0.8)]))
    each = cross_entropy_loss(*case, ohem=0.5, per_sample=True)  # two of three, one of one
    assert each.item() == pytest.approx(-mean([mean([math.log(0.4), math.log(0.8)]), math.log(0.95)]))


def test_class_weights_tell_which_pixels_are_hard():
    case = row([0.9, 0.6], [1, 0])
    loss = cross_entropy_loss(*case, ohem=0.5, class_weights=[0.1, 2])
    assert loss.item() == pytest.approx(-math.log(0.9))


def test_pixels_without_loss_are_hard_where_there_are_no_others():
    logits = torch.tensor([[[[200.0, 200.0, -200.0, 0.0]]]])
    labels = torch.tensor([[[1, 255, 0, 255]]])
    logits.requires_grad_()
    loss = cross_entropy_loss(logits, labels, ohem=0.5)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad[..., [1, 3]] == 0).all()
