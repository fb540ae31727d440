"""Predicting a whole split with one trained member."""

from pathlib import Path
from typing import Any

import numpy as np

from maskmill.data.cases import read_cases
from maskmill.files import atomic_path
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.runtimes import TorchRuntime
from maskmill.inference.sliding_window import predict_probabilities
from maskmill.inference.tiling import resolve_tiling
from maskmill.logs import progress
from maskmill.runs import read_run


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
            probabilities = predict_probabilities(
                case.pixels(), preprocessing, tiles, runtime.stride, runtime.dimensions, runtime
            )
            target = aside / f"{case.id}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, probabilities)
