"""Errors near the borders of tiles, against those elsewhere: whether the sliding window leaves seams.

A border is where a tile begins or ends within a picture (or volume); the picture's own edge is none. Pixels whose
label is 255 (ignore) count nowhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import IGNORE
from maskmill.dag.option_checks import network_stride
from maskmill.data.cases import Case, label_paths, read_cases, read_mask
from maskmill.files import read_table, write_table
from maskmill.imaging.lazy import Box, open_pixels, scale_picture
from maskmill.imaging.resampling import scaled_size
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import LEVELS
from maskmill.inference.tiling import Tiling, lay_tiles, resolve_tiling
from maskmill.logs import progress
from maskmill.runs import read_run
from maskmill.sizes import Size

DISTANCE = 8
"""How far from a border, in pixels, counts as near it."""

COLUMNS = ("id", "near_pixels", "near_errors", "near_gap", "far_pixels", "far_errors", "far_gap", "ratio")
"""Of pixels near a border and far from any: how many; how many have a wrong class; the mean over classes and pixels of
|p − label|. ratio: share of wrong pixels near borders, by that far from them; empty where undefined."""


def measure_seams(
    probabilities: str | PathLike,
    masks: str | PathLike,
    labels: Sequence[str | PathLike],
    samples: str | PathLike,
    splits: str | PathLike,
    config: str | PathLike,
    split: str,
    tiling: Mapping[str, Any],
    output: str | PathLike,
) -> None:
    """Write a row (`COLUMNS`) for each case of a split that a member predicted.

    labels: the label folders of the shards. config: the member's. tiling: the `predict` options.
    """
    run = read_run(Path(config))
    model, tiles = run["model"], resolve_tiling(tiling, run)
    stride = network_stride(model["dimensions"], model["depth"], model["planar"])
    preprocessing = Preprocessing.from_dict(run["preprocessing"])
    cases = read_cases(samples, splits, run["fold"], split)
    rows = []
    for case, label in progress(list(zip(cases, label_paths(cases, labels), strict=True)), "seams"):
        predicted = np.load(Path(probabilities, f"{case.id}.npy"), mmap_mode="r")
        near = near_borders(_borders(case, predicted.shape[1:], preprocessing, tiles, stride), predicted.shape[1:])
        rows.append({"id": case.id, **seam_row(predicted, read_mask(case.mask_path(masks)), read_mask(label), near)})
    write_table(output, rows, COLUMNS)


def seam_row(
    probabilities: np.ndarray, mask: np.ndarray, reference: np.ndarray, near: Sequence[np.ndarray]
) -> dict[str, float | None]:
    """What `COLUMNS` says of one case. probabilities: uint8 (K, D, H, W), rounded 255-fold; mask, reference: (D, H, W).

    near: along each axis, whether a slice, row or column is near a border.
    """
    counts = {place: np.zeros(3) for place in ("near", "far")}
    for page, (predicted, found, truth) in enumerate(zip(probabilities.swapaxes(0, 1), mask, reference, strict=True)):
        classes = np.arange(1, len(predicted) + 1)[:, np.newaxis, np.newaxis]
        gap = np.abs(predicted / np.float32(LEVELS) - (truth == classes)).mean(axis=0)
        close, valid = near[0][page] | near[1][:, np.newaxis] | near[2], truth != IGNORE
        for place, chosen in (("near", close & valid), ("far", ~close & valid)):
            counts[place] += chosen.sum(), (found != truth)[chosen].sum(), gap[chosen].sum(dtype=np.float64)
    row: dict[str, float | None] = {}
    for place, (pixels, errors, gap) in counts.items():
        row |= {f"{place}_pixels": int(pixels), f"{place}_errors": int(errors)}
        row[f"{place}_gap"] = gap / pixels if pixels else None
    return row | {"ratio": _ratio(row)}


def pool_seams(table: str | PathLike) -> dict[str, float | None]:
    """The pixels and errors near borders and far from them of all cases of the table together, and their ratio."""
    rows = read_table(table)
    total = {name: sum(int(row[name]) for row in rows) for name in COLUMNS if name.endswith(("pixels", "errors"))}
    return total | {"ratio": _ratio(total)}


def describe_seams(table: str | PathLike) -> str:
    """What the table says of all cases together, in one sentence."""
    total = pool_seams(table)
    if not total["near_pixels"]:
        return "Each picture fits into one tile, so that there are no borders between tiles."
    near, far = (
        f"{100 * total[f'{place}_errors'] / max(1, total[f'{place}_pixels']):.2f} %" for place in ("near", "far")
    )
    compared = "" if total["ratio"] is None else f", {total['ratio']:.2f} times as many"
    return (
        f"Within {DISTANCE} pixels of the borders of tiles {near} of the pixels have a wrong class, elsewhere {far}"
        f"{compared} ({total['near_pixels']:,} and {total['far_pixels']:,} pixels)."
    )


def near_borders(borders: Sequence[Sequence[float]], size: Size) -> list[np.ndarray]:
    """Whether the slices, rows and columns of a picture of this size are near one of the borders along their axis."""
    return [_near(np.asarray(of_axis, float), length) for of_axis, length in zip(borders, size, strict=True)]


def _near(borders: np.ndarray, length: int) -> np.ndarray:
    centres = np.arange(length)[:, np.newaxis] + 0.5
    return (np.abs(centres - borders) < DISTANCE).any(axis=1)


def _borders(
    case: Case, size: Size, preprocessing: Preprocessing, tiling: Tiling, stride: Size
) -> Iterator[list[float]]:
    """Where tiles begin or end within the picture, along each axis, in pixels from its beginning."""
    scaled, box = _content(case, size, preprocessing)
    content = tuple(side.stop - side.start for side in box)
    grid = lay_tiles(content, tiling, stride)
    for axis, starts in enumerate(grid.starts):
        places = {place for start in starts for place in (start, start + grid.inner[axis])}
        factor = size[axis] / scaled[axis]
        yield sorted((box[axis].start + place) * factor for place in places if 0 < place < content[axis])


def _content(case: Case, size: Size, preprocessing: Preprocessing) -> tuple[Size, Box]:
    """Size of the scaled picture, and the box in it that is predicted."""
    scaled = size[0], *scaled_size(*size[1:], preprocessing.scale)
    if not preprocessing.crop_border:
        return scaled, tuple(slice(0, side) for side in scaled)
    with open_pixels(case.image, case.is_volume) as image:
        return scaled, preprocessing.survey(scale_picture(image, preprocessing.scale)).box


def _ratio(counts: Mapping[str, float | None]) -> float | None:
    if not counts["near_pixels"] or not counts["far_errors"]:
        return None
    return (counts["near_errors"] / counts["near_pixels"]) / (counts["far_errors"] / counts["far_pixels"])
