"""What a data set is like: the numbers that preprocessing and training need, from training pictures only."""

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskmill.cache import CachedSample, read_cache, read_split
from maskmill.classes import IGNORE, Classes
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_json
from maskmill.logs import progress
from maskmill.preprocess import Preprocessing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Content:
    """Sums over the content box of one picture, and the pixels of each label value in the whole picture."""

    pixels: int
    total: np.ndarray
    squares: np.ndarray
    label_pixels: np.ndarray


def fingerprint_dataset(
    cache: Sequence[str | os.PathLike],
    splits: str | os.PathLike,
    classes: Sequence[str] | Mapping[str, str],
    preprocess: Mapping[str, Any],
    output: str | os.PathLike,
) -> None:
    """Measure each fold's training pictures and write `fingerprint.json`.

    cache: the shards' cache folders; classes, preprocess: the options `dataset.classes` and `preprocess`.
    The file holds, for each fold: `preprocessing` (a `Preprocessing` as plain values), `class_fractions` (background
    first, of the pixels not ignored), `foreground_fraction`, `train_samples`, `train_pixels`, `sizes` and `advice`.
    Raises MaskmillError where pictures differ in dtype, or in channels other than grey beside colour.
    """
    names = Classes.from_config(classes).names
    samples = list(read_cache(cache).values())
    channels = _common_channels(samples)
    _check_dtypes(samples, preprocess)
    folds = sum(column.startswith("fold") for column in read_table(splits)[0])
    measure = functools.cache(_measure)
    write_json(
        output,
        {
            "classes": list(names),
            "folds": [
                _fingerprint_fold(read_split(cache, splits, fold, "train"), names, channels, preprocess, measure)
                for fold in range(folds)
            ],
        },
    )


def _common_channels(samples: list[CachedSample]) -> int:
    counts = {sample.channels for sample in samples}
    if len(counts) > 1 and counts != {1, 3}:
        raise MaskmillError(
            "the pictures of a data set must have the same number of channels (grey beside colour is possible):\n"
            + _by_property(samples, "channels")
        )
    return max(counts)


def _check_dtypes(samples: list[CachedSample], preprocess: Mapping[str, Any]) -> None:
    """One pixel type, unless a window says what the values mean, as in CT: the scales of two types differ."""
    if len({sample.dtype for sample in samples}) > 1 and not preprocess["window"]:
        raise MaskmillError(
            "the pictures of a data set must have one pixel type; convert the odd ones:\n"
            + _by_property(samples, "dtype")
        )


def _by_property(samples: list[CachedSample], name: str) -> str:
    """One line a value of the property, rarest value first, with the samples that have it."""
    groups: dict[Any, list[str]] = {}
    for sample in samples:
        groups.setdefault(getattr(sample, name), []).append(sample.id)
    by_rarity = sorted(groups.items(), key=lambda item: len(item[1]))
    return "\n".join(f"  {name} {value}: {', '.join(ids)}" for value, ids in by_rarity)


def _fingerprint_fold(
    train: list[CachedSample], names: tuple[str, ...], channels: int, options: Mapping[str, Any], measure
) -> dict[str, Any]:
    bare = Preprocessing(
        channels=channels,
        scale=options["scale"],
        intensity_range=_intensity_range(train, options["window"]),
        intensity_floor=options["intensity_floor"] / 255,
        crop_border=options["crop_border"],
        normalization=options["normalization"],
        mean=(),
        std=(),
    )
    contents = [measure(sample, bare) for sample in progress(train, "measuring training pictures")]
    pixels = sum(content.pixels for content in contents)
    mean = sum(content.total for content in contents) / pixels
    variance = sum(content.squares for content in contents) / pixels - mean**2
    label_pixels = sum(content.label_pixels for content in contents)[: len(names) + 1]
    fractions = label_pixels / max(1, label_pixels.sum())
    foreground = float(fractions[1:].sum())
    advice = _advice(names, fractions)
    for sentence in advice:
        logger.warning("%s", sentence)
    return {
        "preprocessing": replace(
            bare,
            mean=tuple(round(float(value), 6) for value in mean),
            std=tuple(round(float(value), 6) for value in np.sqrt(np.maximum(variance, 0))),
        ).as_dict(),
        "class_fractions": [round(float(fraction), 6) for fraction in fractions],
        "foreground_fraction": round(foreground, 6),
        "train_samples": len(train),
        "samples": [sample.id for sample in train],
        "train_pixels": sum(sample.height * sample.width for sample in train),
        "sizes": {
            side: {"min": min(lengths), "median": int(np.median(lengths)), "max": max(lengths)}
            for side in ("height", "width")
            for lengths in [[getattr(sample, side) for sample in train]]
        },
        "advice": advice,
    }


def _intensity_range(train: list[CachedSample], window: Sequence[float] | None) -> tuple[float, float]:
    """Stored values that become 0 and 1: a window (centre, width) if given, 0–255 for 8 bits, else what occurs."""
    if window:
        center, width = window
        return center - width / 2, center + width / 2
    if {sample.dtype for sample in train} == {"uint8"}:
        return 0, 255
    low, high = min(sample.minimum for sample in train), max(sample.maximum for sample in train)
    return low, high if high > low else low + 1


def _measure(sample: CachedSample, preprocessing: Preprocessing) -> _Content:
    unit = preprocessing.unit(sample.image())
    content = unit[preprocessing.content_box(unit)].reshape(-1, preprocessing.channels).astype(np.float64)
    return _Content(
        pixels=len(content),
        total=content.sum(axis=0),
        squares=np.square(content).sum(axis=0),
        label_pixels=np.bincount(sample.labels().ravel(), minlength=IGNORE + 1),
    )


def _advice(names: tuple[str, ...], fractions: np.ndarray) -> list[str]:
    """Sentences for the person who sets the training options."""
    advice = [
        f'no training pixel is labelled "{name}"; the model cannot learn this class'
        for name, fraction in zip(names, fractions[1:], strict=True)
        if fraction == 0
    ]
    foreground = fractions[1:].sum()
    if 0 < foreground < 0.05:
        advice.append(
            f"only {foreground:.1%} of the training pixels are foreground; keep train.foreground at 0.5 or more and "
            "give loss.dice or loss.lovasz a weight, so that the model does not settle for background"
        )
    return advice
