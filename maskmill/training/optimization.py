"""The optimiser of a training and its learning rate.

References
----------
[1] I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (AdamW).
[2] L. Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020 (RAdam).
[3] I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017 (cosine schedule).
[4] L.-C. Chen et al., "DeepLab", IEEE TPAMI 40 (2018) (poly schedule, power 0.9).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from maskmill.errors import MaskmillError

POWER = 0.9
"""Of the schedule "poly"."""


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
    """Learning rate of a step (from 0) where an epoch has `steps` of them.

    `train.schedule`: cosine [3] and poly [4] fall to 0 at the end, step multiplies the rate by `step_factor` after each
    of the `step_epochs`, constant keeps it. All rise linearly over the first `warm_up` of the training.
    """
    total = steps * train["epochs"]
    rise = min(1.0, (step + 1) / max(1, round(train["warm_up"] * total)))
    match train["schedule"]:
        case "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * step / total))
        case "poly":
            factor = (1 - step / total) ** POWER
        case "step":
            factor = train["step_factor"] ** sum(step >= epoch * steps for epoch in train["step_epochs"])
        case "constant":
            factor = 1.0
        case other:
            raise MaskmillError(f'train.schedule is "{other}"; possible are cosine, poly, step, constant')
    return train["lr"] * rise * factor
