"""Losses for segmentation, all from logits (N, 1 or K + 1, H, W) and int64 labels (N, H, W); label 255 is left out.

Sums run over the whole batch. No operation here lacks a deterministic kernel, on any device: where the reference
implementations gather or sort differentiably, constants are computed first and multiplied in.

References
----------
[1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016 (soft Dice).
[2] M. Berman, A. Rannen Triki, M. B. Blaschko, "The Lovász-Softmax loss", CVPR 2018.
[3] A. Shrivastava, A. Gupta, R. Girshick, "Training Region-based Object Detectors with Online Hard Example Mining",
    CVPR 2016.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskmill.classes import IGNORE
from maskmill.errors import MaskmillError

SMOOTH = 1e-5
"""Added to both sides of the Dice fraction, so that a class absent from prediction and reference costs nothing."""


class SegmentationLoss(nn.Module):
    """Weighted sum of cross-entropy, soft Dice and Lovász loss; a weight of 0 leaves its part out.

    ohem: share of the pixels, those with the highest cross-entropy, that the cross-entropy is averaged over.
    """

    def __init__(self, ce: float, dice: float, lovasz: float, ohem: float) -> None:
        super().__init__()
        self.ohem = ohem
        self._parts = [
            (weight, part)
            for weight, part in [(ce, self._cross_entropy), (dice, soft_dice_loss), (lovasz, lovasz_loss)]
            if weight
        ]
        if not self._parts:
            raise MaskmillError("all weights of the loss are 0; give at least one of ce, dice and lovasz a weight")

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy_loss(logits, labels, self.ohem)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scalar loss."""
        return sum(weight * part(logits, labels) for weight, part in self._parts)


def cross_entropy_loss(logits: Tensor, labels: Tensor, ohem: float = 1) -> Tensor:
    """Mean cross-entropy (binary for one logit) of the share `ohem` of the pixels that have most of it [3]."""
    valid = labels != IGNORE
    if logits.shape[1] == 1:
        target = (labels.unsqueeze(1) == 1).to(logits.dtype)
        losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none").squeeze(1)
    else:
        losses = -(one_hot(labels, logits) * torch.log_softmax(logits, dim=1)).sum(dim=1)
    kept = valid if ohem == 1 else _hardest(losses.detach(), valid, ohem)
    return (losses * kept).sum() / kept.sum().clamp(min=1)


def _hardest(losses: Tensor, valid: Tensor, share: float) -> Tensor:
    """Mask of the valid pixels with the highest losses, `share` of them, rounded up."""
    count = math.ceil(share * int(valid.sum()))
    places = losses.masked_fill(~valid, -1).flatten().topk(count).indices
    kept = torch.zeros_like(valid).flatten()
    kept[places] = True
    return kept.view_as(valid)


def soft_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - 2|P∩G| / (|P| + |G|) with probabilities for P [1], averaged over the foreground classes."""
    probabilities, reference = _foreground(logits, labels)
    intersection = (probabilities * reference).sum(dim=(0, 2, 3))
    total = (probabilities + reference).sum(dim=(0, 2, 3))
    return (1 - (2 * intersection + SMOOTH) / (total + SMOOTH)).mean()


def _foreground(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and references of the foreground classes (N, K, H, W), both zero where labels are ignored."""
    valid = (labels != IGNORE).unsqueeze(1)
    if logits.shape[1] == 1:
        return torch.sigmoid(logits) * valid, (labels.unsqueeze(1) == 1).to(logits.dtype)
    return torch.softmax(logits, dim=1)[:, 1:] * valid, one_hot(labels, logits)[:, 1:]


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """Labels (N, H, W) as 0 and 1 in the shape and type of `logits` (N, C, H, W); all 0 where labels are ignored."""
    values = torch.arange(logits.shape[1], device=labels.device).view(1, -1, 1, 1)
    return (labels.unsqueeze(1) == values).to(logits.dtype)


def lovasz_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Surrogate of 1 - IoU [2]: Lovász hinge for one logit, Lovász-softmax over the present classes for several."""
    valid = (labels != IGNORE).flatten()
    if logits.shape[1] == 1:
        signs = (labels.flatten() == 1).to(logits.dtype) * 2 - 1
        return _lovasz(F.relu(1 - logits.flatten() * signs), signs > 0, valid)
    reference = one_hot(labels, logits).transpose(0, 1).flatten(1)
    errors = (reference - torch.softmax(logits, dim=1).transpose(0, 1).flatten(1)).abs()
    losses = torch.stack(
        [_lovasz(error, of_class > 0, valid) for error, of_class in zip(errors, reference, strict=True)]
    )
    present = reference.sum(dim=1) > 0
    return (losses * present).sum() / present.sum().clamp(min=1)


def _lovasz(errors: Tensor, reference: Tensor, valid: Tensor) -> Tensor:
    """Lovász extension of the Jaccard loss at non-negative `errors` (P,), for a boolean `reference` (P,)."""
    with torch.no_grad():
        order = errors.masked_fill(~valid, -1).argsort(descending=True, stable=True)
        hits = (reference & valid)[order].long()
        others = (~reference & valid)[order].long()
        union = hits.sum() + others.cumsum(0)
        jaccard = 1 - (hits.sum() - hits.cumsum(0)) / union.clamp(min=1)
        jaccard[1:] -= jaccard[:-1].clone()
        weights = torch.empty_like(errors)
        weights[order] = jaccard.to(errors.dtype)
    return (errors * weights * valid).sum()
