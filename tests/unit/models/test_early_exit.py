"""The U-Net that leaves its decoder early."""

import math

import pytest
import torch

from maskmill.models import build_model
from maskmill.models.early_exit import TOLERANCE, WRONG_EXIT, Gate, GatedLogits, describe, gate_loss, mask_dice
from maskmill.models.unet import UNet

OPTIONS = {"architecture": "early_exit_unet", "width": 4, "depth": 2}
CASES = [
    ({}, (16, 24)),
    ({"norm": "group", "attention": "cbam", "upsampling": "transposed", "residual": True}, (16, 24)),
    ({"dimensions": 3}, (8, 8, 12)),
    ({"dimensions": 3, "planar": 1, "norm": "instance", "downsampling": "strided"}, (4, 8, 12)),
]


def build(options, outputs=3):
    """A network in evaluation mode with two input channels."""
    torch.manual_seed(0)
    return build_model(OPTIONS | options, 2, outputs).eval()


def decisive(model, images):
    """Set the gates of a network of depth 2 so that three of six samples leave at once, two next, one at the end."""
    with torch.no_grad():
        features = model.encode(images)
        deepest = describe(features[2])
        order = model._ask(2, features[2], deepest).sort(descending=True)
        model.gates[1][-1].bias -= order.values[2:4].mean()
        decoded = model.decode(1, features[2], features[1])
        rest = model._ask(1, decoded, deepest)[order.indices[3:]].sort().values
        model.gates[0][-1].bias -= rest[:2].mean()


def images_of(size, count=6):
    return torch.randn(count, 2, *size) * torch.linspace(0.1, 3, count).view(-1, *[1] * (1 + len(size)))


@pytest.mark.parametrize(("options", "size"), CASES)
def test_while_training_all_exits_speak_and_everything_learns(options, size):
    model = build(options).train()
    labels = torch.randint(0, 3, (6, *size))
    outputs = model(images_of(size))
    assert isinstance(outputs, GatedLogits)
    halved = [tuple(length // 2**level for length in size[-2:]) for level in range(3)]
    assert [tuple(logits.shape[-2:]) for logits in outputs.logits] == halved
    assert all(logits.shape[:2] == (6, 3) for logits in outputs.logits)
    assert [gate.shape for gate in outputs.gates] == [(6,), (6,)]
    loss = sum(logits.square().sum() for logits in outputs.logits) + gate_loss(outputs, labels)
    loss.backward()
    still = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []


def test_the_gates_never_move_the_network():
    model = build({}).train()
    gate_loss(model(images_of((16, 16))), torch.randint(0, 3, (6, 16, 16))).backward()
    moved = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {"gates"}


@pytest.mark.parametrize(("options", "size"), CASES)
def test_each_sample_leaves_by_itself_with_the_logits_of_its_exit(options, size):
    model, images = build(options), images_of(size)
    decisive(model, images)
    with torch.no_grad():
        logits, levels = model.exit_early(images)
        assert sorted(levels.tolist()) == [0, 1, 1, 2, 2, 2]
        for sample in range(6):
            alone, level = model.exit_early(images[sample : sample + 1])
            assert level == levels[sample]
            torch.testing.assert_close(alone[0], logits[sample], rtol=1e-4, atol=1e-5)
        features = model.encode(images)
        for level in (2, 1, 0):
            if level < 2:
                features[level] = model.decode(level, features[level + 1], features[level])
            own = torch.nn.functional.interpolate(
                model.heads[level](features[level]), size, mode="bilinear" if len(size) == 2 else "trilinear"
            )
            torch.testing.assert_close(logits[levels == level], own[levels == level], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model(images), logits)


@pytest.mark.parametrize(("options", "size"), CASES)
def test_the_graph_for_export_gives_the_same_logits(options, size):
    model, images = build(options), images_of(size)
    decisive(model, images)
    with torch.no_grad():
        for batch in (images, images[:1], images[-1:]):
            torch.testing.assert_close(model._exit_in_graph(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_finer_levels_are_not_computed_where_nobody_needs_them():
    model, images = build({}), images_of((16, 16))
    decisive(model, images)
    sizes = {level: [] for level in (0, 1)}
    for level, seen in sizes.items():
        model.decoder[level].register_forward_hook(lambda layer, given, output, seen=seen: seen.append(len(output)))
    levels = model.exit_early(images)[1]
    assert sizes == {1: [3], 0: [1]}
    model(images[levels == 2])
    assert sizes == {1: [3], 0: [1]}


def test_an_untrained_gate_lets_nothing_leave():
    model, images = build({}), torch.randn(6, 2, 16, 16)
    assert model.exit_early(images)[1].tolist() == [0] * 6
    torch.testing.assert_close(model(images), UNet.forward(model, images))


def test_gates_learn_which_features_are_good_enough():
    torch.manual_seed(0)
    gate = Gate(8)
    optimizer = torch.optim.Adam(gate.parameters(), 1e-2)
    features = torch.rand(64, 4, 6, 6)
    features[::2, 1, 2, 3] = 4.0  # one conspicuous place in half of the samples: their mask needs detail
    seen, target = describe(features), (torch.arange(64) % 2).float()
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(gate(seen).squeeze(1), target).backward()
        optimizer.step()
    assert torch.equal(gate(seen).squeeze(1) > 0, target.bool())


def test_dice_of_masks_by_hand():
    labels = torch.zeros(5, 2, 4, dtype=torch.long)
    labels[0, 0], labels[1, 0], labels[2, 0] = 1, 1, 1
    labels[3, 0] = 255
    logits = torch.full((5, 1, 2, 4), -1.0)
    logits[0, 0, 0] = 1.0  # equal
    logits[1, 0, 0, :2] = 1.0  # 2 of 4 found: 2 * 2 / (2 + 4)
    logits[2, 0, 1] = 1.0  # all wrong
    logits[3, 0, 0] = 1.0  # found where it is ignored, and nothing else: nothing shown
    logits[4, 0, 1, 3] = 1.0  # one pixel found where there is nothing
    torch.testing.assert_close(mask_dice(logits, labels), torch.tensor([1.0, 2 / 3, 0.0, 1.0, 0.0]))


def test_dice_of_several_classes_is_the_mean_of_those_shown():
    labels = torch.tensor([[0, 1, 1, 2], [0, 0, 1, 1]])
    mask = torch.tensor([[0, 1, 0, 2], [3, 0, 1, 1]])
    logits = torch.nn.functional.one_hot(mask, 5).movedim(-1, 1).float()
    # first: 2/3 of class 1, 1 of class 2; second: 1 of class 1, 0 of class 3; class 4 is nowhere
    torch.testing.assert_close(mask_dice(logits[:, :, None], labels[:, None]), torch.tensor([5 / 6, 0.5]))


def test_dice_of_a_coarse_exit_is_that_of_its_interpolated_logits():
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    labels[:, :4] = 1
    coarse = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).view(1, 1, 2, 2)
    assert mask_dice(coarse, labels) == 1
    assert mask_dice(coarse.view(1, 1, 1, 2, 2), labels[:, None].expand(1, 3, 8, 8)) == 1


def test_gates_are_told_where_an_exit_is_as_good_as_the_finest():
    labels = torch.zeros(4, 1, 200, dtype=torch.long)
    labels[:, 0, :100] = 1
    finest = torch.where(labels[:, None] == 1, 1.0, -1.0)
    exit_ = finest.clone()
    exit_[1, ..., 99] = -1.0  # Dice 2 * 99 / 199 = 0.995: within the tolerance
    exit_[2, ..., 90:100] = -1.0  # Dice 180 / 190 = 0.947
    finest[3], exit_[3] = -1.0, -1.0  # both as bad
    said = torch.tensor([1.0, -2.0, 0.5, 3.0])
    outputs = GatedLogits([finest, exit_], [said])
    good_enough = [True, True, False, True]
    weights = torch.tensor([1.0, 1.0, 4.0, 1.0])  # of four times the cost: yes from 80 % on
    expected = [math.log1p(math.exp(-gate if good else gate)) for gate, good in zip(said, good_enough, strict=True)]
    torch.testing.assert_close(gate_loss(outputs, labels), (weights * torch.tensor(expected)).mean())
    assert (TOLERANCE, WRONG_EXIT) == (0.01, 4.0)


def test_the_loss_of_gates_in_half_precision_is_taken_in_full():
    outputs = GatedLogits([torch.zeros(2, 1, 4, 4, dtype=torch.bfloat16)] * 2, [torch.ones(2, dtype=torch.bfloat16)])
    loss = gate_loss(outputs, torch.zeros(2, 4, 4, dtype=torch.long))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.item(), math.log1p(math.exp(-1)))
