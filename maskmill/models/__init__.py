"""Networks by name, and their weights as files.

An architecture is a class that takes (channels, outputs, **options) and has `dimensions` and `stride`, entered in
ARCHITECTURES.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from maskmill.errors import MaskmillError
from maskmill.files import METADATA, atomic_path
from maskmill.models.blocks import choose
from maskmill.models.early_exit import EarlyExitUNet
from maskmill.models.summary import receptive_reach, summarize
from maskmill.models.unet import UNet
from maskmill.sizes import Size

ARCHITECTURES = {"unet": UNet, "early_exit_unet": EarlyExitUNet}


def output_channels(classes: int) -> int:
    """Logits for this many foreground classes: one for a single class, else one for each and one for background."""
    return 1 if classes == 1 else classes + 1


def build_model(options: Mapping[str, Any], channels: int, outputs: int) -> nn.Module:
    """The network that the `model` options describe: normalised (N, channels, …) -> logits (N, outputs, …).

    … is H, W or D, H, W as its attribute `dimensions` is 2 or 3; `stride` is what (depth, height, width) must be
    multiples of. Raises MaskmillError for an unknown choice.
    """
    options = dict(options)
    architecture = choose(ARCHITECTURES, options.pop("architecture"), "model.architecture")
    return architecture(channels, outputs, **options)


def summarize_model(options: Mapping[str, Any], channels: int, outputs: int, patch: Sequence[int]) -> dict[str, Any]:
    """Parameters, multiply-accumulates and more of the network that the `model` options describe, see `summarize`.

    `patch` is (depth, height, width), of depth 1 for a network of two dimensions. Takes no memory and no random number.
    """
    with torch.device("meta"):
        return summarize(build_model(options, channels, outputs), channels, patch)


def exact_halo(options: Mapping[str, Any]) -> Size:
    """How far, (depth, height, width), the network that the `model` options describe sees from a pixel to each side.

    Rounded up to multiples of its stride, so that tiles which overlap by twice as much lie in its grid. Raises
    MaskmillError where it sees the whole tile, so that what it gives depends on the tile anyway.
    """
    wide = {"architecture": "early_exit_unet", "attention": "cbam"}
    reasons = [f"model.{name} {value}" for name, value in wide.items() if options[name] == value]
    reasons += [f"model.norm {options['norm']}"] if options["norm"] != "batch" else []
    if reasons:
        raise MaskmillError(
            f"predict.overlap is exact, but with {' and '.join(reasons)} the network looks at a tile as a whole; "
            "give a share such as 0.2, or train with model.norm batch, without attention and early exits"
        )
    with torch.device("meta"):
        model = build_model(options, 1, 1)
    depth, height, width = (
        -(-reach // step) * step for reach, step in zip(receptive_reach(model), model.stride, strict=True)
    )
    return depth, height, width


def foreground_probabilities(logits: Tensor) -> Tensor:
    """Probabilities in [0, 1] of the foreground classes: logits (N, 1 or K + 1, …) -> (N, K, …).

    One logit is the log-odds of the only class (sigmoid); several are softmax logits with the background first.
    """
    if logits.shape[1] == 1:
        return torch.sigmoid(logits)
    return torch.softmax(logits, dim=1)[:, 1:]


def save_model(path: str | os.PathLike, model: nn.Module, metadata: Mapping[str, Any]) -> None:
    """Write the weights, with {"run_id", "model", "channels", "classes"} as metadata, as a safetensors file.

    Equal weights and metadata give equal bytes.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as aside:
        save_file(weights, aside, metadata={METADATA: json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False)})


def load_model(path: str | os.PathLike) -> tuple[nn.Module, dict[str, Any]]:
    """The network of a file that `save_model` wrote, in evaluation mode on the CPU, and its metadata.

    Raises MaskmillError where the file is something else.
    """
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(METADATA)
        if text is None:
            raise MaskmillError(f"{path} holds weights, but not of a Maskmill model; give a model.safetensors of a run")
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    metadata = json.loads(text)
    model = build_model(metadata["model"], metadata["channels"], output_channels(len(metadata["classes"])))
    model.load_state_dict(weights)
    return model.eval(), metadata
