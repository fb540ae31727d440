"""Cross-entropy, with weights of classes and mining of hard pixels."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from maskmill.classes import IGNORE
from maskmill.errors import MaskmillError
from maskmill.losses.order import descending_order, undo_order
from maskmill.losses.pixels import full_precision, group_pixels, one_hot


def cross_entropy_loss(
    logits: Tensor,
    labels: Tensor,
    ohem: float = 1,
    class_weights: Sequence[float] | None = None,
    per_sample: bool = False,
) -> Tensor:
    """Mean cross-entropy (binary for one logit) of the share `ohem` of the pixels that have most of it [1].

    With class weights, a weight for background first, the pixels' cross-entropy is multiplied by the weight of their
    class and the sum is divided by the sum of these weights, as in `torch.nn.CrossEntropyLoss`; which pixels are hard
    is told by the weighted cross-entropy.

    Raises MaskmillError where the number of weights is not that of the classes with background.

    References
    ----------
    [1] A. Shrivastava, A. Gupta, R. Girshick, "Training Region-based Object Detectors with Online Hard Example
        Mining", CVPR 2016.
    """
    logits = full_precision(logits)
    reference = one_hot(labels, logits.shape[1])
    if logits.shape[1] == 1:
        losses = F.binary_cross_entropy_with_logits(logits, reference.to(logits.dtype), reduction="none").squeeze(1)
    else:
        losses = -(reference * torch.log_softmax(logits, dim=1)).sum(dim=1)
    weights = group_pixels(_pixel_weights(logits, labels, class_weights), per_sample)
    losses = group_pixels(losses, per_sample) * weights
    if ohem < 1:
        hard = _hardest(losses.detach(), group_pixels(labels != IGNORE, per_sample), ohem)
        losses, weights = losses * hard, weights * hard
    return (losses.sum(dim=1) / weights.sum(dim=1).clamp(min=torch.finfo(weights.dtype).tiny)).mean()


def _pixel_weights(logits: Tensor, labels: Tensor, class_weights: Sequence[float] | None) -> Tensor:
    """Weight (N, *S) of each pixel, 0 where labels are ignored."""
    valid = (labels != IGNORE).to(logits.dtype)
    if class_weights is None:
        return valid
    values = max(2, logits.shape[1])
    if len(class_weights) != values:
        raise MaskmillError(
            f"loss.class_weights has {len(class_weights)} weights for background and {values - 1} classes; "
            f"give {values}, that of background first"
        )
    return logits.new_tensor(class_weights)[labels.clamp(max=values - 1)] * valid


def _hardest(losses: Tensor, valid: Tensor, share: float) -> Tensor:
    """Mask (G, P) of each row's valid pixels with the highest losses, `share` of them, rounded up."""
    counts = [math.ceil(share * count) for count in valid.sum(dim=1).tolist()]
    places = torch.arange(losses.shape[1], device=losses.device)
    return undo_order(places < torch.tensor(counts, device=losses.device).unsqueeze(1), descending_order(losses, valid))
