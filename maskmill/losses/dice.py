"""Soft Dice loss."""

from torch import Tensor

from maskmill.classes import IGNORE
from maskmill.losses.pixels import foreground_case, full_precision, group_sums

SMOOTH = 1e-5
"""Added to both sides of the Dice fraction, so that a class absent from prediction and reference costs nothing."""


def soft_dice_loss(logits: Tensor, labels: Tensor, per_sample: bool = False) -> Tensor:
    """1 - 2|P∩G| / (|P| + |G|) with probabilities for P [1], averaged over the foreground classes.

    References
    ----------
    [1] F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016.
    """
    probabilities, reference = foreground_case(full_precision(logits), labels)
    intersection = group_sums(probabilities * reference, per_sample)
    predicted = group_sums(probabilities * (labels != IGNORE).unsqueeze(1), per_sample)
    total = predicted + group_sums(reference, per_sample)
    return (1 - (2 * intersection + SMOOTH) / (total + SMOOTH)).mean()
