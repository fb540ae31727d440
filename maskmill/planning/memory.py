"""How much memory a training takes, and what to change where there is not enough.

Beyond what the libraries themselves take: some 500 MB of the process, and as much again on a GPU.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from maskmill.dag.option_checks import network_stride
from maskmill.sizes import Size, as_size

MB = 2**20

OPTIMIZER_NUMBERS = {"adamw": 2, "radam": 2, "sgd": 1}
"""Numbers that an optimiser keeps for each weight: its moments, or its momentum."""

PASSING_MAPS = 6
"""Maps of the finest level that exist at once, beside those kept, where gradients pass through it."""

LOSS_NUMBERS = 12
"""Numbers of 32 bits that the losses keep for each logit: probabilities, errors, their order, gradients."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that training a network takes.

    weights to average: whatever the batch; average is the moving one of `train.ema`. activations, passing, loss: for
    each patch of a batch; what is kept for the way back, what comes and goes on it, and what the losses keep.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    passing: int
    loss: int

    @property
    def fixed(self) -> int:
        """Bytes whatever the batch."""
        return self.weights + self.gradients + self.optimizer + self.average

    @property
    def patch(self) -> int:
        """Bytes for each patch of a batch."""
        return self.activations + self.passing + self.loss

    def megabytes(self, batch_size: int) -> int:
        """What a batch of this size takes altogether."""
        return math.ceil((self.fixed + batch_size * self.patch) / MB)

    def parts(self, batch_size: int) -> dict[str, int]:
        """Megabytes of each part, for a batch of this size."""
        shared = [field.name for field in fields(self)][:4]
        return {
            name: round((value if name in shared else batch_size * value) / MB) for name, value in asdict(self).items()
        }

    def fitting_batch(self, megabytes: float) -> int:
        """The largest batch that takes no more than this; 0 where not even one patch does."""
        return max(0, int((megabytes * MB - self.fixed) // self.patch))


def measure_footprint(
    model: Mapping[str, Any], train: Mapping[str, Any], summary: Mapping[str, Any], outputs: int, patch: Size
) -> Footprint:
    """What training takes, of the network's summary for a patch (depth, height, width).

    model, train: the sections of that name. Precision "auto" is taken for 32 bits, the most that it can mean. summary:
    of `summarize_model`, which counts what is kept for the way back. outputs: channels of the logits.
    """
    bytes_a_number = 4 if train["precision"] in ("32", "auto") else 2
    weights = 4 * summary["parameters"]
    voxels = math.prod(patch)
    heads = 2 if model["deep_supervision"] or model["architecture"] == "early_exit_unet" else 1
    return Footprint(
        weights=weights if bytes_a_number == 4 else weights * 3 // 2,  # mixed precision keeps a short copy
        gradients=weights,
        optimizer=OPTIMIZER_NUMBERS[train["optimizer"]] * weights,
        average=weights if train["ema"] else 0,
        activations=summary["activation_bytes"] * bytes_a_number // 4,
        passing=PASSING_MAPS * bytes_a_number * summary["features"][0] * voxels,
        loss=heads * LOSS_NUMBERS * 4 * outputs * voxels,
    )


def footprint_of(options: Mapping[str, Mapping[str, Any]], channels: int, outputs: int, patch: Size) -> Footprint:
    """What training with these options, nothing "auto" in `model`, takes on patches (depth, height, width)."""
    from maskmill.models import summarize_model  # PyTorch with it: the DAG layer calculates footprints without

    summary = summarize_model(options["model"], channels, outputs, patch)
    return measure_footprint(options["model"], options["train"], summary, outputs, patch)


def memory_advice(options: Mapping[str, Mapping[str, Any]], channels: int, outputs: int, available_mb: float) -> str:
    """Values of batch_size, accumulate and patch that fit into the memory available, as a text for an error.

    options: the resolved sections model and train. channels, outputs: of the network's input and logits.
    """
    train, model = options["train"], options["model"]
    batch, patch = train["batch_size"], as_size(train["patch"], model["dimensions"])
    footprint = footprint_of(options, channels, outputs, patch)
    lines = [
        f"training with batch_size {batch} and patch {_written(patch)} takes about {footprint.megabytes(batch):,} MB, "
        f"and {available_mb:,.0f} MB are available; in `train`, set one of"
    ]
    most = min(batch - 1, footprint.fitting_batch(available_mb))
    if size := next((size for size in range(most, 0, -1) if batch % size == 0), None):
        lines.append(
            f"  {{batch_size: {size}, accumulate: {train['accumulate'] * batch // size}}}: about "
            f"{footprint.megabytes(size):,} MB, with as many patches for each step of the optimiser"
        )
    smaller = _smaller_patch(options, channels, outputs, patch, available_mb)
    if smaller:
        size, kept_batch, megabytes = smaller
        lines.append(f"  {{patch: {_written(size)}, batch_size: {kept_batch}}}: about {megabytes:,} MB")
    if len(lines) == 1:
        return (
            f"{lines[0].partition('; in')[0]}; no patch is small enough: choose a smaller model.width "
            f"(now {model['width']}) or a machine with more memory"
        )
    return "\n".join(lines)


def _smaller_patch(
    options: Mapping[str, Mapping[str, Any]], channels: int, outputs: int, patch: Size, available_mb: float
) -> tuple[Size, int, int] | None:
    """The largest smaller patch that fits with the whole batch, else with two patches: itself, batch, megabytes."""
    model, batch = options["model"], options["train"]["batch_size"]
    stride = network_stride(model["dimensions"], model["depth"], model["planar"])
    for kept_batch in dict.fromkeys((batch, min(batch, 2))):
        size = _reduced(patch, stride)
        while size:
            footprint = footprint_of(options, channels, outputs, size)
            if footprint.fitting_batch(available_mb) >= kept_batch:
                return size, kept_batch, footprint.megabytes(kept_batch)
            size = _reduced(size, stride)
    return None


def _reduced(size: Size, stride: Size) -> Size | None:
    """About three quarters of every side, in steps of the stride; None below twice the stride in plane."""
    smaller = tuple(
        max(step, side * 3 // 4 // step * step) if side > 1 else 1 for side, step in zip(size, stride, strict=True)
    )
    return None if smaller == size or min(smaller[1:]) < 2 * stride[1] else smaller


def _written(size: Size) -> str:
    """As it is written in a configuration: the side of a square, or a list."""
    if size[0] == 1 and size[1] == size[2]:
        return str(size[1])
    return str(list(size[1:] if size[0] == 1 else size))
