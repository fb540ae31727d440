"""Lovász hinge and Lovász-softmax on values worked out by hand."""

import pytest
import torch

from maskmill.losses import lovasz_loss


def test_lovasz_hinge_by_hand():
    # hinge errors 1 - m·s: 0.5 (of a 1), 1.5 (of a 0), 0 (beyond the margin)
    logits = torch.tensor([[[[0.5, 0.5, -2.0]]]])
    labels = torch.tensor([[[1, 0, 0]]])
    # sorted 1.5, 0.5: Jaccard loss 1 - 1/2 once the false positive is in, 1 once the miss is too
    assert lovasz_loss(logits, labels).item() == pytest.approx(1.5 * 0.5 + 0.5 * 0.5)


def test_lovasz_hinge_of_an_absent_class_is_the_largest_error():
    logits = torch.tensor([[[[0.5, 9.0, -2.0, 0.1]]]])
    assert lovasz_loss(logits, torch.tensor([[[0, 255, 0, 0]]])).item() == pytest.approx(1.5)


def test_lovasz_hinge_of_each_sample_by_hand():
    logits = torch.tensor([[[[0.5, 0.5, -2.0]]], [[[0.5, 0.1, -2.0]]]])
    labels = torch.tensor([[[1, 0, 0]], [[0, 0, 255]]])
    assert lovasz_loss(logits, labels, per_sample=True).item() == pytest.approx((1 + 1.5) / 2)
    # together: errors 1.5, 1.5, 1.1 of the background and 0.5 of the reference weigh 1/2, 1/6, 1/12, 1/4
    assert lovasz_loss(logits, labels).item() == pytest.approx(1.5 / 2 + 1.5 / 6 + 1.1 / 12 + 0.5 / 4)


def softmax_case(probabilities, labels):
    return torch.tensor(probabilities).log().T.view(1, 3, 1, -1), torch.tensor([[labels]])


def test_lovasz_softmax_by_hand():
    loss = lovasz_loss(*softmax_case([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]], [0, 1]))  # neither label shows class 2
    background = 0.4 * 1 + 0.2 * 0  # errors: 0.4 of the reference pixel (loss 1 at once), 0.2 of the other
    building = 0.3 * 0.5 + 0.3 * 0.5  # equal errors: the order does not matter
    assert loss.item() == pytest.approx((background + building) / 2)


def test_lovasz_softmax_of_each_sample_by_hand():
    first = softmax_case([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]], [0, 1])
    second = softmax_case([[0.1, 0.1, 0.8], [0.3, 0.3, 0.4]], [2, 255])  # one class, one pixel: the error, 0.2
    case = [torch.cat(pair) for pair in zip(first, second, strict=True)]
    assert lovasz_loss(*case, per_sample=True).item() == pytest.approx((0.35 + 0.2) / 2)


def test_weights_keep_their_digits_in_large_pictures():
    ranks = torch.arange(1, 1024 * 1024 + 1)  # the last pixel is the reference
    errors = 2 - ranks / len(ranks)
    labels = (ranks == len(ranks)).long()
    logits = torch.where(labels == 1, 1 - errors, errors - 1).view(1, 1, 1024, 1024).requires_grad_()
    lovasz_loss(logits, labels.view(1, 1024, 1024)).backward()
    weights = logits.grad.abs().flatten().double()
    # the Jaccard loss of the first i is i / (i + 1): float32 has no digits left for its differences
    torch.testing.assert_close(weights[:-1], 1 / (ranks[:-1] * (ranks[:-1] + 1.0).double()), rtol=1e-6, atol=0)
    assert weights[-1].item() == pytest.approx(1 / len(ranks))
