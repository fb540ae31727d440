"""How far two masks of one picture are apart, measured against its labels, and a picture of where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.imaging.overlay import blend_mask
from maskmill.inference.sliding_window import LEVELS
from maskmill.metrics.overlap import confusion
from maskmill.metrics.surface import surface_distances

MEASURES = ("probability_difference", "mask_disagreement", "iou_difference", "dice_difference", "hd95_difference")
"""What is compared: fields of `Agreement`, and of its classes."""


class ClassScores(NamedTuple):
    """Of one class in one picture: IoU, Dice (None where both masks are empty), HD95 (None where either is)."""

    iou: float | None
    dice: float | None
    hd95: float | None


Scores = list[ClassScores]


@dataclass(frozen=True)
class Agreement:
    """Of one picture: largest difference of a probability, share of pixels whose class differs, differences by class.

    classes: name → {"iou_difference", "dice_difference", "hd95_difference"}, absolute; None where either mask has no
    such score, as where the labels have none of the class: what is found there counts in `mask_disagreement`.
    """

    id: str
    probability_difference: float
    mask_disagreement: float
    classes: dict[str, dict[str, float | None]]

    def largest(self, measure: str) -> tuple[float | None, str | None]:
        """The value of one of `MEASURES`, and the class that has it, if it is one of classes."""
        if not measure.endswith(("iou_difference", "dice_difference", "hd95_difference")):
            return getattr(self, measure), None
        defined = [(values[measure], name) for name, values in self.classes.items() if values[measure] is not None]
        return max(defined, key=lambda pair: pair[0]) if defined else (None, None)


def score(mask: np.ndarray, truth: np.ndarray, classes: int, spacing: Sequence[float] | None) -> Scores:
    """Scores of each class of a mask against its labels, (D, H, W) class indices; spacing: see `surface_distances`."""
    if len(truth) == 1:
        mask, truth = mask[0], truth[0]
    valid = truth != IGNORE
    scores = []
    for value in range(1, classes + 1):
        predicted, referred = (mask == value) & valid, truth == value
        counts = confusion(predicted, referred, valid)
        both = predicted.any() and referred.any()
        hd95 = surface_distances(predicted, referred, spacing=spacing).hd95() if both else None
        scores.append(ClassScores(counts.iou, counts.dice, hd95))
    return scores


def compare(
    name: str,
    probabilities: tuple[np.ndarray, np.ndarray],
    masks: tuple[np.ndarray, np.ndarray],
    valid: np.ndarray,
    scores: tuple[Scores, Scores],
    classes: Sequence[str],
) -> Agreement:
    """The agreement of two ways of one picture: uint8 probabilities (K, D, H, W), masks (D, H, W), scores by class.

    valid: pixels that count in the share of those that differ.
    """
    gap = int((np.maximum(*probabilities) - np.minimum(*probabilities)).max()) / LEVELS
    differing = np.count_nonzero((masks[0] != masks[1]) & valid) / valid.size
    by_class = {
        one: {f"{score}_difference": _gap(getattr(a, score), getattr(b, score)) for score in ClassScores._fields}
        for one, a, b in zip(classes, *scores, strict=True)
    }
    return Agreement(name, gap, differing, by_class)


def _gap(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else abs(first - second)


def draw_difference(image: np.ndarray, masks: tuple[np.ndarray, np.ndarray], classes: Classes) -> np.ndarray:
    """PyTorch's mask, the export's, and where they differ (white), side by side: uint8 (H, 3W + 16, 3).

    Of a volume (D, H, W, C), the slice in which most pixels differ, the one with most classes among equals.
    """
    differing = (masks[0] != masks[1]).sum(axis=(1, 2))
    areas = (masks[0] != BACKGROUND).sum(axis=(1, 2))
    number = int(np.lexsort((areas, differing))[-1])
    panels = [blend_mask(image[number], mask[number], classes) for mask in masks]
    differ = np.repeat(((masks[0][number] != masks[1][number]) * np.uint8(255))[..., None], 3, axis=2)
    gap = np.full((len(differ), 8, 3), 255, np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, differ], axis=1)
