"""Boundary loss on shapes whose edges are known."""

from itertools import pairwise

import pytest
import torch

from maskmill.losses import boundary_loss
from tests.unit.losses.cases import certain, random_case, round_case


def square(top=5, left=5, side=6, size=20):
    labels = torch.zeros(1, size, size, dtype=torch.long)
    labels[0, top : top + side, left : left + side] = 1
    return labels


def cost(predicted, labels):
    return boundary_loss(certain(predicted, 1), labels).item()


def test_a_half_plane_by_hand():
    # columns 0 to 3 of 8 are foreground; Canny draws column 3, so the band is columns 2 to 4
    labels = torch.zeros(1, 6, 8, dtype=torch.long)
    labels[..., :4] = 1
    step = torch.tensor([1, 1, 1, 0.8, 0.1, 0, 0, 0.2])
    logits = torch.special.logit(step.double(), eps=1e-12).expand(1, 1, 6, 8)
    soft = [0, 0, 0.2, 0.9, 0.8, 0.1, 0.2, 0.2]
    precision, recall = (0.2 + 0.9 + 0.8) / sum(soft), 0.9
    expected = 1 - 2 * precision * recall / (precision + recall)
    assert boundary_loss(logits, labels).item() == pytest.approx(expected, abs=1e-5)


def test_a_perfect_prediction_costs_nothing_and_a_shift_the_more_the_farther():
    labels = square()
    costs = [cost(square(left=5 + shift), labels) for shift in range(5)]
    assert costs[0] == pytest.approx(0, abs=1e-6)
    assert all(nearer < farther - 0.05 for nearer, farther in pairwise(costs))


def test_a_blurred_edge_costs_more_than_a_sharp_one():
    labels = square()
    blurred = torch.nn.functional.avg_pool2d(labels.unsqueeze(1).double(), 5, 1, 2, count_include_pad=False)
    assert boundary_loss(torch.special.logit(blurred, eps=1e-9), labels).item() > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_a_perfect_prediction_costs_nothing_whatever_the_shapes(seed):
    _, labels = random_case(1, size=(24, 24), ignored=0, seed=seed)  # noise: Canny drops much of it
    assert cost(labels, labels) == pytest.approx(0, abs=1e-6)
    _, labels = random_case(4, size=(2, 24, 24), ignored=0.005, seed=seed)
    assert boundary_loss(certain(labels, 4), labels).item() == pytest.approx(0, abs=1e-6)


def test_no_edge_at_all_and_edges_elsewhere_cost_the_most():
    labels = square()
    assert cost(torch.zeros_like(labels), labels) == pytest.approx(1, abs=1e-4)
    assert cost(square(top=13, left=13), labels) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_labels_without_an_edge_cost_nothing(value):
    logits, labels = random_case(1, size=(9, 9))
    logits.requires_grad_()
    loss = boundary_loss(logits, torch.full_like(labels, value))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_classes_without_an_edge_do_not_count():
    logits, _ = random_case(3, size=(20, 20), samples=1)
    labels = square()
    alone = boundary_loss(torch.stack([logits[:, [0, 2]].logsumexp(dim=1), logits[:, 1]], dim=1), labels)
    assert boundary_loss(logits, labels).item() == pytest.approx(alone.item())


def test_the_edge_of_an_ignored_region_is_none():
    labels = square(size=24)
    labels[0, :4, :] = 255
    assert cost(square(size=24), labels) == pytest.approx(0, abs=1e-6)
    labels = torch.full((1, 20, 20), 255)
    labels[0, 5:11, 5:11] = 1
    assert cost(torch.zeros_like(labels), labels) == 0


def test_volumes_are_taken_slice_by_slice():
    logits, labels = round_case(3, size=(3, 12, 12), samples=1)
    slices = boundary_loss(logits[0].movedim(1, 0), labels[0])
    assert boundary_loss(logits, labels).item() == pytest.approx(slices.item())


def test_each_sample_counts_alike():
    logits, labels = round_case(3)
    each = [boundary_loss(logits[i : i + 1], labels[i : i + 1]).item() for i in range(2)]
    assert boundary_loss(logits, labels, per_sample=True).item() == pytest.approx(sum(each) / 2)
