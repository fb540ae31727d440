"""What the losses share: masks of the classes, groups of pixels and means over them, labels of another size."""

from collections.abc import Sequence

import torch
from torch import Tensor


def full_precision(logits: Tensor) -> Tensor:
    """Logits in float32, float64 ones as they are."""
    return logits if logits.dtype == torch.float64 else logits.float()


def one_hot(labels: Tensor, outputs: int) -> Tensor:
    """Labels (N, *S) as a mask (N, outputs, *S) for each value from 0 on; all False where labels are ignored.

    For one output the mask is that of the value 1.
    """
    values = torch.arange(outputs, device=labels.device) if outputs > 1 else torch.ones(1, device=labels.device)
    return labels.unsqueeze(1) == values.view(1, -1, *[1] * (labels.dim() - 1))


def foreground_case(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities and masks (N, K, *S) of the foreground classes."""
    reference = one_hot(labels, logits.shape[1])
    if logits.shape[1] == 1:
        return torch.sigmoid(logits), reference
    return torch.softmax(logits, dim=1)[:, 1:], reference[:, 1:]


def group_pixels(values: Tensor, per_sample: bool) -> Tensor:
    """Values (N, *S) as (N, P), or as (1, P), all samples together."""
    return values.flatten(1) if per_sample else values.reshape(1, -1)


def group_sums(values: Tensor, per_sample: bool) -> Tensor:
    """Sums of `values` (N, K, *S) over pixels: (N, K), or (1, K), over all samples together."""
    sums = values.flatten(2).sum(dim=2)
    return sums if per_sample else sums.sum(dim=0, keepdim=True)


def mean_of_present(losses: Tensor, present: Tensor) -> Tensor:
    """Mean over groups of the mean over the classes that are present in each; losses and mask (G, K).

    A group that shows no class counts as 0.
    """
    return ((losses * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)).mean()


def resize_labels(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Labels (N, *S) at another size by nearest neighbour: the value at the centre of each larger pixel."""
    for axis, (old, new) in enumerate(zip(labels.shape[1:], size, strict=True), 1):
        if old != new:
            centres = (2 * torch.arange(new, device=labels.device) + 1) * old // (2 * new)
            labels = labels.index_select(axis, centres)
    return labels
