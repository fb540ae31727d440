"""Predicting a whole split with one trained member."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.data.cases import read_cases
from maskmill.files import atomic_path
from maskmill.imaging.lazy import let_go, open_pixels
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.runtimes import TorchRuntime
from maskmill.inference.sliding_window import Band, predict_bands
from maskmill.inference.tiling import resolve_tiling
from maskmill.logs import progress
from maskmill.runs import read_run
from maskmill.sizes import Size


def predict_split(
    model: Path, config: Path, samples: Path, splits: Path, split: str, tiling: dict[str, Any], output: Path
) -> None:
    """Write the probabilities of every picture of a split as `<id>.npy`, uint8 (K, D, H, W), below `output`.

    tiling: the `predict` options.
    """
    run = read_run(config)
    runtime = TorchRuntime(model, run["train"]["threads"])
    preprocessing, tiles = Preprocessing.from_dict(run["preprocessing"]), resolve_tiling(tiling, run)
    with atomic_path(output) as aside:
        for case in progress(read_cases(samples, splits, run["fold"], split), f"{split} pictures"):
            target = aside / f"{case.id}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_pixels(case.image, case.is_volume) as image:
                bands = predict_bands(image, preprocessing, tiles, runtime.stride, runtime.dimensions, runtime)
                write_bands(target, bands, image.shape[:3])


def write_bands(target: Path, bands: Iterable[Band], size: Size) -> None:
    """Write probabilities in bands, of a picture of this size (depth, height, width), as .npy: uint8 (K, D, H, W)."""
    written: np.ndarray | None = None
    for band in bands:
        if written is None:
            written = np.lib.format.open_memmap(target, "w+", np.uint8, (len(band.values), *size))
        page, rows = band.place
        written[:, page, rows] = band.values
        let_go(written)
