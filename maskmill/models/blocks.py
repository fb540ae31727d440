"""Building blocks of the networks, for pictures (N, C, H, W) and volumes (N, C, D, H, W) alike.

No layer here lacks a deterministic kernel: in torch 2.13 the backward passes of 3D max-pooling and of linear
upsampling, which add up in random order on a GPU, have ordered ones that `torch.use_deterministic_algorithms` selects.

References
----------
[1] K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015.
[2] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
[3] S. Woo, J. Park, J.-Y. Lee, I. S. Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018.
[4] K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maskmill.errors import MaskmillError


class TorchLayers(NamedTuple):
    """What torch calls the layers of one number of dimensions."""

    conv: type[nn.Module]
    transposed_conv: type[nn.Module]
    max_pool: type[nn.Module]
    batch_norm: type[nn.Module]
    instance_norm: type[nn.Module]
    interpolation: str


TORCH_LAYERS = {
    2: TorchLayers(nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.BatchNorm2d, nn.InstanceNorm2d, "bilinear"),
    3: TorchLayers(nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.BatchNorm3d, nn.InstanceNorm3d, "trilinear"),
}
NORMS: dict[str, Callable[[TorchLayers, int], nn.Module]] = {
    "batch": lambda layers, channels: layers.batch_norm(channels),
    "group": lambda layers, channels: nn.GroupNorm(math.gcd(8, channels), channels),
    "instance": lambda layers, channels: layers.instance_norm(channels, affine=True),
}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "silu": lambda: nn.SiLU(inplace=True),
}


@dataclass(frozen=True)
class Layers:
    """The layers that one level of a network is made of.

    dimensions: 2 or 3. planar: of three dimensions, nothing here reaches from one slice to the next.
    """

    dimensions: int
    planar: bool
    norm: str
    act: str

    @property
    def torch(self) -> TorchLayers:
        """The classes of torch."""
        return choose(TORCH_LAYERS, self.dimensions, "model.dimensions")

    def size(self, side: int) -> tuple[int, ...]:
        """A window as wide along each axis, but one slice thick where the level is planar."""
        return (1, side, side) if self.planar else (side,) * self.dimensions

    def conv(self, inputs: int, outputs: int, side: int, stride: int = 1, bias: bool = True) -> nn.Module:
        """A convolution that keeps the size, or divides it by the stride."""
        kernel = self.size(side)
        padding = tuple(length // 2 for length in kernel)
        return self.torch.conv(inputs, outputs, kernel, self.size(stride), padding, bias=bias)

    def normalisation(self, channels: int) -> nn.Module:
        """Batch, group (8 groups, or as many as divide the channels) or instance normalisation; scale, shift learnt."""
        return choose(NORMS, self.norm, "model.norm")(self.torch, channels)

    def activation(self) -> nn.Module:
        """The activation, in place."""
        return choose(ACTIVATIONS, self.act, "model.act")()


class DoubleConv(nn.Sequential):
    """Twice: convolution of width 3, normalisation, activation. (N, inputs, …) -> (N, outputs, …)."""

    def __init__(self, inputs: int, outputs: int, layers: Layers) -> None:
        super().__init__(
            layers.conv(inputs, outputs, 3, bias=False),
            layers.normalisation(outputs),
            layers.activation(),
            layers.conv(outputs, outputs, 3, bias=False),
            layers.normalisation(outputs),
            layers.activation(),
        )


class ResidualConv(nn.Module):
    """A double convolution whose input is added before its last activation [4]. (N, inputs, …) -> (N, outputs, …).

    Where the channels differ, a normalised 1x1 convolution carries the input across.
    """

    def __init__(self, inputs: int, outputs: int, layers: Layers) -> None:
        super().__init__()
        *path, self.activation = DoubleConv(inputs, outputs, layers)
        self.path = nn.Sequential(*path)
        self.shortcut = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(
                layers.conv(inputs, outputs, 1, bias=False), layers.normalisation(outputs)
            )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, …) -> (N, outputs, …)."""
        return self.activation(self.path(features) + self.shortcut(features))


class ChannelAttention(nn.Module):
    """Weigh channels by their mean and maximum over all places, passed through one shared small network [3]."""

    def __init__(self, channels: int, layers: Layers, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.shared = nn.Sequential(
            layers.conv(channels, hidden, 1, bias=False),
            nn.ReLU(inplace=True),
            layers.conv(hidden, channels, 1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, …) -> (N, C, …)."""
        places = tuple(range(2, features.ndim))
        mean = self.shared(features.mean(dim=places, keepdim=True))
        maximum = self.shared(features.amax(dim=places, keepdim=True))
        return features * torch.sigmoid(mean + maximum)


class SpatialAttention(nn.Module):
    """Weigh places by the mean and maximum of their channels, passed through a convolution of width 7 [3]."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        self.conv = layers.conv(2, 1, 7, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, …) -> (N, C, …)."""
        described = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.conv(described))


class CBAM(nn.Sequential):
    """Convolutional block attention module: channel attention, then spatial attention [3]."""

    def __init__(self, channels: int, layers: Layers) -> None:
        super().__init__(ChannelAttention(channels, layers), SpatialAttention(layers))


def _interpolated(inputs: int, outputs: int, layers: Layers) -> nn.Module:
    """Fewer channels first: that commutes with the interpolation, and is less to interpolate."""
    scale = tuple(float(factor) for factor in layers.size(2))
    upsample = nn.Upsample(scale_factor=scale, mode=layers.torch.interpolation, align_corners=False)
    return nn.Sequential(layers.conv(inputs, outputs, 1), upsample)


ATTENTIONS: dict[str, Callable[[int, Layers], nn.Module]] = {
    "none": lambda channels, layers: nn.Identity(),
    "cbam": CBAM,
}
DOWNSAMPLINGS: dict[str, Callable[[int, Layers], nn.Module]] = {
    "maxpool": lambda channels, layers: layers.torch.max_pool(layers.size(2)),
    "strided": lambda channels, layers: layers.conv(channels, channels, 3, stride=2),
}
UPSAMPLINGS: dict[str, Callable[[int, int, Layers], nn.Module]] = {
    "transposed": lambda inputs, outputs, layers: layers.torch.transposed_conv(
        inputs, outputs, layers.size(2), layers.size(2)
    ),
    "interpolated": _interpolated,
}


def choose(table: Mapping[Any, Any], name: Any, option: str) -> Any:
    """The entry of a table of building blocks; MaskmillError that lists what there is, if there is none."""
    if name not in table:
        raise MaskmillError(f'{option} is "{name}"; possible are {", ".join(map(str, table))}')
    return table[name]


GAINS = {"relu": math.sqrt(2), "silu": 1.6765}
"""1 / √E[act(z)²] of z ~ N(0, 1): what keeps the variance through an activation (He's derivation [1]; it is published
for ReLU, the value for SiLU was integrated)."""

INITIALISERS: dict[str, Callable[[Tensor, float, float, float], Tensor]] = {
    "he_uniform": lambda weight, inputs, outputs, gain: _uniform(weight, gain * math.sqrt(3 / inputs)),
    "kaiming": lambda weight, inputs, outputs, gain: nn.init.normal_(weight, 0, gain / math.sqrt(inputs)),
    "xavier": lambda weight, inputs, outputs, gain: _uniform(weight, math.sqrt(6 / (inputs + outputs))),
}


def _uniform(weight: Tensor, bound: float) -> Tensor:
    return nn.init.uniform_(weight, -bound, bound)


def initialise(model: nn.Module, method: str, act: str = "relu") -> None:
    """Draw the weights of all convolutions by He [1], uniform or normal, or by Glorot [2]; biases start at zero.

    Their variance follows from how many values an output is summed of, and with Glorot from how many an input reaches
    too: both counted through strides and transposition. He's grows by the gain of the activation; Glorot's has none.
    """
    draw, gain = choose(INITIALISERS, method, "model.init"), choose(GAINS, act, "model.act")
    for module in model.modules():
        if isinstance(module, tuple(layer for layers in TORCH_LAYERS.values() for layer in layers[:2])):
            draw(module.weight, *_fans(module), gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _fans(conv: nn.Module) -> tuple[float, float]:
    """How many values an output is summed of, and how many outputs an input adds to."""
    kernel, stride = math.prod(conv.kernel_size), math.prod(conv.stride)
    if conv.transposed:
        return conv.in_channels * kernel / stride, conv.out_channels * kernel
    return conv.in_channels * kernel, conv.out_channels * kernel / stride
