"""One model out of an experiment's members: their probabilities averaged, behind one preprocessing.

Members of one fold see pictures alike. Those of several folds were normalised by what their own training pictures are
like; the ensemble then takes plain unit intensities, and each member makes its own input of them (`InputMap`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.dag.option_checks import network_stride
from maskmill.errors import MaskmillError
from maskmill.inference.augmentation import EnsembleRuntime
from maskmill.inference.preprocess import MINIMUM_STD, Preprocessing
from maskmill.inference.runtimes import Runtime, TorchRuntime
from maskmill.inference.tiling import resolve_tiling
from maskmill.runs import joined_run_id
from maskmill.sizes import Size

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class InputMap:
    """From the input of an ensemble to that of one of its members; a pair for each channel, None where both are equal.

    rescale: (gain, offset), with x · gain + offset clipped to [0, 1]; after it normalize: (mean, std).
    """

    rescale: Pairs | None = None
    normalize: Pairs | None = None

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, …) -> float32 of the same shape."""
        if self.rescale is not None:
            gain, offset = _columns(self.rescale, batch.ndim)
            batch = np.clip(batch * gain + offset, 0, 1)
        if self.normalize is not None:
            mean, std = _columns(self.normalize, batch.ndim)
            batch = (batch - mean) / std
        return batch


def _columns(pairs: Pairs, dimensions: int) -> np.ndarray:
    """float32 (2, C, 1, …): first and second values, as they go with a batch of so many dimensions."""
    return np.array(pairs, np.float32).T.reshape(2, len(pairs), *[1] * (dimensions - 2))


@dataclass(frozen=True)
class JoinedMembers:
    """Members of an experiment that act as one model; a single one is what it is.

    runs: their resolved configurations. run: that of the first, with the common preprocessing and the common run id.
    inputs: of each member. stride: what tiles are multiples of.
    """

    runs: tuple[Mapping[str, Any], ...]
    run: Mapping[str, Any]
    inputs: tuple[InputMap, ...]
    stride: Size

    @property
    def names(self) -> list[str]:
        """Names of the members, such as "fold0-seed1"."""
        return [_name(run) for run in self.runs]

    @property
    def folds(self) -> list[int]:
        """The folds that members were trained on, each once."""
        return sorted({run["fold"] for run in self.runs})

    def members_of_fold(self, fold: int) -> list[int]:
        """Places of the members that were trained on a fold."""
        return [place for place, run in enumerate(self.runs) if run["fold"] == fold]

    def torch_runtime(
        self, models: Sequence[Path], threads: int, places: Sequence[int] | None = None, compiled: bool = False
    ) -> Runtime:
        """PyTorch's mean of the members at these places, None for all; models: the weights of every member."""
        chosen = range(len(models)) if places is None else places
        runtimes = [_mapped(TorchRuntime(models[place], threads, compiled), self.inputs[place]) for place in chosen]
        return runtimes[0] if len(runtimes) == 1 else EnsembleRuntime(runtimes)


def _mapped(runtime: Runtime, own_input: InputMap) -> Runtime:
    return lambda batch: runtime(own_input(batch))


def join_members(runs: Sequence[Mapping[str, Any]], tiling: Mapping[str, Any] | None) -> JoinedMembers:
    """Join members, given their resolved configurations, so that they act as one model.

    tiling: the `predict` options; None where tiles do not matter. Raises MaskmillError, with a line for each reason,
    where the members' probabilities would not be averaged as each of them gives them by itself: where tiles, strides or
    what comes before normalisation differ in a way that no map of the input makes up for.
    """
    strides = [network_stride(*(run["model"][name] for name in ("dimensions", "depth", "planar"))) for run in runs]
    each = _with_all_pixel_types([Preprocessing.from_dict(run["preprocessing"]) for run in runs])
    if len(runs) > 1:
        each = [_without_idle_moments(one) for one in each]
    if len(set(each)) == 1:
        common = each[0]
    else:
        common = replace(each[0], intensity_ranges=_union_of_ranges(each))
        if common.normalization == "dataset":
            common = replace(common, mean=(0.0,) * common.channels, std=(1.0,) * common.channels)
    lines = [
        *_differences("tiles", runs, [resolve_tiling(tiling, run).as_dict() if tiling else None for run in runs],
                      "give predict.tile as a number or [depth, height, width]"),
        *_differences("the multiples that tiles must be of", runs, strides,
                      "give model.depth and model.planar as numbers and train again"),
        *_differences("preprocessing", runs, [_unmappable(one, common) for one in each],
                      "set preprocess.intensities to image, or preprocess.window, and train again"),
    ]  # fmt: skip
    if lines:
        raise MaskmillError(
            "the members cannot be averaged in one model, since they do not look at pictures alike:\n"
            + "\n".join(lines)
            + "\nOr write export: {members: best}, which deploys the best member alone."
        )
    run_id = joined_run_id([run["run_id"] for run in runs])
    run = {**runs[0], "run_id": run_id, "preprocessing": common.as_dict()}
    return JoinedMembers(tuple(runs), run, tuple(_input_map(common, one) for one in each), strides[0])


def _with_all_pixel_types(each: Sequence[Preprocessing]) -> list[Preprocessing]:
    """Each with what any of them was trained on, as together they may be given that."""
    known = tuple(sorted({name for one in each for name in one.pixel_types}))
    return [replace(one, pixel_types=known) for one in each]


def _without_idle_moments(preprocessing: Preprocessing) -> Preprocessing:
    """Without the mean and std of the training pictures where each picture is normalised by its own."""
    return preprocessing if preprocessing.normalization == "dataset" else replace(preprocessing, mean=(), std=())


def _union_of_ranges(each: Sequence[Preprocessing]) -> Pairs | None:
    """Ranges that hold those of all members; None where some take each picture's own."""
    ranges = [one.intensity_ranges for one in each]
    if None in ranges:
        return None
    return tuple((min(low for low, _ in pairs), max(high for _, high in pairs)) for pairs in zip(*ranges, strict=True))


def _unmappable(one: Preprocessing, common: Preprocessing) -> dict[str, Any]:
    """What members must have in common; the ranges too where more than their scale follows from them."""
    values = one.as_dict()
    values.pop("mean"), values.pop("std")
    plain = one.normalization == "dataset" and not one.intensity_floor and not one.crop_border
    if plain and common.intensity_ranges is not None:
        values.pop("intensity_ranges")
    return values


def _differences(what: str, runs: Sequence[Mapping[str, Any]], values: Sequence[Any], remedy: str) -> Iterator[str]:
    """A line on the first member that differs from the first of all."""
    for run, value in zip(runs, values, strict=True):
        if value != values[0]:
            first, other = values[0], value
            if isinstance(value, dict):
                names = [name for name in value | first if value.get(name) != first.get(name)]
                first, other = ({name: one.get(name) for name in names} for one in (first, other))
            yield f"  - {what}: {first} of {_name(runs[0])}, {other} of {_name(run)}; {remedy}"
            return


def _input_map(common: Preprocessing, own: Preprocessing) -> InputMap:
    if own == common or own.normalization == "image":
        return InputMap()
    rescale = None
    if own.intensity_ranges != common.intensity_ranges:
        pairs = zip(common.intensity_ranges, own.intensity_ranges, strict=True)
        rescale = tuple(
            ((top - bottom) / (high - low), (bottom - low) / (high - low)) for (bottom, top), (low, high) in pairs
        )
    return InputMap(rescale, tuple((mean, max(std, MINIMUM_STD)) for mean, std in zip(own.mean, own.std, strict=True)))


def _name(run: Mapping[str, Any]) -> str:
    return f"fold{run['fold']}-seed{run['seed']}"
