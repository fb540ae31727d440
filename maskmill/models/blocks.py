"""Building blocks of the networks. All take and give (N, C, H, W) tensors; sizes are multiples of two where halved.

References
----------
[1] K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015.
[2] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
[3] S. Woo, J. Park, J.-Y. Lee, I. S. Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from maskmill.errors import MaskmillError


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with 8 groups, or as many as divide the channels."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Instance normalisation with learnt scale and shift."""
    return nn.InstanceNorm2d(channels, affine=True)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "silu": lambda: nn.SiLU(inplace=True),
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": group_norm,
    "instance": instance_norm,
}
INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "he_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
}


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution, normalisation, activation. (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, norm: str, act: str) -> None:
        make_norm, make_act = choose(NORMS, norm, "model.norm"), choose(ACTIVATIONS, act, "model.act")
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
            make_norm(outputs),
            make_act(),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            make_norm(outputs),
            make_act(),
        )


class ChannelAttention(nn.Module):
    """Weigh channels by their mean and maximum over the picture, passed through one shared small network [3]."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.shared = nn.Sequential(
            nn.Conv2d(channels, hidden, kernel_size=1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, kernel_size=1, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        mean = self.shared(features.mean(dim=(2, 3), keepdim=True))
        maximum = self.shared(features.amax(dim=(2, 3), keepdim=True))
        return features * torch.sigmoid(mean + maximum)


class SpatialAttention(nn.Module):
    """Weigh places by the mean and maximum of their channels, passed through a 7x7 convolution [3]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        described = torch.cat([features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)], dim=1)
        return features * torch.sigmoid(self.conv(described))


class CBAM(nn.Sequential):
    """Convolutional block attention module: channel attention, then spatial attention [3]."""

    def __init__(self, channels: int) -> None:
        super().__init__(ChannelAttention(channels), SpatialAttention())


ATTENTIONS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "cbam": CBAM,
}
DOWNSAMPLINGS: dict[str, Callable[[int], nn.Module]] = {
    "maxpool": lambda channels: nn.MaxPool2d(2),
    "strided": lambda channels: nn.Conv2d(channels, channels, kernel_size=3, stride=2, padding=1),
}
UPSAMPLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed": lambda inputs, outputs: nn.ConvTranspose2d(inputs, outputs, kernel_size=2, stride=2),
    "bilinear": lambda inputs, outputs: nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(inputs, outputs, kernel_size=1),
    ),
}


def choose(table: dict[str, Callable], name: str, option: str) -> Callable:
    """The entry of a table of building blocks; MaskmillError that lists what there is, if there is none."""
    if name not in table:
        raise MaskmillError(f'{option} is "{name}"; possible are {", ".join(table)}')
    return table[name]


def initialise(model: nn.Module, method: str) -> None:
    """Draw the weights of all convolutions by He [1] or Glorot [2]; biases start at zero."""
    draw = choose(INITIALISERS, method, "model.init")
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
