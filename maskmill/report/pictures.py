"""The pictures of the pages: scaled for a screen, drawn on, embedded."""

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maskmill.classes import BACKGROUND, IGNORE, Classes
from maskmill.imaging.overlay import blend_mask, display_image, error_image
from maskmill.imaging.resampling import resize_image, resize_labels

LONG_SIDE = 640
"""Longest side in pixels of a picture in the report."""

SHORT_SIDE = 256
"""Pictures with a shorter long side are enlarged by a whole factor first, so that the lines drawn on them stay thin."""

_GAP = 8


def data_uri(picture: np.ndarray) -> str:
    """A picture, RGB uint8 (H, W, 3), as a JPEG inside a `data:` address."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def fit(image: np.ndarray, *masks: np.ndarray) -> tuple[np.ndarray, ...]:
    """A picture (H, W, C) as RGB uint8 and label images (H, W), scaled alike for the report."""
    height, width = image.shape[:2]
    longest = max(height, width)
    factor = LONG_SIDE / longest if longest > LONG_SIDE else max(1, SHORT_SIDE // longest)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    return resize_image(display_image(image), *size), *(resize_labels(mask, *size) for mask in masks)


def draw_showcase(image: np.ndarray, reference: np.ndarray, prediction: np.ndarray, classes: Classes) -> np.ndarray:
    """A strip of the picture (H, W, C), its annotation and the prediction (H, W), captions below: RGB uint8."""
    drawn = draw_masks(image, (reference, prediction), classes)
    return _captioned_strip(dict(zip(("picture", "annotation", "prediction"), drawn, strict=True)))


def draw_masks(image: np.ndarray, masks: Sequence[np.ndarray], classes: Classes) -> list[np.ndarray]:
    """The picture (H, W, C) as it is, then with each of the masks (H, W) on top: RGB uint8."""
    image, *masks = fit(image, *masks)
    return [image, *(blend_mask(image, mask, classes) for mask in masks)]


def draw_case(
    image: np.ndarray, reference: np.ndarray, prediction: np.ndarray, classes: Classes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture with the reference outlined, with the prediction, and its errors: three pictures, RGB uint8."""
    image, reference, prediction = fit(image, reference, prediction)
    found, present = errors_of_all_classes(reference, prediction)
    return (
        outline_mask(image, reference, classes),
        blend_mask(image, prediction, classes),
        error_image(image, found, present, 1),
    )


def colour_entropy(levels: np.ndarray) -> np.ndarray:
    """Entropy, uint8 (H, W), its 255-fold, as a picture from dark (sure) to bright (unsure): RGB uint8."""
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def entropy_scale(steps: int = 9) -> list[str]:
    """Colours "#rrggbb" of entropies from 0 to 1, evenly spread, for the legend of `colour_entropy`."""
    levels = np.linspace(0, 255, steps).round().astype(np.uint8)[np.newaxis]
    return [f"#{bytes(colour.tolist()).hex()}" for colour in colour_entropy(levels)[0]]


def outline_mask(image: np.ndarray, mask: np.ndarray, classes: Classes) -> np.ndarray:
    """The picture, RGB uint8 (H, W, 3), with each class of `mask` (H, W) outlined in its colour, well visible."""
    shown = image.copy()
    thickness = 1 + max(mask.shape) // 250
    for value, colour in enumerate(classes.shown_colours, 1):
        contours, _ = cv2.findContours((mask == value).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, contours, -1, colour, thickness)
    return shown


def errors_of_all_classes(reference: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and reference (H, W) of one class, 1, that stand for all: an object taken for another class is missed.

    Ignored pixels stay ignored.
    """
    found = (prediction != BACKGROUND) & ((prediction == reference) | (reference == BACKGROUND))
    present = np.where(reference == IGNORE, IGNORE, reference != BACKGROUND)
    return found.astype(np.uint8), present.astype(np.uint8)


def _captioned_strip(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Panels of one size side by side on white, a thin gap between them, their captions centred below."""
    height, width, _ = next(iter(panels.values())).shape
    font = ImageFont.load_default(max(12, width // 20))
    top, bottom = font.getbbox("Ap")[1::2]
    strip = Image.new("RGB", ((width + _GAP) * len(panels) - _GAP, height + bottom + top), "white")
    draw = ImageDraw.Draw(strip)
    for number, (caption, panel) in enumerate(panels.items()):
        left = number * (width + _GAP)
        strip.paste(Image.fromarray(panel), (left, 0))
        draw.text((left + width // 2, height + top // 2), caption, fill="#1a1a1a", font=font, anchor="ma")
    return np.asarray(strip)
