"""What the page shows of a picture: scaled for a screen, with its mask, with its entropy; RGB uint8 (h, w, 3)."""

import numpy as np

from maskmill.imaging.overlay import blend_mask, display_image
from maskmill.imaging.resampling import resize_image, resize_labels
from maskmill.inference.entropy import draw_entropy
from maskmill.report.pictures import colour_entropy
from maskmill.serving.segmenter import Prediction, Result

LONG_SIDE = 1400
"""Longest side of what is shown: Streamlit sends nothing wider than 1460 pixels."""

SHORT_SIDE = 512
"""Pictures with a shorter long side are enlarged by a whole factor first, so that outlines stay thin."""


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Height and width that a picture of a size is shown at."""
    longest = max(height, width)
    factor = LONG_SIDE / longest if longest > LONG_SIDE else max(1, SHORT_SIDE // longest)
    return max(1, round(height * factor)), max(1, round(width * factor))


def draw_picture(prediction: Prediction) -> np.ndarray:
    """The picture itself."""
    pixels = prediction.pixels[0]
    return resize_image(display_image(pixels), *shown_size(*pixels.shape[:2]))


def draw_mask(result: Result) -> np.ndarray:
    """The mask in the classes' colours on black; white where the picture has no data."""
    palette = np.array(result.classes.palette(), np.uint8).reshape(-1, 3)
    return palette[resize_labels(result.labels, *shown_size(*result.labels.shape))]


def draw_overlay(picture: np.ndarray, result: Result, opacity: float) -> np.ndarray:
    """The mask on top of what `draw_picture` gives; opacity: 0 leaves the outlines alone, 1 hides what is below."""
    return blend_mask(picture, resize_labels(result.labels, *picture.shape[:2]), result.classes, opacity)


def draw_uncertainty(prediction: Prediction) -> np.ndarray:
    """Entropy of each pixel, from dark (sure) to bright (unsure)."""
    levels = draw_entropy(prediction.probabilities, 0)
    return colour_entropy(resize_image(levels[..., np.newaxis], *shown_size(*levels.shape))[..., 0])
