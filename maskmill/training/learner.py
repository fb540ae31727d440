"""The network in training, and everything else that a step of the optimiser changes."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from maskmill.losses import SegmentationLoss
from maskmill.training.average import MovingAverage
from maskmill.training.job import Job
from maskmill.training.optimization import build_optimizer


class Learner:
    """Network, optimiser, scaler of the gradients and moving average of the weights of a job.

    Its random numbers are torch's own, which it seeds.
    """

    def __init__(self, job: Job, fabric: Fabric) -> None:
        train = job.train
        torch.manual_seed(job.seed)
        self.network = job.build_network()
        self.memory_format = memory_format(job.options["model"])
        self.network.to(memory_format=self.memory_format)
        self._fabric = fabric
        self._clip = train["clip"]
        self._trained, self._optimizer = fabric.setup(
            torch.compile(self.network) if train["compile"] else self.network, build_optimizer(self.network, train)
        )
        self._average = MovingAverage(self.network, train["ema"]) if train["ema"] else None
        self.loss = SegmentationLoss(**job.options["loss"])

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept: the averaged one where there is an average."""
        return self._average.network if self._average else self.network

    def train(self) -> None:
        """Let the network learn; validation puts it into evaluation mode."""
        self._trained.train()

    def learn(self, images: Tensor, labels: Tensor, share: float, ends_step: bool) -> Tensor:
        """Add the gradient of a batch's loss, times `share`; returns the loss (scalar, without a gradient).

        ends_step: this is the last batch before `step`, when the processes that train together add theirs up.
        """
        with self._fabric.no_backward_sync(self._trained, enabled=not ends_step):
            loss = self.loss(self._trained(images.contiguous(memory_format=self.memory_format)), labels)
            self._fabric.backward(loss * share)
        return loss.detach()

    def step(self, rate: float) -> None:
        """Change the weights by the gradients that `learn` gathered."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if self._clip:
            self._fabric.clip_gradients(self._trained, self._optimizer, max_norm=self._clip, error_if_nonfinite=False)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._average:
            self._average.update(self.network)

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """Logits, 32 bits, of the network that is kept; it is left in evaluation mode."""
        with self._fabric.autocast():
            return self.kept.eval()(images.contiguous(memory_format=self.memory_format)).float()

    def share_statistics(self) -> None:
        """Give every process the first one's statistics of batch norm, which the others gathered from other patches."""
        if self._fabric.world_size > 1:
            for buffer in self.kept.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def weights(self) -> dict[str, Tensor]:
        """A copy, on the CPU, of what is kept."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.kept.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._fabric.strategy.precision.state_dict(),
            "average": self._average.state_dict() if self._average else None,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state() if self._fabric.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._fabric.strategy.precision.load_state_dict(state["scaler"])
        if self._average:
            self._average.load_state_dict(state["average"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] is not None:
            torch.cuda.set_rng_state(state["random_cuda"])


def memory_format(model: Mapping[str, Any]) -> torch.memory_format:
    """How images and weights lie in memory: channels last with batch norm, else channels first.

    Measured on a CPU with AVX-512 (steps a second, last against first; 2D and 3D, 32 bits and bf16): batch norm 1.0 to
    1.3 times, group norm 0.9 to 1.1, instance norm, which has no kernel for it, 0.7 to 1.0.
    """
    if model["norm"] != "batch":
        return torch.contiguous_format
    return torch.channels_last if model["dimensions"] == 2 else torch.channels_last_3d
