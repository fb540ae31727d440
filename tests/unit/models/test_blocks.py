"""Building blocks of the networks."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import expit
from torch import nn

from maskmill.models.blocks import GAINS, INITIALISERS, Layers, ResidualConv, initialise


@pytest.mark.parametrize(
    ("layers", "kernel", "padding", "stride"),
    [
        (Layers(2, False, "batch", "relu"), (3, 3), (1, 1), (2, 2)),
        (Layers(3, False, "batch", "relu"), (3, 3, 3), (1, 1, 1), (2, 2, 2)),
        (Layers(3, True, "batch", "relu"), (1, 3, 3), (0, 1, 1), (1, 2, 2)),
    ],
)
def test_planar_convolutions_stay_within_slices(layers, kernel, padding, stride):
    conv = layers.conv(1, 1, 3, stride=2)
    assert (conv.kernel_size, conv.padding, conv.stride) == (kernel, padding, stride)


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (8, 8), (12, 4), (32, 8)])
def test_group_normalisation_takes_eight_groups_or_what_divides(channels, groups):
    assert Layers(2, False, "group", "relu").normalisation(channels).num_groups == groups


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_normalisations_learn_scale_and_shift(norm, dimensions):
    layer = Layers(dimensions, False, norm, "relu").normalisation(4)
    assert str(dimensions) in type(layer).__name__
    assert [parameter.shape for parameter in layer.parameters()] == [(4,), (4,)]


def test_a_residual_block_of_zero_weights_passes_its_input_on():
    block = ResidualConv(4, 4, Layers(2, False, "batch", "relu"))
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    features = torch.rand(2, 4, 6, 6)
    torch.testing.assert_close(block(features), features)
    assert isinstance(block.shortcut, nn.Identity)
    assert not isinstance(ResidualConv(4, 8, Layers(2, False, "batch", "relu")).shortcut, nn.Identity)


@pytest.mark.parametrize("act", ["relu", "silu"])
def test_gains_keep_the_variance_through_the_activation(act):
    apply = {"relu": lambda z: max(z, 0), "silu": lambda z: z * expit(z)}[act]
    energy, _ = quad(lambda z: apply(z) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -30, 30, points=[0])
    assert abs(GAINS[act] - 1 / math.sqrt(energy)) < 1e-4


@pytest.mark.parametrize("method", ["he_uniform", "kaiming"])
def test_variance_stays_through_twenty_layers_of_relu(method):
    torch.manual_seed(0)
    model = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Conv3d(128, 128, 1), nn.ReLU())))
    initialise(model, method)
    with torch.no_grad():
        energy = model[:-1](torch.randn(4, 128, 4, 4, 4) / math.sqrt(2)).square().mean().item()
    assert 0.25 < energy < 4  # of 1; with another gain it would be so many times more or less, twenty times over


# summed inputs of an output, outputs that an input reaches
FANS = {
    "Conv2d": (nn.Conv2d(64, 128, 3), 64 * 9, 128 * 9),
    "strided Conv2d": (nn.Conv2d(64, 64, 3, stride=2), 64 * 9, 64 * 9 / 4),
    "Conv3d": (nn.Conv3d(16, 32, 3), 16 * 27, 32 * 27),
    "planar Conv3d": (nn.Conv3d(64, 32, (1, 3, 3)), 64 * 9, 32 * 9),
    "ConvTranspose2d": (nn.ConvTranspose2d(128, 64, 2, stride=2), 128, 64 * 4),
    "ConvTranspose3d": (nn.ConvTranspose3d(64, 32, 2, stride=2), 64, 32 * 8),
}


@pytest.mark.parametrize("layer", FANS)
@pytest.mark.parametrize("act", GAINS)
@pytest.mark.parametrize("method", INITIALISERS)
def test_initial_weights_have_the_published_spread(method, act, layer):
    conv, inputs, outputs = FANS[layer]
    torch.manual_seed(0)
    initialise(conv, method, act)
    deviation = math.sqrt(2 / (inputs + outputs)) if method == "xavier" else GAINS[act] / math.sqrt(inputs)
    weight = conv.weight.detach().numpy()
    assert abs(weight.std() / deviation - 1) < 0.03
    assert abs(weight.mean()) < 0.03 * deviation
    if method != "kaiming":
        np.testing.assert_allclose(np.abs(weight).max(), deviation * math.sqrt(3), rtol=0.01)
    assert (conv.bias == 0).all()


@pytest.mark.parametrize("method", ["he_uniform", "xavier"])
def test_plain_convolutions_are_drawn_as_torch_draws_them(method):
    ours, theirs = nn.Conv2d(8, 16, 3), nn.Conv2d(8, 16, 3)
    torch.manual_seed(0)
    initialise(ours, method)
    torch.manual_seed(0)
    if method == "xavier":
        nn.init.xavier_uniform_(theirs.weight)
    else:
        nn.init.kaiming_uniform_(theirs.weight, nonlinearity="relu")
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-6, atol=1e-7)
