"""The sum of the losses: levels, gates, ignored pixels, equality of batches, number formats, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from maskmill.errors import MaskmillError
from maskmill.losses import SegmentationLoss, boundary_loss, cross_entropy_loss, lovasz_loss, soft_dice_loss
from maskmill.losses.pixels import resize_labels
from maskmill.models.early_exit import GatedLogits, gate_loss
from tests.unit.losses.cases import PLANE, VOLUME, certain, random_case, round_case

PARTS = ("ce", "dice", "lovasz", "boundary")
NOTHING = {"ce": 0, "dice": 0, "lovasz": 0, "boundary": 0, "ohem": 1, "class_weights": None, "per_sample": False}
SIZES = [(16, 18), (2, 12, 14)]


def loss_of(**options):
    return SegmentationLoss(**NOTHING | options)


def whole_loss(outputs, per_sample=False, ohem=0.5):
    weights = [1.0, 2.5, 0.5, 3.0][: max(2, outputs)]
    return SegmentationLoss(0.5, 0.3, 0.2, 0.1, ohem, class_weights=weights, per_sample=per_sample)


def levels_of(logits):
    """Logits of three levels, halved in height and width."""
    return [logits, logits[..., ::2, ::2] * 0.7, logits[..., 1::4, 1::4] * 0.5]


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("outputs", [1, 2, 4])
@pytest.mark.parametrize("part", PARTS)
def test_perfect_predictions_cost_nothing_and_wrong_ones_do(part, outputs, size, per_sample):
    loss = loss_of(**{part: 1}, per_sample=per_sample)
    _, labels = round_case(outputs, size)
    wrong = torch.where(labels == 255, 255, (labels + 1) % max(2, outputs)).roll(6, dims=-1)
    assert loss(certain(labels, outputs), labels).item() == pytest.approx(0, abs=1e-5)
    assert loss(certain(wrong, outputs), labels).item() > 0.25


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("ohem", [1.0, 0.4])
def test_gradients_are_those_of_finite_differences(outputs, ohem, size):
    for per_sample in (False, True):
        logits, labels = random_case(outputs, size, ignored=0.05)
        loss = whole_loss(outputs, per_sample, ohem)
        assert torch.autograd.gradcheck(
            lambda values, loss=loss, labels=labels: loss(values, labels), logits.requires_grad_()
        )


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("part", PARTS)
def test_gradients_of_each_part_are_those_of_finite_differences(part, outputs):
    logits, labels = round_case(outputs, size=(8, 9), samples=1)
    loss = loss_of(**{part: 1})
    assert loss(logits, labels).item() > 0.1
    assert torch.autograd.gradcheck(lambda values: loss(values, labels), logits.requires_grad_())


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("part", PARTS)
def test_ignored_pixels_have_no_say(part, outputs, size, per_sample):
    logits, labels = round_case(outputs, size)
    labels[1, ..., 9, 5:8] = 255
    ignored = (labels == 255).unsqueeze(1).expand_as(logits)
    loss = loss_of(**{part: 1}, ohem=0.5, per_sample=per_sample)
    changed = torch.where(ignored, 50 * torch.randn(logits.shape, dtype=logits.dtype), logits).requires_grad_()
    value = loss(changed, labels)
    value.backward()
    assert value.item() == pytest.approx(loss(logits, labels).item(), rel=1e-12)
    assert (changed.grad[ignored] == 0).all()
    assert (changed.grad[~ignored] != 0).any()


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_batch_of_ignored_pixels_costs_nothing(outputs, per_sample):
    logits, labels = random_case(outputs)
    logits = logits.abs().requires_grad_()  # wrong everywhere, were this background
    value = whole_loss(outputs, per_sample)(logits, torch.full_like(labels, 255))
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-9)
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@pytest.mark.parametrize("outputs", [1, 4])
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), batch=st.sampled_from([1, 2, 3]))
def test_batches_of_equal_size_cost_in_the_mean_what_the_large_batch_does(outputs, dtype, rounding, seed, batch):
    loss = whole_loss(outputs, per_sample=True)
    logits, labels = round_case(outputs, samples=6, seed=seed)
    labels[1] = 255
    labels[2] = 0
    labels[3, :9] = 255
    logits = logits.to(dtype).requires_grad_()

    def cost(part):
        return loss(levels_of(logits[part]), labels[part])

    large = cost(slice(0, 6))
    small = torch.stack([cost(slice(start, start + batch)) for start in range(0, 6, batch)]).mean()
    torch.testing.assert_close(small, large, rtol=rounding, atol=rounding)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (small, large)]
    torch.testing.assert_close(*gradients, rtol=10 * rounding, atol=rounding * gradients[1].abs().max().item())


@pytest.mark.parametrize("size", SIZES)
def test_per_sample_is_the_mean_of_the_samples(size):
    logits, labels = round_case(3, size, samples=3)
    each = [whole_loss(3)(logits[i : i + 1], labels[i : i + 1]).item() for i in range(3)]
    assert whole_loss(3, per_sample=True)(logits, labels).item() == pytest.approx(sum(each) / 3, rel=1e-12)
    assert whole_loss(3)(logits, labels).item() != pytest.approx(sum(each) / 3, rel=1e-3)


def test_parts_are_weighed():
    logits, labels = round_case(3)
    parts = (
        0.5 * cross_entropy_loss(logits, labels, 0.5, [1.0, 2.5, 0.5])
        + 0.3 * soft_dice_loss(logits, labels)
        + 0.2 * lovasz_loss(logits, labels)
        + 0.1 * boundary_loss(logits, labels)
    )
    assert whole_loss(3)(logits, labels).item() == pytest.approx(parts.item())


def test_weights_of_nothing_but_0_are_refused():
    with pytest.raises(MaskmillError, match="all weights"):
        loss_of()
    with pytest.raises(MaskmillError, match="class_weights are all 0"):
        loss_of(ce=1, class_weights=[0, 0])


@pytest.mark.parametrize("size", SIZES)
def test_levels_are_weighed_1_half_and_quarter(size):
    logits, labels = round_case(3, size)
    levels = levels_of(logits)
    loss = whole_loss(3)
    each = [loss(of_level, resize_labels(labels, of_level.shape[2:])).item() for of_level in levels]
    assert loss(levels, labels).item() == pytest.approx((4 * each[0] + 2 * each[1] + each[2]) / 7)
    assert loss(levels[:1], labels).item() == pytest.approx(each[0])


def test_labels_at_the_size_of_a_level_by_hand():
    row = torch.tensor([0, 1, 255, 2, 3, 3, 4])
    assert resize_labels(row.view(1, 1, 7), (1, 3)).flatten().tolist() == [1, 2, 3]  # centres 1.2, 3.5, 5.8
    assert resize_labels(row[:6].view(1, 1, 6), (1, 2)).flatten().tolist() == [1, 3]
    assert resize_labels(row[2:6].view(1, 2, 2), (1, 1)).flatten().tolist() == [3]


@pytest.mark.parametrize(("size", "smaller"), [((16, 18), (8, 9)), ((17, 13), (5, 4)), ((3, 12, 14), (3, 6, 7))])
def test_labels_at_the_size_of_a_level_are_those_of_torch(size, smaller):
    _, labels = random_case(4, size)
    theirs = F.interpolate(labels.unsqueeze(1).float(), size=smaller, mode="nearest-exact").squeeze(1).long()
    assert (resize_labels(labels, smaller) == theirs).all()
    assert (resize_labels(labels, smaller) == 255).any()


def test_gates_add_their_loss():
    logits, labels = round_case(1)
    levels, gates = levels_of(logits), [torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.1])]
    gated = GatedLogits(levels, [gate.requires_grad_() for gate in gates])
    loss = whole_loss(1)
    total = loss(gated, labels)
    assert total.item() == pytest.approx((loss(levels, labels) + gate_loss(gated, labels)).item())
    assert all((gradient != 0).any() for gradient in torch.autograd.grad(total, gates))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("outputs", [1, 3])
def test_losses_of_half_precision_are_taken_in_float32(outputs, dtype):
    logits, labels = round_case(outputs)
    logits = logits.to(dtype).requires_grad_()
    loss = whole_loss(outputs, per_sample=True)
    plain = loss(logits.float(), labels)
    with torch.autocast("cpu", dtype):
        value = loss(logits, labels)
        each = [part(logits, labels) for part in (cross_entropy_loss, soft_dice_loss, lovasz_loss, boundary_loss)]
    assert value.dtype == torch.float32
    assert value.item() == plain.item()
    assert all(part.dtype == torch.float32 for part in each)
    assert torch.autograd.grad(value, logits)[0].isfinite().all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_float64_stays_float64(outputs):
    logits, labels = round_case(outputs)
    assert whole_loss(outputs)(logits, labels).dtype == torch.float64


@pytest.mark.parametrize("outputs", [1, 3])
def test_memory_layout_and_repetition_change_no_bit(outputs):
    logits, labels = round_case(outputs)
    logits = logits.float()
    loss = whole_loss(outputs)
    values, gradients = [], []
    for layout in (torch.contiguous_format, torch.channels_last, torch.channels_last):
        arranged = logits.clone(memory_format=layout).requires_grad_()
        values.append(loss(arranged, labels))
        gradients.append(torch.autograd.grad(values[-1], arranged)[0])
    assert values[1] == values[2]
    assert (gradients[1] == gradients[2]).all()
    torch.testing.assert_close(values[0], values[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("outputs", [1, 3])
def test_extreme_logits_give_finite_losses_and_gradients(outputs):
    logits, labels = round_case(outputs)
    extreme = (logits.float() * 1e4).requires_grad_()
    value = whole_loss(outputs)(extreme, labels)
    value.backward()
    assert value.isfinite()
    assert extreme.grad.isfinite().all()
