"""From probabilities to the mask: thresholds a class, then steps, each a function of one class's region.

A step says which pixels are of its class. Those that it takes away become background, and it gains background alone, so
that no class grows over another.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import BACKGROUND, Classes
from maskmill.data.cases import Case, instances_path, read_pixels, write_mask
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_json, read_table
from maskmill.imaging.images import write_instance_png
from maskmill.imaging.lazy import let_go, zeros
from maskmill.imaging.pixel_area import pixel_area
from maskmill.inference.banded import change_nearby, fill_small_holes, keep_largest_component, remove_small_components
from maskmill.inference.borders import brightness, refine_border
from maskmill.inference.components import fill_holes, keep_largest, remove_small
from maskmill.inference.morphology import close_region, open_region
from maskmill.inference.outlines import regularize_region
from maskmill.inference.preprocess import Pixels
from maskmill.inference.sliding_window import LEVELS, Band
from maskmill.inference.splitting import split_region
from maskmill.inference.temperature import scale_probabilities
from maskmill.logs import progress
from maskmill.steps import KINDS, UNITS, Parameter, split_area


@dataclass(frozen=True)
class Step:
    """A step as it is applied: its name, the class it works on (1 … K), its parameter (see `maskmill.steps`)."""

    step: str
    value: int
    parameter: Parameter | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Step":
        """The inverse of `as_dict`."""
        return cls(values["step"], values["class"], values.get(KINDS[values["step"]].parameter))

    def as_dict(self) -> dict[str, Any]:
        """Such as {"step": "remove_small", "class": 1, "area": 100}."""
        named = {KINDS[self.step].parameter: self.parameter} if KINDS[self.step].parameter else {}
        return {"step": self.step, "class": self.value} | named

    @property
    def reach(self) -> int | None:
        """How far, in pixels along each axis, what decides a pixel may be from it; None: anywhere in the picture."""
        return 2 * self.parameter if self.step in ("closing", "opening") else None

    @property
    def needs_probabilities(self) -> bool:
        """Whether the mask before it does not say all that it goes by: it also looks at probabilities and picture."""
        return self.step == "refine_border"


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold in (0, 1) for each foreground class, in class order, and the steps after the thresholds in order.

    temperature: what the network's probabilities are scaled by before all this (`maskmill.inference.temperature`).
    Areas are in pixels of pictures and in voxels of volumes, where they have no unit.
    """

    thresholds: tuple[float, ...]
    steps: tuple[Step, ...] = ()
    temperature: float = 1

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "OperatingPoint":
        """The inverse of `as_dict`, which had no temperature once; keys of how it was chosen are left alone."""
        steps = tuple(Step.from_dict(step) for step in values["steps"])
        return cls(tuple(values["thresholds"]), steps, values.get("temperature", 1))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-serialisable values."""
        steps = [step.as_dict() for step in self.steps]
        return {"temperature": self.temperature, "thresholds": list(self.thresholds), "steps": steps}


@dataclass(frozen=True, eq=False)
class Picture:
    """What a mask is of; read only where a step asks for it.

    file: the picture or volume; None where there is none. pixels: as stored (D, H, W, C), None: to be read from `file`.
    """

    file: str | os.PathLike | None
    is_volume: bool
    pixels: Pixels | None = None

    @classmethod
    def of_case(cls, case: Case) -> "Picture":
        """That of a case, not read yet."""
        return cls(case.image, case.is_volume)

    @cached_property
    def brightness(self) -> np.ndarray:
        """See `maskmill.inference.borders.brightness`."""
        return brightness(read_pixels(self.file, self.is_volume) if self.pixels is None else np.asarray(self.pixels))

    def count_pixels(self, area: Parameter) -> float:
        """An area in pixels (of volumes, voxels). Raises MaskmillError where it has a unit that the file lacks."""
        if not isinstance(area, str):
            return area
        amount, unit = split_area(area)
        if self._pixel_area is None or (unit == "mm3") != self.is_volume:
            raise MaskmillError(
                f"postprocess.steps: the area {area} needs {UNITS[unit]}, and {self.file or 'this picture'} is none; "
                "write the area as a number of pixels"
            )
        return amount / self._pixel_area

    @cached_property
    def _pixel_area(self) -> float | None:
        return None if self.file is None else pixel_area(self.file, self.is_volume)


def threshold_level(threshold: float) -> int:
    """The rounded probability (0–255) from which on a pixel counts as the class."""
    return max(1, round(threshold * LEVELS))


def decide_mask(probabilities: np.ndarray, point: OperatingPoint, picture: Picture) -> np.ndarray:
    """Class indices, uint8 (D, H, W), from rounded probabilities at the point's temperature, uint8 (K, D, H, W).

    A pixel may be a class whose probability reaches the class's threshold; of several, the one that exceeds its
    threshold by the largest factor (the first in class order where equal); background where none does. With equal
    thresholds this is the most probable class. Then come the steps.
    """
    mask = apply_thresholds(probabilities, point.thresholds)
    finish_mask(mask, point, probabilities, picture)
    return mask


def decide_bands(bands: Iterable[Band], point: OperatingPoint, picture: Picture, mask: np.ndarray) -> None:
    """What `decide_mask` gives, from probabilities in bands, into `mask`, uint8 (D, H, W) of zeros.

    The mask may be memory-mapped: no more than some bands of it are in memory, but for the steps `refine_border` and
    `regularize_polygons`, which work on the whole.
    """
    kept: np.ndarray | None = None
    needed = any(step.needs_probabilities for step in point.steps)
    for band in bands:
        page, rows = band.place
        mask[page, rows] = apply_thresholds(band.values[:, np.newaxis], point.thresholds)[0]
        let_go(mask)
        if needed:
            kept = zeros((len(band.values), *mask.shape)) if kept is None else kept
            kept[:, page, rows] = band.values
            let_go(kept)
    finish_mask(mask, point, kept, picture)


def apply_thresholds(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """What `decide_mask` gives before the steps."""
    levels = np.array([threshold_level(threshold) for threshold in thresholds], np.float32)[:, None, None]
    mask = np.empty(probabilities.shape[1:], np.uint8)
    for number, page in enumerate(probabilities.swapaxes(0, 1)):
        excess = page / levels
        mask[number] = np.where((excess >= 1).any(axis=0), excess.argmax(axis=0) + 1, BACKGROUND)
    return mask


def finish_mask(mask: np.ndarray, point: OperatingPoint, probabilities: np.ndarray | None, picture: Picture) -> None:
    """Apply the steps to what `apply_thresholds` gives, in place. probabilities: only for `needs_probabilities`."""
    for step in point.steps:
        apply_step(mask, step, probabilities, point.thresholds, picture)


def apply_step(
    mask: np.ndarray, step: Step, probabilities: np.ndarray | None, thresholds: Sequence[float], picture: Picture
) -> None:
    """Apply a step to a mask (D, H, W), in place: what `step_region` gives, band by band where the step allows it."""
    if KINDS[step.step].judged_by == "pq":
        return  # tells objects apart and leaves the mask as it is: see `split_objects`
    match step.step:
        case "remove_small":
            remove_small_components(mask, step.value, picture.count_pixels(step.parameter))
        case "fill_holes":
            fill_small_holes(mask, step.value, picture.count_pixels(step.parameter))
        case "keep_largest":
            keep_largest_component(mask, step.value)
        case "closing":
            change_nearby(mask, step.value, lambda region: close_region(region, step.parameter), step.reach)
        case "opening":
            change_nearby(mask, step.value, lambda region: open_region(region, step.parameter), step.reach)
        case _:
            after = step_region(mask, step, probabilities, thresholds, picture)
            mask[(mask == step.value) & ~after] = BACKGROUND
            mask[after] = step.value


def step_region(
    mask: np.ndarray, step: Step, probabilities: np.ndarray | None, thresholds: Sequence[float], picture: Picture
) -> np.ndarray:
    """The pixels of its class after a step on a mask, bool (D, H, W); see `decide_mask` for the rest."""
    _require_picture(mask, step)
    region, parameter = mask == step.value, step.parameter
    match step.step:
        case "closing":
            after = close_region(region, parameter)
        case "opening":
            after = open_region(region, parameter)
        case "fill_holes":
            after = fill_holes(region, picture.count_pixels(parameter))
        case "remove_small":
            after = remove_small(region, picture.count_pixels(parameter))
        case "keep_largest":
            after = keep_largest(region)
        case "refine_border":
            level = threshold_level(thresholds[step.value - 1])
            after = refine_border(region, probabilities[step.value - 1], level, picture.brightness, parameter)
        case "regularize_polygons":
            after = regularize_region(region, parameter)
        case _:
            raise ValueError(f"{step.step} gives no region")
    return after & (region | (mask == BACKGROUND))


def split_objects(mask: np.ndarray, steps: Iterable[Step]) -> np.ndarray | None:
    """Object of each pixel of a finished mask, int32 (D, H, W), 0 where there is none; None where no step splits.

    Classes without such a step have no objects.
    """
    objects = None
    for step in steps:
        if step.step == "split_touching":
            _require_picture(mask, step)
            objects = np.zeros(mask.shape, np.int32) if objects is None else objects
            of_class = split_region(mask == step.value, step.parameter)
            objects[of_class > 0] = of_class[of_class > 0] + objects.max()
    return objects


def _require_picture(mask: np.ndarray, step: Step) -> None:
    if len(mask) > 1 and not KINDS[step.step].volumes:
        raise MaskmillError(
            f"postprocess.steps: {step.step} works on pictures, and a mask has {len(mask)} slices; leave the step out"
        )


def postprocess_masks(probabilities: Path, point: Path, samples: Path, classes: Classes, output: Path) -> None:
    """Write the mask of every probability file (`<id>.npy`) below `probabilities` below `output` (see `write_mask`).

    Where a step tells objects apart, also `<id>.instances.png`. samples: table of the samples that the masks are of.
    """
    operating_point = OperatingPoint.from_dict(read_json(point))
    cases = {row["id"]: Case.of_row(row) for row in read_table(samples)}
    files = sorted(probabilities.rglob("*.npy"))
    with atomic_path(output) as aside:
        aside.mkdir()
        for file in progress(files, "masks"):
            case = cases[file.relative_to(probabilities).with_suffix("").as_posix()]
            levels = scale_probabilities(np.load(file, mmap_mode="r"), operating_point.temperature)
            mask = decide_mask(levels, operating_point, Picture.of_case(case))
            write_mask(case.mask_path(aside), mask, classes, like=case.image)
            objects = split_objects(mask, operating_point.steps)
            if objects is not None:
                write_instance_png(instances_path(aside, case.id), objects[0])
