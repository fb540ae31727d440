"""What a data set is like: the numbers that preprocessing and training need, from training pictures only."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache as remembered
from typing import Any

import numpy as np

from maskmill.classes import IGNORE, Classes
from maskmill.data.cache import CachedSample, read_cache, read_split
from maskmill.data.components import component_sizes, summarize_sizes
from maskmill.data.intensities import Intensities, choose_intensities, common_percentiles
from maskmill.errors import MaskmillError
from maskmill.files import read_table, write_json
from maskmill.inference.preprocess import Preprocessing
from maskmill.logs import progress

logger = logging.getLogger(__name__)

OBJECT_PIXELS = 1 << 28
"""Pixels of label images in which the sizes of objects are measured; of larger data sets a part, drawn at random."""

FEW_PICTURES = 3
"""Training pictures that show a class below which it is called rare, if there are ten times as many."""


@dataclass(frozen=True)
class _Content:
    """Pixels in the content box of one picture, and the sums of their unit intensities and of the squares of these."""

    pixels: int
    total: np.ndarray
    squares: np.ndarray


def fingerprint_dataset(
    cache: Sequence[str | os.PathLike],
    splits: str | os.PathLike,
    classes: Sequence[str] | Mapping[str, str],
    preprocess: Mapping[str, Any],
    output: str | os.PathLike,
) -> None:
    """Measure each fold's training pictures and write `fingerprint.json`.

    cache: the shards' cache folders; classes, preprocess: the options `dataset.classes` and `preprocess`.
    The file holds, for each fold, all lengths in pixels after `preprocess.scale`:
    - `preprocessing`: a `Preprocessing` as plain values;
    - `intensities`: kind of the intensity ranges and why, and of each channel how the pictures' own ranges differ;
    - `class_fractions` (background first, of the pixels not ignored), `foreground_fraction`, and `class_pictures`, how
      many pictures or volumes show each foreground class;
    - `objects`: of each foreground class number and sizes of the connected components, see `summarize_sizes`;
    - `train_samples`, `samples` (their ids), `train_pixels`, `sizes`, `volumes` (whether there are any), `spacing`
      (median, of slices, rows and columns) and its `unit`, null where volumes do not say;
    - `advice`: sentences.
    Raises MaskmillError where pictures differ in channels other than grey beside colour, or in pixel type though they
    are to have one range of intensities.
    """
    names = Classes.from_config(classes).names
    rows = read_table(splits)
    folds = range(sum(column.startswith("fold") for column in rows[0]))
    training = [read_split(cache, splits, fold, "train") for fold in folds]
    cached = read_cache(cache)
    samples = [cached[row["id"]] for row in rows if row["id"] in cached]
    channels = _common_channels(samples)
    _check_dtypes(samples, preprocess)
    dtypes = sorted({sample.dtype for sample in samples})
    measure, sizes = remembered(_measure), remembered(lambda sample: component_sizes(sample.labels()))
    described = []
    for train in training:
        percentiles = common_percentiles(train, channels)
        intensities = choose_intensities(percentiles, dtypes, preprocess)
        labelled = _describe_labels(train, names, sizes)
        advice = _advice(names, labelled, len(train), intensities, preprocess)
        for sentence in advice:
            logger.warning("%s", sentence)
        described.append(
            {
                "preprocessing": _preprocessing(train, channels, intensities, preprocess, measure).as_dict(),
                "intensities": _describe_intensities(intensities, percentiles),
                "train_samples": len(train),
                "samples": [sample.id for sample in train],
                **labelled,
                **_describe_sizes(train),
                "advice": advice,
            }
        )
    write_json(output, {"classes": list(names), "folds": described})


def _common_channels(samples: list[CachedSample]) -> int:
    counts = {sample.channels for sample in samples}
    if len(counts) > 1 and counts != {1, 3}:
        raise MaskmillError(
            "the pictures of a data set must have the same number of channels (grey beside colour is possible):\n"
            + _by_property(samples, "channels")
        )
    return max(counts)


def _check_dtypes(samples: list[CachedSample], preprocess: Mapping[str, Any]) -> None:
    """One pixel type where all pictures have one range, unless a window says what values mean, as in CT."""
    if preprocess["intensities"] == "dataset" and not preprocess["window"] and len({one.dtype for one in samples}) > 1:
        raise MaskmillError(
            "pictures that share one range of intensities must have one pixel type; convert the odd ones, or set "
            "preprocess.intensities to image, or preprocess.window:\n" + _by_property(samples, "dtype")
        )


def _by_property(samples: list[CachedSample], name: str) -> str:
    """One line a value of the property, rarest value first, with the samples that have it."""
    groups: dict[Any, list[str]] = {}
    for sample in samples:
        groups.setdefault(getattr(sample, name), []).append(sample.id)
    by_rarity = sorted(groups.items(), key=lambda item: len(item[1]))
    return "\n".join(f"  {name} {value}: {', '.join(ids)}" for value, ids in by_rarity)


def _preprocessing(
    train: list[CachedSample],
    channels: int,
    intensities: Intensities,
    options: Mapping[str, Any],
    measure: Callable[[CachedSample, Preprocessing], _Content],
) -> Preprocessing:
    """The preprocessing, with mean and standard deviation of the content of all training pictures."""
    bare = Preprocessing(
        channels=channels,
        scale=options["scale"],
        intensity_ranges=intensities.ranges,
        intensity_floor=options["intensity_floor"] / 255,
        crop_border=options["crop_border"],
        normalization="dataset",
        mean=(),
        std=(),
    )
    contents = [measure(sample, bare) for sample in progress(train, "measuring training pictures")]
    pixels = sum(content.pixels for content in contents)
    mean = sum(content.total for content in contents) / pixels
    variance = sum(content.squares for content in contents) / pixels - mean**2
    return replace(
        bare,
        normalization=options["normalization"],
        mean=tuple(round(float(value), 6) for value in mean),
        std=tuple(round(float(value), 6) for value in np.sqrt(np.maximum(variance, 0))),
        pixel_types=tuple(sorted({sample.dtype for sample in train})),
    )


def _measure(sample: CachedSample, bare: Preprocessing) -> _Content:
    image = sample.image()
    survey = bare.survey(image, sample.percentiles)
    content = image[survey.box]
    pixels = content[..., 0].size
    mean, std = bare.moments(content, survey.ranges)
    return _Content(pixels, mean * pixels, (std**2 + mean**2) * pixels)


def _describe_intensities(intensities: Intensities, percentiles: np.ndarray) -> dict[str, Any]:
    channels = [
        {"low": _spread(low.tolist()), "high": _spread(high.tolist())} for low, high in percentiles.transpose(1, 2, 0)
    ]
    return {"ranges": intensities.kind, "reason": intensities.reason, "channels": channels}


def _describe_labels(
    train: list[CachedSample],
    names: tuple[str, ...],
    sizes: Callable[[CachedSample], dict[int, np.ndarray]],
) -> dict[str, Any]:
    counts = np.zeros(IGNORE + 1, np.int64)
    for sample in train:
        counts[list(sample.pixels)] += list(sample.pixels.values())
    fractions = counts[: len(names) + 1] / max(1, counts[: len(names) + 1].sum())
    measured = [sizes(sample) for sample in progress(_few_enough(train), "measuring objects")]
    return {
        "class_fractions": [round(float(fraction), 6) for fraction in fractions],
        "foreground_fraction": round(float(fractions[1:].sum()), 6),
        "class_pictures": [sum(value in sample.pixels for sample in train) for value in range(1, len(names) + 1)],
        "objects": summarize_sizes(names, measured),
    }


def _few_enough(train: list[CachedSample]) -> list[CachedSample]:
    """Training pictures of at most `OBJECT_PIXELS` together, one at least."""
    order = np.random.default_rng(0).permutation(len(train))
    total = np.cumsum([np.prod(train[number].size, dtype=np.int64) for number in order])
    return [train[number] for number in sorted(order[: max(1, np.searchsorted(total, OBJECT_PIXELS, side="right"))])]


def _describe_sizes(train: list[CachedSample]) -> dict[str, Any]:
    units = Counter(sample.unit for sample in train if sample.unit)
    unit = min(units, key=lambda one: (-units[one], one)) if units else None
    spacings = [sample.spacing for sample in train if unit and sample.unit == unit]
    sides = {side: [getattr(sample, side) for sample in train] for side in ("depth", "height", "width")}
    return {
        "train_pixels": sum(int(np.prod(sample.size, dtype=np.int64)) for sample in train),
        "sizes": {side: {**_spread(found), "median": int(np.median(found))} for side, found in sides.items()},
        "volumes": any(sample.depth > 1 for sample in train),
        "spacing": [round(float(length), 6) for length in np.median(spacings, axis=0)] if spacings else None,
        "unit": unit,
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _advice(
    names: tuple[str, ...],
    labelled: Mapping[str, Any],
    pictures: int,
    intensities: Intensities,
    options: Mapping[str, Any],
) -> list[str]:
    """Sentences for the person who sets the training options."""
    advice = []
    for name, shown in zip(names, labelled["class_pictures"], strict=True):
        if not shown:
            advice.append(f'no training pixel is labelled "{name}"; the model cannot learn this class')
        elif shown < FEW_PICTURES and pictures >= 10 * FEW_PICTURES:
            advice.append(
                f'only {shown} of {pictures} training pictures show "{name}"; annotate more of them, or expect little '
                "of this class"
            )
    if 0 < labelled["foreground_fraction"] < 0.05:
        advice.append(
            f"only {labelled['foreground_fraction']:.1%} of the training pixels are foreground; keep train.foreground "
            "at auto, or 0.5 or more, and give loss.dice or loss.lovasz a weight, so that the model does not settle "
            "for background"
        )
    if intensities.kind == "image" and options["intensities"] == "auto":
        advice.append(
            f"each picture's own range of values becomes 0 to 1, as {intensities.reason}; where values mean the same "
            "in all pictures, as in CT or reflectances, set preprocess.window, or preprocess.intensities to dataset"
        )
    return advice
