"""What a network is worth and costs: parameters, multiply-accumulates, receptive field."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from maskmill.models.blocks import TORCH_LAYERS
from maskmill.models.unet import UNet
from maskmill.sizes import Size


def summarize(model: UNet, channels: int, patch: Sequence[int]) -> dict[str, Any]:
    """Numbers of a network on the meta device; `patch` is (depth, height, width), of depth 1 for pictures.

    parameters: learnt values. macs: multiply-accumulates for one patch (two operations each), with the heads of all
    levels; of an early-exit network when nothing leaves early. activation_bytes: what one patch in 32 bits keeps in
    memory for the backward pass. receptive_field: (depth, height, width), see `receptive_field`. stride: what sizes
    must be multiples of. levels: resolutions, the input's included. features: channels of each, finest first.
    """
    kept = {}
    batch = torch.empty(2, channels, *patch[-model.dimensions :], device="meta")  # batch normalisation wants two
    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(partial(_note, kept), lambda tensor: tensor):
        model.train()(batch)
    for parameter in model.parameters():
        kept.pop(_storage(parameter), None)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "macs": counter.get_total_flops() // 2 // len(batch),
        "activation_bytes": sum(kept.values()) // len(batch),
        "receptive_field": list(receptive_field(model)),
        "stride": list(model.stride),
        "levels": model.depth + 1,
        "features": list(model.widths),
    }


def _note(kept: dict[int, int], tensor: torch.Tensor) -> torch.Tensor:
    kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
    return tensor


def _storage(tensor: torch.Tensor) -> int:
    """What tensors that share memory have in common."""
    return tensor.untyped_storage()._cdata


def describe_summary(summary: Mapping[str, Any]) -> str:
    """One line, such as "7.76 M parameters, 13.7 G multiply-accumulates a patch, sees 188 x 188 pixels, 5 levels"."""
    seen = [str(length) for length in summary["receptive_field"]]
    return (
        f"{summary['parameters'] / 1e6:.2f} M parameters, {summary['macs'] / 1e9:.3g} G multiply-accumulates a patch, "
        f"sees {' x '.join(seen[summary['receptive_field'][0] == 1 :])} pixels, {summary['levels']} levels"
    )


def receptive_field(model: UNet) -> Size:
    """How many pixels of the input, (depth, height, width), a logit depends on through the convolutions.

    The most of any place: the deepest path decides, and places differ by where they lie in its grid. Borders cut it
    off. Attention, and group and instance normalisation, see the whole patch besides.
    """
    seen = [[_seen(model, axis, place) for place in range(model.stride[axis])] for axis in range(3)]
    field = [max(high - low + 1 for low, high in of_axis) for of_axis in seen]
    return field[0], field[1], field[2]


def receptive_reach(model: UNet) -> Size:
    """How far from a pixel, (depth, height, width), its logit sees at most to either side; see `receptive_field`."""
    reach = []
    for axis in range(3):
        seen = [(place, *_seen(model, axis, place)) for place in range(model.stride[axis])]
        reach.append(max(max(place - low, high - place) for place, low, high in seen))
    return reach[0], reach[1], reach[2]


def _seen(model: UNet, axis: int, place: int) -> tuple[int, int]:
    """First and last pixel along an axis of what the logit at a place depends on, followed back to the input."""
    if axis < 3 - model.dimensions:
        return place, place
    low = high = place
    for level in range(model.depth):
        low, high = _before_convs(model, level, axis, low, high)
        low, high = _before_upsampling(model, level, axis, low, high)
    for level in range(model.depth, 0, -1):
        low, high = _before_convs(model, level, axis, low, high)
        low, high = _before_downsampling(model, level - 1, axis, low, high)
    return _before_convs(model, 0, axis, low, high)


def _window(model: UNet, level: int, axis: int, side: int) -> int:
    return model.layers[level].size(side)[axis - 3]


def _before_convs(model: UNet, level: int, axis: int, low: int, high: int) -> tuple[int, int]:
    reach = 2 * (_window(model, level, axis, 3) // 2)
    return low - reach, high + reach


def _before_upsampling(model: UNet, level: int, axis: int, low: int, high: int) -> tuple[int, int]:
    if _window(model, level, axis, 2) == 1:
        return low, high
    if isinstance(model.up[level], tuple(layers.transposed_conv for layers in TORCH_LAYERS.values())):
        return low // 2, high // 2
    return (low - 1) // 2, (high - 1) // 2 + 1  # linear: the two nearest of the coarser grid


def _before_downsampling(model: UNet, level: int, axis: int, low: int, high: int) -> tuple[int, int]:
    if _window(model, level, axis, 2) == 1:
        return low, high
    if isinstance(model.down[level], tuple(layers.max_pool for layers in TORCH_LAYERS.values())):
        return 2 * low, 2 * high + 1
    return 2 * low - 1, 2 * high + 1  # a convolution of width 3
