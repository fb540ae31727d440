"""The optimiser of a training and its learning rate.

References
----------
[1] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (AdamW).
[2] L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020 (RAdam).
[3] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (cosine schedule).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from maskmill.errors import MaskmillError

WARM_UP = 0.05
"""Part of the training over which the learning rate rises to its full height."""

HALVED_AFTER = 10
"""Epochs after which the schedule "step" halves the learning rate."""


def build_optimizer(network: nn.Module, train: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The optimiser that the `train` options describe: adamw [1], radam [2], or sgd with Nesterov momentum."""
    rate, decay, momentum = train["lr"], train["weight_decay"], train["momentum"]
    match train["optimizer"]:
        case "adamw":
            return torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
        case "radam":
            return torch.optim.RAdam(network.parameters(), rate, weight_decay=decay, decoupled_weight_decay=True)
        case "sgd":
            return torch.optim.SGD(network.parameters(), rate, momentum, weight_decay=decay, nesterov=momentum > 0)
        case other:
            raise MaskmillError(f'train.optimizer is "{other}"; possible are adamw, radam, sgd')


def learning_rate(step: int, steps: int, train: Mapping[str, Any]) -> float:
    """Learning rate of a step (from 0) where an epoch has `steps` of them, after a short linear rise.

    `train.schedule`: cosine falls to 0 at the end [3], step halves the rate after 10 epochs, constant keeps it.
    """
    total = steps * train["epochs"]
    rise = min(1.0, (step + 1) / max(1, round(WARM_UP * total)))
    match train["schedule"]:
        case "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * step / total))
        case "step":
            factor = 0.5 if step >= HALVED_AFTER * steps else 1.0
        case "constant":
            factor = 1.0
        case other:
            raise MaskmillError(f'train.schedule is "{other}"; possible are cosine, step, constant')
    return train["lr"] * rise * factor
