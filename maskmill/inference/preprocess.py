"""From a picture as stored to what the network sees: the one code path of training, evaluation, export and serving."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.imaging.lazy import LazyPicture, let_go
from maskmill.sizes import Size

PERCENTILES = (0.005, 0.995)
"""Shares of a picture's values below its own range of intensities, and up to its end."""

MINIMUM_STD = 1e-3
"""Floor of the standard deviation, so that a flat picture does not become noise."""

Pixels = np.ndarray | LazyPicture
"""A picture or volume (D, H, W, C) as stored: in memory, memory-mapped, or read as its parts are asked for."""

_EIGHT_BITS = (0, 255)
_BAND = 1 << 22
_MOST_VALUES = 1 << 22


@dataclass(frozen=True)
class Survey:
    """What the parts of a picture need to know of the whole.

    ranges: (channels, 2), stored values that become 0 and 1. box: slices of depth, height and width that hold the
    content. mean, std: (channels), of unit intensities, for `Preprocessing.normalize`.
    """

    ranges: np.ndarray
    box: tuple[slice, slice, slice]
    mean: np.ndarray
    std: np.ndarray


@dataclass(frozen=True)
class Preprocessing:
    """Everything that stands between stored pixel values and the network's input, as data.

    Pictures are arrays (D, H, W, C) as stored, any dtype; D is 1 but of volumes.

    channels: channels of the network's input; grey pictures are repeated to fill them.
    scale: factor on height and width before the network; probabilities come back at the picture's own size.
    intensity_ranges: for each channel the stored values that become 0 and 1 (values outside are clipped), such as
        (0, 255) or a CT window; None: each picture's own 0.5 and 99.5 percentiles, as scanners' scales differ.
    intensity_floor: unit intensities up to this become 0 (0 leaves them alone).
    crop_border: leave out the frame of zero intensity around the content; predictions there are background.
    normalization: "dataset" (mean and std below, one value a channel, unit intensities) or "image" (a picture's own).
    pixel_types: names of those of the training pictures; none where they have not been recorded.
    """

    channels: int
    scale: float
    intensity_ranges: tuple[tuple[float, float], ...] | None
    intensity_floor: float
    crop_border: bool
    normalization: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pixel_types: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """The inverse of `as_dict`."""
        ranges = values["intensity_ranges"]
        return cls(
            **{
                **values,
                "intensity_ranges": None if ranges is None else tuple((low, high) for low, high in ranges),
                "mean": tuple(values["mean"]),
                "std": tuple(values["std"]),
                "pixel_types": tuple(values.get("pixel_types", ())),
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        ranges = self.intensity_ranges
        return asdict(self) | {
            "intensity_ranges": None if ranges is None else [list(pair) for pair in ranges],
            "mean": list(self.mean),
            "std": list(self.std),
            "pixel_types": list(self.pixel_types),
        }

    def survey(self, image: Pixels, percentiles: np.ndarray | None = None) -> Survey:
        """Look at a whole picture (D, H, W, C), band by band, so that one in a file is never in memory at once.

        percentiles: `value_percentiles(image)` where they are known. Nothing is read where the ranges are given, the
        border is not cropped and the normalisation is that of the data set.
        Raises MaskmillError where the number of channels does not fit.
        """
        self.check_channels(image.shape[-1])
        ranges = self._ranges(image, percentiles)
        box = self._content_box(image, ranges)
        if self.normalization == "image":
            mean, std = self.moments(image[box], ranges)
        else:
            mean, std = np.asarray(self.mean), np.asarray(self.std)
        return Survey(ranges, box, mean, std)

    def unit(self, image: np.ndarray, ranges: np.ndarray) -> np.ndarray:
        """Turn stored values (..., C) into float32 (..., `channels`) with intensities in [0, 1]."""
        values = self._fit_channels(image)
        low, high = (ranges if _needs_doubles(image.dtype) else ranges.astype(np.float32)).T
        unit = values.astype(low.dtype)
        unit -= low
        unit = unit.astype(np.float32, copy=False)
        unit /= (high - low).astype(np.float32)
        np.clip(unit, 0, 1, out=unit)
        if self.intensity_floor:
            unit[unit <= np.float32(self.intensity_floor)] = 0
        return unit

    @staticmethod
    def normalize(unit: np.ndarray, survey: Survey) -> np.ndarray:
        """Zero mean, unit variance a channel: float32 of the same shape (..., C) as `unit`."""
        normal = unit - survey.mean.astype(np.float32)
        normal /= np.maximum(survey.std, MINIMUM_STD).astype(np.float32)
        return normal

    def prepare(self, image: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice, slice]]:
        """The network's view of a whole picture (D, H, W, C): normalised float32 content, and the box it lies in."""
        survey = self.survey(image)
        return self.normalize(self.unit(image[survey.box], survey.ranges), survey), survey.box

    def moments(self, image: Pixels, ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (channels) of the unit intensities of stored values (D, H, W, C)."""
        parts = [_value_counts(image)] if has_few_values(image) else ((band, 1) for _, band in picture_bands(image))
        total, squares = np.zeros(self.channels), np.zeros(self.channels)
        for values, counts in parts:
            unit = self.unit(values.reshape(-1, values.shape[-1]), ranges).astype(np.float64)
            total += (unit * counts).sum(axis=0)
            squares += (np.square(unit) * counts).sum(axis=0)
        pixels = math.prod(image.shape[:3])
        mean = total / pixels
        return mean, np.sqrt(np.maximum(squares / pixels - mean**2, 0))

    def _ranges(self, image: Pixels, percentiles: np.ndarray | None) -> np.ndarray:
        if self.intensity_ranges is not None:
            return np.array(self.intensity_ranges, np.float64)
        ranges = value_percentiles(image) if percentiles is None else percentiles
        return ranges if len(ranges) == self.channels else np.repeat(ranges, self.channels, axis=0)

    def _fit_channels(self, image: np.ndarray) -> np.ndarray:
        self.check_channels(image.shape[-1])
        return image if image.shape[-1] == self.channels else np.repeat(image, self.channels, axis=-1)

    def check_channels(self, found: int) -> None:
        """Raise MaskmillError where the network has no use for a picture of so many channels."""
        if found not in (1, self.channels):
            raise MaskmillError(
                f"a picture has {found} channels where the model was trained on {self.channels}; "
                "convert it, or train with such pictures"
            )

    def check_pixel_type(self, found: np.dtype) -> None:
        """Raise MaskmillError where a picture has 8 bits and no training picture had, or the other way round.

        The same grey is another value then, so that the range of the training pictures makes it black or white all
        over. Nothing is raised where each picture has its own range, or the training pictures' types are not known.
        """
        if (
            self.intensity_ranges is None
            or not self.pixel_types
            or any(_has_8_bits(known) == _has_8_bits(found) for known in self.pixel_types)
        ):
            return
        known, ranges = " or ".join(self.pixel_types), describe_ranges(self.intensity_ranges)
        raise MaskmillError(
            f"it holds {found} values, but the model was trained on {known} ones and takes {ranges} as black to white; "
            f"save it as {known}, its values scaled as in the training pictures, or train with {found} pictures too"
        )

    def doubt(self, found: np.dtype) -> str | None:
        """Why pictures of this pixel type may be none that the network was trained for, None where nothing says so.

        Floats and integers may mean the same, as in CT, or not, as in reflectances. Where the types of the training
        pictures are not known, ranges of 0 to 255 are mostly those of 8-bit pictures; they may also have been measured
        in, or set for, deeper ones.
        """
        if self.intensity_ranges is None:
            return None
        if self.pixel_types:
            if any((np.dtype(known).kind == "f") == (found.kind == "f") for known in self.pixel_types):
                return None
            return (
                f"it holds {found} values, and the model was trained on {' or '.join(self.pixel_types)}; its mask is "
                "right only if a value means the same in both"
            )
        if found.kind not in "iu" or _has_8_bits(found) or set(self.intensity_ranges) != {_EIGHT_BITS}:
            return None
        return (
            f"it holds {found}, and to the network all values above 255 are white; if it was trained on 8-bit pictures "
            "and this one has larger values, convert it to 8 bits, of 16-bit pictures by dividing by 257"
        )

    def _content_box(self, image: Pixels, ranges: np.ndarray) -> tuple[slice, slice, slice]:
        """Everything, or what the frame of zeros leaves; everything too where all is zero."""
        whole = tuple(slice(0, size) for size in image.shape[:3])
        if not self.crop_border:
            return whole
        rows, columns = np.zeros(image.shape[:2], bool), np.zeros(image.shape[2], bool)
        for window, band in picture_bands(image):
            content = (self.unit(band, ranges) > 0).any(axis=-1)
            rows[window] = content.any(axis=-1)
            columns |= content.any(axis=(0, 1))
        if not columns.any():
            return whole
        return tuple(_extent(along) for along in (rows.any(axis=1), rows.any(axis=0), columns))


def _has_8_bits(pixel_type: np.dtype | str) -> bool:
    return np.dtype(pixel_type).itemsize == 1


def describe_ranges(ranges: Iterable[tuple[float, float]]) -> str:
    """Such as "0 to 255", of several channels each once."""
    return ", ".join(dict.fromkeys(f"{low:g} to {high:g}" for low, high in ranges))


def value_percentiles(image: Pixels) -> np.ndarray:
    """The 0.5 and 99.5 percentiles of each channel of stored values (D, H, W, C), float64 (C, 2), made to differ.

    Exact for integers of up to 16 bits; else of at most about four million evenly spread values.
    """
    if has_few_values(image):
        values, counts = _value_counts(image)
        cumulated = counts.T.cumsum(axis=1)
        found = [[values[np.searchsorted(row, share * row[-1]), 0] for share in PERCENTILES] for row in cumulated]
        ranges = np.array(found, np.float64)
    else:
        ranges = np.quantile(_spread_values(image), PERCENTILES, axis=0, method="inverted_cdf").T
    ranges[:, 1] = np.where(ranges[:, 1] > ranges[:, 0], ranges[:, 1], ranges[:, 0] + 1)
    return ranges


def _spread_values(image: Pixels) -> np.ndarray:
    """Every n-th pixel of (D, H, W, C), float64 (pixels, C); n shares no divisor with W, so no column is missed."""
    pixels, width = math.prod(image.shape[:3]), image.shape[2]
    step = max(1, pixels // _MOST_VALUES)
    while math.gcd(step, width) > 1:
        step += 1
    values, seen = [], 0
    for _, band in picture_bands(image):
        flat = band.reshape(-1, image.shape[-1])
        values.append(flat[-seen % step :: step].astype(np.float64))
        seen += len(flat)
    return np.concatenate(values)


def has_few_values(image: Pixels) -> bool:
    """Whether the pixel type has so few values that counting them says all: integers of up to 16 bits."""
    return image.dtype.kind in "ui" and image.dtype.itemsize <= 2


def _value_counts(image: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """All values of the pixel type (n, C), and how often each channel of integers (D, H, W, C) has them (n, C)."""
    least, channels = np.iinfo(image.dtype).min, image.shape[-1]
    counts = np.zeros((2 ** (8 * image.dtype.itemsize), channels), np.int64)
    for _, band in picture_bands(image):
        for channel in range(channels):
            counts[:, channel] += np.bincount(
                band[..., channel].ravel().astype(np.int64) - least, minlength=len(counts)
            )
    values = np.arange(least, least + len(counts)).astype(image.dtype)
    return np.repeat(values[:, np.newaxis], channels, axis=1), counts


def picture_bands(image: Pixels) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Parts of (D, H, W, C), some rows or some slices each, with their slices of depth and height."""
    depth, height = image.shape[:2]
    row = max(1, math.prod(image.shape[2:]))
    rows = min(height, max(1, _BAND // row))
    slices = max(1, _BAND // (row * height))
    for page in range(0, depth, slices):
        for top in range(0, height, rows):
            window = slice(page, page + slices), slice(top, top + rows)
            yield window, np.asarray(image[window])
            let_go(image)


def _needs_doubles(dtype: np.dtype) -> bool:
    """Whether neighbouring values of a pixel type may be one and the same in 32 bits, as integers above 2^24 are."""
    return dtype.itemsize > (2 if dtype.kind in "ui" else 4)


def _extent(along: np.ndarray) -> slice:
    found = np.flatnonzero(along)
    return slice(int(found[0]), int(found[-1]) + 1)


def mirror_to(image: np.ndarray, size: Size) -> np.ndarray:
    """The image (D, H, W, C), continued by its mirror image at the end of each axis that is shorter than in `size`.

    The one way to fill a patch or tile that is larger than its picture, in training as in prediction: networks that
    normalise by what they see (instance and group norm) would take another filling for another kind of picture.
    """
    for axis, side in enumerate(size):
        if side > image.shape[axis]:
            image = image.take(mirrored_places(0, side, image.shape[axis]), axis)
    return image


def mirrored_places(start: int, side: int, length: int) -> np.ndarray:
    """Places of `side` pixels from `start` on in an axis of this length, which is mirrored beyond its ends."""
    places = np.arange(start, start + side) % (2 * length)
    return np.minimum(places, 2 * length - 1 - places)
