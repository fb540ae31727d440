"""The moving average of a network's weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage:
    """Exponential moving average of the weights and of the statistics of batch norm.

    decay: share of the average that stays at each step. It rises to this value, as (1 + n) / (10 + n) after n steps,
    so that the first weights, which nothing was learnt in, are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._averaged = AveragedModel(network, multi_avg_fn=self._average, use_buffers=True).eval()

    @property
    def network(self) -> nn.Module:
        """The network with averaged weights, in evaluation mode."""
        return self._averaged.module

    def update(self, network: nn.Module) -> None:
        """Take the weights of `network` into the average."""
        self._averaged.update_parameters(network)

    def state_dict(self) -> dict[str, Any]:
        """The averages and their number."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._averaged.load_state_dict(state)

    def _average(self, averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        decay = min(self._decay, (1 + count.item()) / (10 + count.item()))
        if averages[0].is_floating_point():
            get_ema_multi_avg_fn(decay)(averages, weights, count)
        else:  # counters
            torch._foreach_copy_(averages, weights)
