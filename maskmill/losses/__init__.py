"""Losses for segmentation: cross-entropy, soft Dice, Lovász and boundary loss, and their weighted sum.

All take logits (N, C, *S) of any floating type and int64 labels (N, *S), where *S is (H, W) or (D, H, W) and C is 1 for
one class, else the number of classes and one for background. What is ignored (label 255) changes neither value nor
gradient. All is computed in float32, in float64 for float64 logits, under autocast too. No operation here lacks a
deterministic kernel, on any device: where the reference implementations gather or sort differentiably, constants are
computed first and multiplied in.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from maskmill.errors import MaskmillError
from maskmill.losses.boundary import boundary_loss
from maskmill.losses.cross_entropy import cross_entropy_loss
from maskmill.losses.dice import soft_dice_loss
from maskmill.losses.lovasz import lovasz_loss
from maskmill.losses.pixels import resize_labels
from maskmill.models.early_exit import GatedLogits, gate_loss

__all__ = ["SegmentationLoss", "boundary_loss", "cross_entropy_loss", "lovasz_loss", "soft_dice_loss"]


class SegmentationLoss(nn.Module):
    """Weighted sum of cross-entropy, soft Dice, Lovász and boundary loss; a weight of 0 leaves its part out.

    ohem: share of the pixels, those with the highest cross-entropy, that the cross-entropy is averaged over.
    class_weights: of the cross-entropy, background first; None weighs all classes alike.
    per_sample: take every loss for each sample by itself and average over samples, instead of pooling the batch.
    Then the mean over batches of equal size is the loss of all their samples in one batch.

    Raises MaskmillError where all weights are 0.
    """

    def __init__(
        self,
        ce: float,
        dice: float,
        lovasz: float,
        boundary: float,
        ohem: float,
        class_weights: Sequence[float] | None,
        per_sample: bool,
    ) -> None:
        super().__init__()
        self.ohem, self.class_weights, self.per_sample = ohem, class_weights, per_sample
        parts = [
            (ce, self._cross_entropy),
            (dice, soft_dice_loss),
            (lovasz, lovasz_loss),
            (boundary, boundary_loss),
        ]
        self._parts = [(weight, part) for weight, part in parts if weight]
        if not self._parts:
            raise MaskmillError("all weights of the loss are 0; give one of ce, dice, lovasz and boundary a weight")
        if class_weights is not None and not any(class_weights):
            raise MaskmillError("loss.class_weights are all 0; give a class a weight, or write null to weigh all alike")

    def _cross_entropy(self, logits: Tensor, labels: Tensor, per_sample: bool) -> Tensor:
        return cross_entropy_loss(logits, labels, self.ohem, self.class_weights, per_sample)

    def forward(self, outputs: Tensor | list[Tensor] | GatedLogits, labels: Tensor) -> Tensor:
        """Scalar loss of what a network gives in training: logits, logits of several levels, or those with gates.

        Logits of several levels, finest first, weigh 1, 1/2, 1/4, … of the sum of these [1]; each level is compared
        with the labels at its own size. The loss of the gates [2] is added as it is.

        References
        ----------
        [1] F. Isensee et al., "nnU-Net", Nature Methods 18, 2021 (deep supervision).
        [2] `maskmill.models.early_exit.gate_loss`
        """
        if isinstance(outputs, Tensor):
            return self._level(outputs, labels)
        if isinstance(outputs, GatedLogits):
            return self._levels(outputs.logits, labels) + gate_loss(outputs, labels)
        return self._levels(outputs, labels)

    def _levels(self, levels: list[Tensor], labels: Tensor) -> Tensor:
        weights = [0.5**level for level in range(len(levels))]
        losses = [self._level(logits, resize_labels(labels, logits.shape[2:])) for logits in levels]
        return sum(weight * loss for weight, loss in zip(weights, losses, strict=True)) / sum(weights)

    def _level(self, logits: Tensor, labels: Tensor) -> Tensor:
        return sum(weight * part(logits, labels, per_sample=self.per_sample) for weight, part in self._parts)
