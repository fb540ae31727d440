"""A U-Net that chooses its depth from the input: its decoder goes no finer than a picture needs.

Where a picture shows nothing, or only large smooth things, the mask that a coarse level of the decoder gives is as good
as the finest, and the finest levels cost the most time. Each level but the finest therefore has an exit: a head that
gives logits, and a gate that says whether they are good enough. The idea is that of BranchyNet [1], whose exits go by
the entropy of the answer, with gates that learn to decide as in SkipNet [2]: here supervised, by what the exit's mask
was worth. The heads are those of deep supervision, so that every exit is trained on every picture.

References
----------
[1] S. Teerapittayanon, B. McDanel, H. T. Kung, "BranchyNet: Fast Inference via Early Exiting from Deep Neural
    Networks", ICPR 2016.
[2] X. Wang, F. Yu, Z.-Y. Dou, T. Darrell, J. E. Gonzalez, "SkipNet: Learning Dynamic Routing in Convolutional
    Networks", ECCV 2018.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskmill.classes import IGNORE
from maskmill.models.unet import UNet

TOLERANCE = 0.01
"""An exit is good enough where the Dice of its mask is at most so much below that of the finest level."""

WRONG_EXIT = 4.0
"""A wrong exit costs accuracy, a missed one only time: it weighs more, and a gate says yes where it is 80 % sure."""

RELUCTANCE = -2.0
"""What a gate says before it is trained: log-odds of leaving, 12 %, so that nothing leaves."""


class GatedLogits(NamedTuple):
    """What an early-exit network gives while training.

    logits: of all exits, finest first, (N, outputs, …), each half the size of the one before.
    gates: log-odds (N,) that an exit is good enough, of all exits but the finest: `gates[i]` speaks of `logits[i + 1]`.
    """

    logits: list[Tensor]
    gates: list[Tensor]


def describe(features: Tensor) -> Tensor:
    """Mean and maximum of each channel over all places, each kind normalised: (N, C, …) -> (N, 2C).

    Detached: what decides by it learns from the network, which does not learn from the decision.
    """
    places = features.detach().flatten(2)
    pooled = places.mean(dim=2), places.amax(dim=2)
    return torch.cat([F.layer_norm(of_kind, of_kind.shape[1:]) for of_kind in pooled], dim=1)


class Gate(nn.Sequential):
    """From descriptions (N, inputs) to the log-odds (N, 1) that the mask drawn from a level is good enough."""

    def __init__(self, inputs: int, hidden: int = 32) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 1))
        nn.init.constant_(self[-1].bias, RELUCTANCE)


class EarlyExitUNet(UNet):
    """A U-Net each of whose levels, the deepest of the encoder included, is an exit. Options as of `UNet`.

    All exits are trained, whatever `deep_supervision` says. In evaluation each sample leaves by itself, at the coarsest
    exit whose gate says so; its logits are interpolated to the full size. Nothing depends on the rest of the batch.
    """

    def _add_heads(self, outputs: int) -> None:
        exits = zip(self.layers, self.widths, strict=True)
        self.heads = nn.ModuleList(layers.conv(width, outputs, 1) for layers, width in exits)
        deepest = 2 * self.widths[-1]
        self.gates = nn.ModuleList([*(Gate(2 * width + deepest) for width in self.widths[1:-1]), Gate(deepest)])

    def forward(self, images: Tensor) -> Tensor | GatedLogits:
        """Normalised float (N, channels, …) -> logits (N, outputs, …) of the full size; while training, of all exits.

        In an exported graph the finer levels are skipped when all samples of the batch have left.
        """
        if self.training:
            return self._all_exits(images)
        if torch.compiler.is_exporting():
            return self._exit_in_graph(images)
        return self.exit_early(images)[0]

    def _all_exits(self, images: Tensor) -> GatedLogits:
        features = self.encode(images)
        deepest = describe(features[-1])
        for level in reversed(range(self.depth)):
            features[level] = self.decode(level, features[level + 1], features[level])
        return GatedLogits(
            [head(of_level) for head, of_level in zip(self.heads, features, strict=True)],
            [self._ask(level, features[level], deepest) for level in range(1, self.depth + 1)],
        )

    def _ask(self, level: int, features: Tensor, deepest: Tensor) -> Tensor:
        """Log-odds (N,) that the mask drawn from a level is good enough.

        The gate sees the description of the encoder's deepest features too: coarse levels of the decoder forget what
        they cannot draw.
        """
        seen = deepest if level == self.depth else torch.cat([describe(features), deepest], dim=1)
        return self.gates[level - 1](seen).squeeze(1)

    def exit_early(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, outputs, …), and the level (N,) at which each sample left, 0 for the finest."""
        *skips, features = self.encode(images)
        deepest = describe(features)
        places = torch.arange(len(images), device=images.device)  # in the batch, of the samples that have not left
        levels = torch.zeros_like(places)
        logits = None
        for level in reversed(range(self.depth + 1)):
            if level < self.depth:
                features = self.decode(level, features, skips[level])
            leaves = self._ask(level, features, deepest) > 0 if level else torch.ones_like(places, dtype=torch.bool)
            if not leaves.any():
                continue
            own = self._full_size(level, features[leaves])
            logits = own.new_empty(len(images), *own.shape[1:]) if logits is None else logits
            logits[places[leaves]], levels[places[leaves]] = own, level
            if leaves.all():
                break
            places, features, deepest = places[~leaves], features[~leaves], deepest[~leaves]
            skips = [skip[~leaves] for skip in skips[:level]]
        return logits, levels

    def _exit_in_graph(self, images: Tensor) -> Tensor:
        """Logits as of `exit_early`, by one condition a level, which `torch.export` can follow."""
        *skips, features = self.encode(images)
        deepest = describe(features)
        logits = self._full_size(self.depth, features)
        left = self._ask(self.depth, features, deepest) > 0
        for level in reversed(range(self.depth)):
            sizes = skips[level].shape, logits.shape
            given = (features, logits, left, skips[level], deepest)
            features, logits, left = torch.cond(left.all(), _stay, partial(self._refine, level), given)
            features, logits = (flat.view(size) for flat, size in zip((features, logits), sizes, strict=True))
        return logits

    def _refine(
        self, level: int, features: Tensor, logits: Tensor, left: Tensor, skip: Tensor, deepest: Tensor
    ) -> tuple[Tensor, ...]:
        """Features and logits of a level, and which samples (N,) have left then; those that had keep their logits."""
        features = self.decode(level, features, skip)
        logits = torch.where(left.view(-1, *[1] * (1 + self.dimensions)), logits, self._full_size(level, features))
        if level:
            left = left | (self._ask(level, features, deepest) > 0)
        return features.flatten(), logits.flatten(), left.clone()

    def _full_size(self, level: int, features: Tensor) -> Tensor:
        """Logits of an exit, interpolated to the size of the picture."""
        logits = self.heads[level](features)
        if level == 0:
            return logits
        above = self.layers[:level]
        scale = [float(2 ** sum(not layers.planar for layers in above))] * (self.dimensions == 3)
        return F.interpolate(
            logits, scale_factor=[*scale, 2.0**level, 2.0**level], mode=self.layers[0].torch.interpolation
        )


def _stay(features: Tensor, logits: Tensor, left: Tensor, skip: Tensor, deepest: Tensor) -> tuple[Tensor, ...]:
    """What `_refine` gives where nobody asks: tensors in one row, since both branches must have the same layout."""
    return torch.zeros_like(skip).flatten(), logits.flatten().clone(), left.clone()


def gate_loss(outputs: GatedLogits, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of the gates, scalar; labels (N, …) int64 of the full size, 255 left out.

    A gate should say yes to a sample where the exit's mask (class of the highest logit, above 0 where there is one)
    has a Dice at most `TOLERANCE` below that of the finest exit; where it should not, its loss weighs `WRONG_EXIT`.
    No gradient reaches anything but the gates.
    """
    with torch.no_grad():
        finest, *coarser = (mask_dice(logits, labels) for logits in outputs.logits)
        good_enough = torch.stack([dice >= finest - TOLERANCE for dice in coarser])
        weights = torch.where(good_enough, 1.0, WRONG_EXIT)
    gates = torch.stack(outputs.gates).float()
    return F.binary_cross_entropy_with_logits(gates, good_enough.float(), weights)


def mask_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice (N,) of each sample's mask: logits (N, 1 or K + 1, …) of any size, interpolated to labels (N, …).

    The mean over the foreground classes that the mask or the labels show; 1 where neither shows any.
    """
    if logits.shape[2:] != labels.shape[1:]:
        mode: Any = {3: "bilinear", 4: "trilinear"}[labels.ndim]
        logits = F.interpolate(logits.float(), size=labels.shape[1:], mode=mode)
    mask = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
    mask = mask.where(labels != IGNORE, 0).flatten(1)
    labels = labels.where(labels != IGNORE, 0).flatten(1)
    classes = torch.arange(1, max(logits.shape[1], 2), device=labels.device).view(-1, 1, 1)
    both = ((mask == classes) & (labels == classes)).sum(dim=2)
    either = (mask == classes).sum(dim=2) + (labels == classes).sum(dim=2)
    dice = (2 * both / either.clamp(min=1)).sum(dim=0)
    shown = (either > 0).sum(dim=0)
    return torch.where(shown > 0, dice / shown.clamp(min=1), 1.0)
