"""The U-Net family.

References
----------
O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
"""

import torch
from torch import Tensor, nn

from maskmill.errors import MaskmillError
from maskmill.models.blocks import ATTENTIONS, DOWNSAMPLINGS, UPSAMPLINGS, DoubleConv, choose, initialise


class Stage(nn.Sequential):
    """A double convolution and its attention. (N, inputs, H, W) -> (N, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int, norm: str, act: str, attention: str) -> None:
        make_attention = choose(ATTENTIONS, attention, "model.attention")
        super().__init__(DoubleConv(inputs, outputs, norm, act), make_attention(outputs))


class UNet(nn.Module):
    """Encoder and decoder with skip connections. Normalised (N, channels, H, W) -> logits (N, outputs, H, W).

    channels, outputs: of the input and of the logits. width: channels of the first stage, doubled at each of the
    `depth` halvings of the picture. attention: after each stage of the encoder, so that it acts on the skips too.
    Unlike in the paper, convolutions are padded, so the output has the input's size.
    Raises MaskmillError where H or W is no multiple of `stride`.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        width: int = 32,
        depth: int = 4,
        act: str = "relu",
        norm: str = "batch",
        attention: str = "none",
        downsampling: str = "maxpool",
        upsampling: str = "transposed",
        init: str = "he_uniform",
    ) -> None:
        super().__init__()
        make_down = choose(DOWNSAMPLINGS, downsampling, "model.downsampling")
        make_up = choose(UPSAMPLINGS, upsampling, "model.upsampling")
        widths = [width * 2**level for level in range(depth + 1)]
        self.stride = 2**depth
        self.encoder = nn.ModuleList(
            Stage(before, after, norm, act, attention)
            for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.down = nn.ModuleList(make_down(width) for width in widths[:-1])
        self.up = nn.ModuleList(
            make_up(below, above) for above, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.decoder = nn.ModuleList(DoubleConv(2 * width, width, norm, act) for width in widths[-2::-1])
        self.head = nn.Conv2d(width, outputs, kernel_size=1)
        initialise(self, init)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised float (N, channels, H, W) -> logits (N, outputs, H, W)."""
        if not torch.compiler.is_compiling():  # a check on the size would otherwise be baked into an exported graph
            self._check_size(*images.shape[2:])
        features = self.encoder[0](images)
        skips = []
        for down, stage in zip(self.down, self.encoder[1:], strict=True):
            skips.append(features)
            features = stage(down(features))
        for up, stage, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            features = stage(torch.cat([skip, up(features)], dim=1))
        return self.head(features)

    def _check_size(self, height: int, width: int) -> None:
        if height % self.stride or width % self.stride:
            raise MaskmillError(
                f"the network cannot take a picture of {height} x {width} pixels: with depth "
                f"{self.stride.bit_length() - 1}, both sides must be multiples of {self.stride}; "
                f"choose train.patch and predict.tile so, or pad to "
                f"{-height % self.stride + height} x {-width % self.stride + width}"
            )
