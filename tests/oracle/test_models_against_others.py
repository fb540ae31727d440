"""The networks against MONAI's blocks, formulas in NumPy, and one another."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.special import expit
from torch import nn

from maskmill.models import build_model
from maskmill.models.blocks import CBAM, Layers, ResidualConv

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SIZES = {2: (16, 24), 3: (8, 16, 8)}


def copy_weights(source, target):
    """Copy layer by layer, in the order in which both define them, with random statistics of batches."""
    kinds = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
    layers = [[layer for layer in model.modules() if isinstance(layer, kinds)] for model in (source, target)]
    for ours, theirs in zip(*layers, strict=True):
        for value in (*ours.parameters(), *(buffer for name, buffer in ours.named_buffers() if "running" in name)):
            nn.init.uniform_(value, 0.1, 0.6) if value.ndim == 1 else nn.init.normal_(value, 0, 0.2)
        theirs.load_state_dict(ours.state_dict())


class Plain(nn.Module):
    """A U-Net made of MONAI's blocks."""

    def __init__(self, dimensions, channels, outputs, widths, upsample, norm):
        from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

        super().__init__()
        choice = {"act": "relu", "norm": norm, "bias": False}
        self.first = TwoConv(dimensions, channels, widths[0], **choice)
        self.down = nn.ModuleList(Down(dimensions, before, after, **choice) for before, after in pairwise(widths))
        self.up = nn.ModuleList(
            UpCat(dimensions, 2 * width, width, width, **choice, upsample=upsample, align_corners=False)
            for width in widths[:-1]
        )
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.last = conv(widths[0], outputs, 1)

    def forward(self, images):
        features = [self.first(images)]
        for down in self.down:
            features.append(down(features[-1]))
        below = features.pop()
        for up, skip in zip(reversed(self.up), reversed(features), strict=True):
            below = up(below, skip)
        return self.last(below)


def ordered_as_plain(model):
    """The layers of ours in the order in which `Plain` has them."""
    ups = [nn.ModuleList(pair) for pair in zip(model.up, model.decoder, strict=True)]
    return nn.ModuleList([*model.encoder, *ups, model.heads])


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("upsampling", "theirs"), [("transposed", "deconv"), ("interpolated", "nontrainable")])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_network_against_one_of_monais_blocks(dimensions, upsampling, theirs, norm):
    torch.manual_seed(0)
    options = {"architecture": "unet", "dimensions": dimensions, "width": 4, "depth": 3, "norm": norm}
    ours = build_model(options | {"upsampling": upsampling}, 2, 3).eval()
    plain = Plain(dimensions, 2, 3, [4, 8, 16, 32], theirs, (norm, {"affine": True})).eval()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in plain.parameters())
    copy_weights(ordered_as_plain(ours), plain)
    images = torch.randn(2, 2, *(2 * length for length in SIZES[dimensions]))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), plain(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 4), (4, 8)])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_residual_blocks_against_monai(dimensions, inputs, outputs):
    from monai.networks.blocks.dynunet_block import UnetResBlock

    torch.manual_seed(0)
    ours = ResidualConv(inputs, outputs, Layers(dimensions, False, "batch", "relu")).eval()
    theirs = UnetResBlock(dimensions, inputs, outputs, 3, 1, norm_name="batch", act_name="relu").eval()
    # the order of theirs: convolutions of the path, its normalisations, then the shortcut
    parts = [ours.path[0], ours.path[3], ours.path[1], ours.path[4], *ours.shortcut.children()]
    copy_weights(nn.ModuleList(parts), theirs)
    features = torch.randn(2, inputs, *SIZES[dimensions])
    with torch.no_grad():
        torch.testing.assert_close(ours(features), theirs(features))


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        (Layers(2, False, "batch", "relu"), (5, 6)),
        (Layers(3, False, "batch", "relu"), (5, 8, 6)),
        (Layers(3, True, "batch", "relu"), (5, 8, 6)),
    ],
)
def test_cbam_follows_its_paper(layers, size):
    torch.manual_seed(0)
    block = CBAM(32, layers)
    features = torch.randn(2, 32, *size)
    with torch.no_grad():
        result = block(features).numpy()
        first, last = (block[0].shared[layer].weight.flatten(1).numpy() for layer in (0, 2))
        kernel = block[1].conv.weight[0].numpy()
    assert first.shape == (4, 32)
    x, places = features.numpy(), tuple(range(2, 2 + len(size)))
    pooled = (x.mean(axis=places), x.max(axis=places))
    described = sum(np.maximum(values @ first.T, 0) @ last.T for values in pooled)
    x = x * np.expand_dims(expit(described), places)
    for sample in x:
        maps = sample.mean(axis=0), sample.max(axis=0)
        sample *= expit(sum(ndimage.correlate(*pair, mode="constant") for pair in zip(maps, kernel, strict=True)))
    np.testing.assert_allclose(result, x, atol=1e-5)


@pytest.mark.parametrize("downsampling", ["maxpool", "strided"])
@pytest.mark.parametrize("upsampling", ["transposed", "interpolated"])
def test_a_wholly_planar_network_is_the_flat_one_slice_by_slice(upsampling, downsampling):
    torch.manual_seed(0)
    options = {
        "architecture": "unet", "width": 4, "depth": 2, "upsampling": upsampling, "downsampling": downsampling,
        "residual": True,
    }  # fmt: skip
    flat = build_model(options, 1, 2).eval()
    planar = build_model(options | {"dimensions": 3, "planar": 2}, 1, 2).eval()
    weights = flat.state_dict()
    for name, value in planar.state_dict().items():
        if value.ndim < 5:
            value.copy_(weights[name])
        else:
            value.zero_()
            value[:, :, value.shape[2] // 2] = weights[name]  # the deepest level alone has kernels of several slices
    volume = torch.randn(1, 1, 3, 16, 24)
    with torch.no_grad():
        slices = torch.stack([flat(volume[:, :, z]) for z in range(3)], dim=2)
        torch.testing.assert_close(planar(volume), slices, rtol=1e-4, atol=1e-5)
