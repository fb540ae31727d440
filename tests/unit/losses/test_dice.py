"""Soft Dice loss on values worked out by hand."""

import pytest
import torch

from maskmill.losses import soft_dice_loss
from tests.unit.losses.cases import row


def test_dice_by_hand():
    loss = soft_dice_loss(*row([0.9, 0.2, 0.5], [1, 0, 255]))
    assert loss.item() == pytest.approx(1 - 2 * 0.9 / (0.9 + 0.2 + 1), abs=1e-5)


def test_dice_of_each_sample_by_hand():
    case = [torch.cat(pair) for pair in zip(row([0.9, 0.2], [1, 0]), row([0.4, 0.3], [1, 1]), strict=True)]
    first, second = 1 - 2 * 0.9 / (1.1 + 1), 1 - 2 * 0.7 / (0.7 + 2)
    assert soft_dice_loss(*case, per_sample=True).item() == pytest.approx((first + second) / 2, abs=1e-5)
    assert soft_dice_loss(*case).item() == pytest.approx(1 - 2 * 1.6 / (1.8 + 3), abs=1e-5)


def test_dice_of_background_does_not_count():
    probabilities = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    loss = soft_dice_loss(probabilities.log().T.view(1, 3, 1, 3), torch.tensor([[[0, 1, 2]]]))
    assert loss.item() == pytest.approx(1 - (2 * 0.7 / 2.1 + 2 * 0.8 / 2) / 2, abs=1e-5)
