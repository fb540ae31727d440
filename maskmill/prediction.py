"""Predicting a whole split with one trained member."""

from pathlib import Path
from typing import Any

import numpy as np

from maskmill.files import atomic_path, read_table
from maskmill.images import read_image
from maskmill.inference import Tiling, predict_probabilities
from maskmill.logs import progress
from maskmill.preprocess import Preprocessing
from maskmill.runs import read_run
from maskmill.runtimes import TorchRuntime


def predict_split(
    model: Path, config: Path, samples: Path, splits: Path, split: str, tiling: dict[str, Any], output: Path
) -> None:
    """Write the probabilities of every picture of a split as `<id>.npy`, uint8 (K, H, W), below `output`."""
    run = read_run(config)
    runtime = TorchRuntime(model, run["train"]["threads"])
    preprocessing = Preprocessing.from_dict(run["preprocessing"])
    images = {row["id"]: row["image"] for row in read_table(samples)}
    ids = [row["id"] for row in read_table(splits) if row[f"fold{run['fold']}"] == split]
    with atomic_path(output) as aside:
        for name in progress(ids, f"{split} pictures"):
            image = read_image(images[name])
            probabilities = predict_probabilities(image, preprocessing, Tiling(**tiling), runtime.stride, runtime)
            target = aside / f"{name}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            np.save(target, probabilities)
