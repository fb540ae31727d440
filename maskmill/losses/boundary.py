"""Boundary loss: how well the soft edges of the probabilities match the Canny edges of the labels.

References
----------
[1] A. Bokhovkin, E. Burnaev, "Boundary Loss for Remote Sensing Imagery Semantic Segmentation", ISNN 2019.
[2] J. Canny, "A Computational Approach to Edge Detection", IEEE TPAMI 8(6), 1986.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from maskmill.classes import IGNORE
from maskmill.losses.pixels import foreground_case, full_precision, group_sums, mean_of_present

SMOOTH = 1e-5
"""Added to both sides of the precision, so that it is defined where the prediction shows no edge at all."""

THRESHOLDS = (100, 200)
"""Of Canny's gradient magnitude, on masks of 0 and 255: any step exceeds both."""

BOX = np.ones((3, 3), np.uint8)
REACH = np.ones((5, 5), np.uint8)
"""Pixels that decide on an edge at the centre: the gradient takes in neighbours, its maximum their neighbours."""

NEAR, EDGE, UNKNOWN = 1, 2, 3


def boundary_loss(logits: Tensor, labels: Tensor, per_sample: bool = False) -> Tensor:
    """1 - 2PR / (P + R), the boundary F1 [1] of soft edges, averaged over the foreground classes whose edges show.

    The soft edge M of a class is the morphological gradient of its probability p, max p - min p over 3 × 3 pixels; the
    edge E of its label mask is Canny's [2], and the band B around E is where a predicted edge is in its place: within a
    pixel of E, or beside a step of the mask that Canny dropped (at corners, between lines a pixel wide).

        P = Σ M·B / Σ M        R = Σ M·E / Σ E

    Volumes are taken slice by slice, sums over all slices. Pixels within two of an ignored one are left out. E lies
    where the mask's own gradient is 1, so a perfect prediction costs nothing, whatever the mask's shape.
    """
    probabilities, reference = foreground_case(full_precision(logits), labels)
    drawn = torch.from_numpy(_draw_edges(reference, labels)).to(logits.device)
    edges, band, counted = drawn == EDGE, (drawn == EDGE) | (drawn == NEAR), drawn != UNKNOWN
    soft = _soft_edges(probabilities) * counted
    length = group_sums(edges, per_sample)
    precision = (group_sums(soft * band, per_sample) + SMOOTH) / (group_sums(soft, per_sample) + SMOOTH)
    recall = group_sums(soft * edges, per_sample) / length.clamp(min=1)
    return mean_of_present(1 - 2 * precision * recall / (precision + recall), length > 0)


def _soft_edges(values: Tensor) -> Tensor:
    """Largest minus smallest value of the 3 × 3 pixels around each; values (…, H, W) between 0 and 1."""
    return _largest_around(values) + _largest_around(-values)


def _largest_around(values: Tensor) -> Tensor:
    """Largest of the 3 × 3 `values` (…, H, W), all at least -1, around each; pooling has no deterministic gradient."""
    rows = F.pad(values, (0, 0, 1, 1), value=-1)
    values = _larger(_larger(rows[..., :-2, :], rows[..., 2:, :]), values)
    columns = F.pad(values, (1, 1), value=-1)
    return _larger(_larger(columns[..., :-2], columns[..., 2:]), values)


def _larger(first: Tensor, second: Tensor) -> Tensor:
    """torch.maximum with a gradient that costs less, because it is not shared among equals."""
    return torch.where(first > second, first, second)


def _draw_edges(reference: Tensor, labels: Tensor) -> np.ndarray:
    """EDGE, NEAR, UNKNOWN or 0 for every pixel of the masks (N, K, *S); uint8, on the CPU."""
    masks = reference.cpu().numpy().view(np.uint8)
    ignored = (labels == IGNORE).unsqueeze(1).cpu().numpy().view(np.uint8)
    drawn = np.zeros(masks.shape, np.uint8)
    for place in np.ndindex(masks.shape[:2] + masks.shape[2:-2]):
        if masks[place].any():
            drawn[place] = _draw_edge(masks[place])
    for place in np.ndindex(ignored.shape[:-2]):
        if ignored[place].any():
            sample, _, *plane = place
            drawn[(sample, slice(None), *plane)][:, cv2.dilate(ignored[place], REACH) > 0] = UNKNOWN
    return drawn


def _draw_edge(mask: np.ndarray) -> np.ndarray:
    """EDGE, NEAR or 0 for every pixel of a mask (H, W) of 0 and 1."""
    edge = cv2.Canny(mask * 255, *THRESHOLDS) // 255
    near = cv2.dilate(edge, BOX) | (cv2.dilate(mask, BOX) - cv2.erode(mask, BOX))
    return near + edge
