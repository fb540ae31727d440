"""Pictures for people: a picture with its mask on top."""

import cv2
import numpy as np

from maskmill.classes import IGNORE, Classes, parse_colour


def display_image(image: np.ndarray) -> np.ndarray:
    """A stored picture (H, W, C) of any dtype and number of channels as RGB uint8 (H, W, 3).

    Other dtypes than uint8 are stretched between their 1st and 99th percentile; of more than 3 channels the first 3
    are shown.
    """
    shown = image if image.shape[2] in (1, 3) else image[..., :3] if image.shape[2] > 3 else image[..., :1]
    if shown.dtype != np.uint8:
        low, high = np.percentile(shown, (1, 99))
        shown = np.clip((shown - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown


def blend_mask(image: np.ndarray, mask: np.ndarray, classes: Classes, opacity: float = 0.4) -> np.ndarray:
    """RGB uint8 (H, W, 3): the picture (H, W, C), each class of `mask` (H, W) tinted and outlined in its colour.

    Ignored pixels are tinted white.
    """
    shown = display_image(image).copy()
    for value, colour in _colours(classes):
        region = mask == value
        shown[region] = (shown[region] * (1 - opacity) + np.array(colour) * opacity).astype(np.uint8)
    return outline_mask(shown, mask, classes)


def outline_mask(image: np.ndarray, mask: np.ndarray, classes: Classes) -> np.ndarray:
    """RGB uint8 (H, W, 3): the picture (H, W, C), each region of `mask` (H, W) outlined in its class's colour."""
    shown = display_image(image).copy()
    for value, colour in _colours(classes):
        region = (mask == value).astype(np.uint8)
        contours, _ = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, contours, -1, colour, 1 + max(mask.shape) // 1000)
    return shown


def _colours(classes: Classes) -> list[tuple[int, tuple[int, int, int]]]:
    """Label values and the colours they are shown in."""
    return [*enumerate(classes.shown_colours, 1), (IGNORE, (255, 255, 255))]


ERROR_COLOURS = {"hit": "#660099", "missed": "#ffccff", "invented": "#66ff00"}
"""Colours of `error_image`, for its legend: errors are bright, hits dark; none is near a default class colour.

Chosen for the greatest smallest difference (CIEDE2000) between any two of them on dark and light pictures, as seen with
normal sight, protanopia, deuteranopia and tritanopia.
"""


def error_image(image: np.ndarray, mask: np.ndarray, reference: np.ndarray, value: int) -> np.ndarray:
    """RGB uint8 (H, W, 3): the picture dimmed; hits, missed and invented pixels of the class `value` coloured."""
    shown = (display_image(image) * 0.5).astype(np.uint8)
    valid = reference != IGNORE
    predicted, present = (mask == value) & valid, reference == value
    for region, outcome in (
        (predicted & present, "hit"),
        (~predicted & present, "missed"),
        (predicted & ~present, "invented"),
    ):
        shown[region] = (shown[region] * 0.4 + np.array(parse_colour(ERROR_COLOURS[outcome])) * 0.6).astype(np.uint8)
    return shown
