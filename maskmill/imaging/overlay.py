"""Pictures for people: a picture with its mask on top."""

from math import ceil, sqrt

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskmill.classes import BACKGROUND, IGNORE, Classes, parse_colour

MONTAGE_SLICES = 12
"""Slices of a volume that a montage shows."""

MONTAGE_SIDE = 128
"""Smaller slices are enlarged in a montage, by a whole factor."""


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


def draw_montage(volume: np.ndarray, mask: np.ndarray, classes: Classes) -> np.ndarray:
    """Slices of a volume (D, H, W, C), each with its mask on top, row by row and numbered from 1: RGB uint8.

    At most `MONTAGE_SLICES`, evenly spread from the first to the last that has a class in `mask` (D, H, W), over all
    slices where none has. One stretch of intensities for all.
    """
    found = np.flatnonzero((mask != BACKGROUND).any(axis=(1, 2)))
    first, last = (found[0], found[-1]) if found.size else (0, len(mask) - 1)
    chosen = np.unique(np.linspace(first, last, MONTAGE_SLICES).round().astype(int))
    height, width, channels = volume.shape[1:]
    shown = display_image(volume[chosen].reshape(-1, width, channels)).reshape(-1, height, width, 3)
    factor = max(1, MONTAGE_SIDE // max(height, width))
    shown, labels = (values.repeat(factor, axis=1).repeat(factor, axis=2) for values in (shown, mask[chosen]))
    height, width = labels.shape[1:]
    columns = ceil(sqrt(len(chosen)))
    montage = Image.new("RGB", (columns * width, ceil(len(chosen) / columns) * height))
    draw, font = ImageDraw.Draw(montage), ImageFont.load_default(max(10, width // 12))
    for place, number in enumerate(chosen):
        left, top = place % columns * width, place // columns * height
        montage.paste(Image.fromarray(blend_mask(shown[place], labels[place], classes)), (left, top))
        draw.text((left + 2, top + 1), str(number + 1), "white", font, stroke_width=1, stroke_fill="black")
    return np.asarray(montage)


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
