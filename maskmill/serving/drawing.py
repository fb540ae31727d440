"""What the page shows of a picture: scaled for a screen, with its mask, with its entropy; RGB uint8 (h, w, 3)."""

import numpy as np

from maskmill.classes import Classes
from maskmill.imaging.overlay import blend_mask, display_image
from maskmill.imaging.resampling import resize_image, resize_labels
from maskmill.inference.entropy import draw_entropy
from maskmill.report.pictures import colour_entropy

LONG_SIDE = 1400
"""Longest side of what is shown: Streamlit sends nothing wider than 1460 pixels."""

SHORT_SIDE = 512
"""Pictures with a shorter long side are enlarged by a whole factor first, so that outlines stay thin."""


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width that a picture of a size is shown at."""
    longest = max(height, width)
    factor = LONG_SIDE / longest if longest > LONG_SIDE else max(1, SHORT_SIDE // longest)
    return max(1, round(height * factor)), max(1, round(width * factor))


def draw_picture(pixels: np.ndarray) -> np.ndarray:
    """A picture as stored (H, W, C)."""
    return resize_image(display_image(pixels), *shown_size(*pixels.shape[:2]))


def draw_mask(labels: np.ndarray, classes: Classes) -> np.ndarray:
    """A mask (H, W) in the classes' colours on black; white where the picture has no data."""
    palette = np.array(classes.palette(), np.uint8).reshape(-1, 3)
    return palette[resize_labels(labels, *shown_size(*labels.shape))]


def draw_overlay(picture: np.ndarray, labels: np.ndarray, classes: Classes, opacity: float) -> np.ndarray:
    """A mask (H, W) on top of what `draw_picture` gives; opacity: 0 leaves outlines alone, 1 hides what is below."""
    return blend_mask(picture, resize_labels(labels, *picture.shape[:2]), classes, opacity)


def draw_uncertainty(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of each pixel, from dark (sure) to bright (unsure), of probabilities uint8 (K, 1, H, W)."""
    levels = draw_entropy(probabilities, 0)
    return colour_entropy(resize_image(levels[..., np.newaxis], *shown_size(*levels.shape))[..., 0])
