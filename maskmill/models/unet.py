"""The U-Net family, for pictures and volumes.

References
----------
[1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
[2] Ö. Çiçek, A. Abdulkadir, S. S. Lienkamp, T. Brox, O. Ronneberger, "3D U-Net: Learning Dense Volumetric Segmentation
    from Sparse Annotation", MICCAI 2016.
[3] F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H. Maier-Hein, "nnU-Net: a self-configuring method for
    deep learning-based biomedical image segmentation", Nature Methods 18, 2021 (caps, planar levels, supervision).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskmill.errors import MaskmillError
from maskmill.models.blocks import (
    ATTENTIONS,
    DOWNSAMPLINGS,
    UPSAMPLINGS,
    DoubleConv,
    Layers,
    ResidualConv,
    choose,
    initialise,
)
from maskmill.sizes import Size

MOST_CHANNELS = {2: 512, 3: 320}
"""Channels of a level do not double beyond this [3]."""


class UNet(nn.Module):
    """Encoder and decoder with skip connections. Normalised (N, channels, …) -> logits (N, outputs, …).

    … is H, W where `dimensions` is 2 [1], and D, H, W where it is 3 [2]. Everything is kept by level, 0 the finest.

    channels, outputs: of the input and of the logits. width: channels of level 0, doubled at each of the `depth`
    levels below, up to 512 in 2D and 320 in 3D. planar: of a 3D network, so many levels from the top have kernels and
    strides that stay within slices. residual: in the encoder, blocks add their input to their output.
    deep_supervision: while training, all levels of the decoder give logits. attention: after each block of the encoder,
    so that it acts on the skips too. Unlike in [1], convolutions are padded, so the output has the input's size.

    Attributes: `dimensions`; `stride`, what (depth, height, width) must be multiples of, 1 for the depth of pictures;
    `depth`; `widths`, channels by level. Raises MaskmillError for impossible options.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        dimensions: int = 2,
        width: int = 32,
        depth: int = 4,
        planar: int = 0,
        residual: bool = False,
        deep_supervision: bool = False,
        act: str = "relu",
        norm: str = "batch",
        attention: str = "none",
        downsampling: str = "maxpool",
        upsampling: str = "interpolated",
        init: str = "he_uniform",
    ) -> None:
        super().__init__()
        make_attention = choose(ATTENTIONS, attention, "model.attention")
        make_down = choose(DOWNSAMPLINGS, downsampling, "model.downsampling")
        make_up = choose(UPSAMPLINGS, upsampling, "model.upsampling")
        make_block = ResidualConv if residual else DoubleConv
        most = max(width, choose(MOST_CHANNELS, dimensions, "model.dimensions"))
        self.dimensions, self.depth, self.deep_supervision = dimensions, depth, deep_supervision
        self.stride = _stride(dimensions, depth, planar)
        self.widths = widths = [min(width * 2**level, most) for level in range(depth + 1)]
        self.layers = layers = [Layers(dimensions, level < planar, norm, act) for level in range(depth + 1)]
        steps = list(zip(widths[1:], widths[:-1], layers[:-1], strict=True))  # below, above; of the level above
        self.encoder = nn.ModuleList(
            nn.Sequential(make_block(before, after, of_level), make_attention(after, of_level))
            for before, after, of_level in zip([channels, *widths[:-1]], widths, layers, strict=True)
        )
        self.down = nn.ModuleList(make_down(above, of_level) for _, above, of_level in steps)
        self.up = nn.ModuleList(make_up(below, above, of_level) for below, above, of_level in steps)
        self.decoder = nn.ModuleList(DoubleConv(2 * above, above, of_level) for _, above, of_level in steps)
        self._add_heads(outputs)
        initialise(self, init, act)

    def _add_heads(self, outputs: int) -> None:
        levels = range(self.depth if self.deep_supervision else 1)
        self.heads = nn.ModuleList(self.layers[level].conv(self.widths[level], outputs, 1) for level in levels)

    def forward(self, images: Tensor) -> Tensor | list[Tensor]:
        """Normalised float (N, channels, …) -> logits (N, outputs, …); deeply supervised, a list, finest first.

        The list comes while training only: the logits of level l are 2^l times smaller (in depth, those of a planar
        level are not). Raises MaskmillError for a size that is no multiple of `stride`.
        """
        features = self.encode(images)
        logits = []
        below = features[self.depth]
        for level in reversed(range(self.depth)):
            below = self.decode(level, below, features[level])
            if level == 0 or (self.training and self.deep_supervision):
                logits.insert(0, self.heads[level](below))
        return logits if self.training and self.deep_supervision else logits[0]

    def encode(self, images: Tensor) -> list[Tensor]:
        """Features of all levels, (N, widths[level], …), each half as large as the one before."""
        if not torch.compiler.is_compiling():  # a check on the size would otherwise be baked into an exported graph
            self._check_size(images.shape[2:])
        features = [self.encoder[0](images)]
        for down, stage in zip(self.down, self.encoder[1:], strict=True):
            features.append(stage(down(features[-1])))
        return features

    def decode(self, level: int, below: Tensor, skip: Tensor) -> Tensor:
        """Decoded features of a level, from those of the level below and the encoder's of this one."""
        return self.decoder[level](torch.cat([skip, self.up[level](below)], dim=1))

    def _check_size(self, size: Sequence[int]) -> None:
        strides = self.stride[-self.dimensions :]
        if any(length % stride for length, stride in zip(size, strides, strict=True)):
            fitting = [-length % stride + length for length, stride in zip(size, strides, strict=True)]
            raise MaskmillError(
                f"the network cannot take {'x'.join(map(str, size))} pixels: with model.depth {self.depth}, "
                f"{'(height, width)' if self.dimensions == 2 else '(depth, height, width)'} must be multiples of "
                f"{'x'.join(map(str, strides))}; choose train.patch and predict.tile so, or pad to "
                f"{'x'.join(map(str, fitting))}"
            )
        if self.layers[-1].norm == "instance" and tuple(size) == tuple(strides):
            raise MaskmillError(
                f"the network cannot take {'x'.join(map(str, size))} pixels: the deepest level would be a single one, "
                f"which instance normalisation makes nothing of; choose larger train.patch and predict.tile, or "
                f"model.norm group"
            )


def _stride(dimensions: int, depth: int, planar: int) -> Size:
    """What (depth, height, width) must be multiples of."""
    if planar > (depth if dimensions == 3 else 0):
        raise MaskmillError(
            f"model.planar is {planar}; it can be at most model.depth, which is {depth}, in a network of three "
            f"dimensions, and must be 0 in one of two (model.dimensions is {dimensions})"
        )
    return 2 ** (depth - planar) if dimensions == 3 else 1, 2**depth, 2**depth
