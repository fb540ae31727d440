"""Lovász loss: a convex surrogate of 1 - IoU.

References
----------
[1] M. Berman, A. Rannen Triki, M. B. Blaschko, "The Lovász-Softmax loss: a tractable surrogate for the optimization of
    the intersection-over-union measure in neural networks", CVPR 2018.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from maskmill.classes import IGNORE
from maskmill.losses.order import descending_order, undo_order
from maskmill.losses.pixels import full_precision, group_pixels, mean_of_present, one_hot


def lovasz_loss(logits: Tensor, labels: Tensor, per_sample: bool = False) -> Tensor:
    """Lovász hinge for one logit, Lovász-softmax for several [1].

    The hinge's errors are max(0, 1 - ±logit); the softmax's are |label - probability|, for each class with background,
    and its loss is the mean over the classes that the labels show.
    """
    logits = full_precision(logits)
    reference = one_hot(labels, logits.shape[1])
    valid = group_pixels(labels != IGNORE, per_sample)
    if logits.shape[1] == 1:
        signs = reference.to(logits.dtype) * 2 - 1
        errors = group_pixels(F.relu(1 - logits * signs), per_sample)
        return _lovasz(errors, group_pixels(reference, per_sample), valid).mean()
    errors = (reference.to(logits.dtype) - torch.softmax(logits, dim=1)).abs()
    losses, present = [], []
    for of_class, mask in zip(errors.unbind(1), reference.unbind(1), strict=True):
        mask = group_pixels(mask, per_sample)
        if mask.any():
            losses.append(_lovasz(group_pixels(of_class, per_sample), mask, valid))
            present.append(mask.any(dim=1))
    if not losses:
        return (errors * 0).sum()
    return mean_of_present(torch.stack(losses, dim=1), torch.stack(present, dim=1))


def _lovasz(errors: Tensor, reference: Tensor, valid: Tensor) -> Tensor:
    """Lovász extension (G,) of the Jaccard loss at non-negative `errors` (G, P), for masks `reference` and `valid`.

    With errors in descending order, a pixel weighs what the Jaccard loss 1 - left / union gains when this pixel is
    wrong too: left is what remains of the reference, and after i pixels union = left + i. A pixel of the reference adds
    1 / union, another one left / (union · (union - 1)); written so, no digits are lost in differences of numbers close
    to 1. Where the reference is empty, the first pixel weighs 1 and the others nothing.
    """
    with torch.no_grad():
        order = descending_order(errors, valid)
        hits = torch.take_along_dim(reference, order, dim=1)
        size = reference.sum(dim=1, keepdim=True)
        left = (size - hits.cumsum(dim=1)).to(errors.dtype)
        union = left + torch.arange(1, errors.shape[1] + 1, device=errors.device)
        weights = torch.where(hits, 1 / union, left / (union * (union - 1).clamp_(min=1)))
        weights[:, :1].masked_fill_(size == 0, 1)
        weights = undo_order(weights, order)
    return (errors * weights * valid).sum(dim=1)
