"""From a picture as stored to what the network sees: the one code path of training, evaluation, export and serving."""

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from maskmill.errors import MaskmillError

_RESIZABLE = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
"""What OpenCV resizes; other pixel types, which NIfTI and TIFF bring, take the way over float64."""


@dataclass(frozen=True)
class Preprocessing:
    """Everything that stands between stored pixel values and the network's input, as data.

    channels: channels of the network's input; grey pictures are repeated to fill them.
    scale: factor on height and width before the network; probabilities come back at the picture's own size.
    intensity_range: stored values that become 0 and 1 (values outside are clipped), such as (0, 255) or a CT window.
    intensity_floor: unit intensities up to this become 0 (0 leaves them alone).
    crop_border: leave out the frame of zero intensity around the content; predictions there are background.
    normalization: "dataset" (mean and std below, one value a channel, unit intensities) or "image" (a picture's own).
    """

    channels: int
    scale: float
    intensity_range: tuple[float, float]
    intensity_floor: float
    crop_border: bool
    normalization: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Preprocessing":
        """The inverse of `as_dict`."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def unit(self, image: np.ndarray) -> np.ndarray:
        """Turn a stored picture (H, W, C), any dtype, into float32 (H, W, `channels`) with intensities in [0, 1].

        Raises MaskmillError where the number of channels does not fit.
        """
        low, high = self.intensity_range
        unit = (self._fit_channels(image).astype(np.float32) - np.float32(low)) / np.float32(high - low)
        np.clip(unit, 0, 1, out=unit)
        if self.intensity_floor:
            unit[unit <= np.float32(self.intensity_floor)] = 0
        return unit

    def _fit_channels(self, image: np.ndarray) -> np.ndarray:
        if image.shape[2] == self.channels:
            return image
        if image.shape[2] == 1:
            return np.repeat(image, self.channels, axis=2)
        raise MaskmillError(
            f"a picture has {image.shape[2]} channels where the model was trained on {self.channels}; "
            "convert it, or train with such pictures"
        )

    def content_box(self, unit: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns of `unit` (H, W, C) that hold the content: everything, or what the zero frame leaves."""
        height, width = unit.shape[:2]
        if not self.crop_border:
            return slice(0, height), slice(0, width)
        content = (unit > 0).any(axis=2)
        rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
        if not rows.size:
            return slice(0, height), slice(0, width)
        return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)

    def moments(self, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation a channel that `normalize` is to use for the (whole) picture `unit` (H, W, C)."""
        if self.normalization == "image":
            pixels = unit.reshape(-1, self.channels).astype(np.float64)
            return pixels.mean(axis=0), np.maximum(pixels.std(axis=0), 1e-3)
        return np.asarray(self.mean), np.maximum(np.asarray(self.std), 1e-3)

    @staticmethod
    def normalize(unit: np.ndarray, moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Zero mean, unit variance a channel: float32 of the same shape (H, W, C) as `unit`."""
        mean, std = (moment.astype(np.float32) for moment in moments)
        return (unit - mean) / std


def resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a picture or probabilities (H, W, C), keeping the dtype: area averaging down, bilinear up."""
    if image.shape[:2] == (height, width):
        return image
    if image.dtype not in _RESIZABLE:
        resized = resize_image(image.astype(np.float64), height, width)
        return (resized if image.dtype.kind == "f" else np.rint(resized)).astype(image.dtype)
    method = cv2.INTER_AREA if height * width < image.shape[0] * image.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method).reshape(height, width, image.shape[2])


def resize_labels(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a label image (H, W) of class indices by nearest neighbour."""
    if labels.shape == (height, width):
        return labels
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width, at least 1, of a picture scaled by `scale`; halves round up."""
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
