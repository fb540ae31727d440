"""Predicting a whole split with a trained member, or with the members of an experiment together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskmill.data.cases import read_cases
from maskmill.files import atomic_path
from maskmill.imaging.lazy import open_pixels
from maskmill.inference.members import join_members
from maskmill.inference.preprocess import Preprocessing
from maskmill.inference.sliding_window import predict_bands, write_bands
from maskmill.inference.tiling import resolve_tiling
from maskmill.logs import progress
from maskmill.runs import read_run


def predict_split(
    models: Sequence[Path],
    configs: Sequence[Path],
    samples: Path,
    splits: Path,
    split: str,
    tiling: dict[str, Any],
    output: Path,
) -> None:
    """Write the probabilities of every picture of a split as `<id>.npy`, uint8 (K, D, H, W), below `output`.

    models, configs: of one member, or of several, whose mean it is. A validation picture is predicted by those members
    alone that were not trained on it: the ones whose fold it is for validation in. tiling: the `predict` options.
    """
    joined = join_members([read_run(config) for config in configs], tiling)
    run, dimensions = joined.run, joined.run["model"]["dimensions"]
    preprocessing, tiles = Preprocessing.from_dict(run["preprocessing"]), resolve_tiling(tiling, run)
    with atomic_path(output) as aside:
        for fold in joined.folds if split == "validation" else joined.folds[:1]:  # all folds have the same test
            places = joined.members_of_fold(fold) if split == "validation" else None
            runtime = joined.torch_runtime(models, run["train"]["threads"], places)
            for case in progress(read_cases(samples, splits, fold, split), f"{split} pictures"):
                target = aside / f"{case.id}.npy"
                target.parent.mkdir(parents=True, exist_ok=True)
                with open_pixels(case.image, case.is_volume) as image:
                    bands = predict_bands(image, preprocessing, tiles, joined.stride, dimensions, runtime)
                    write_bands(target, bands, image.shape[:3])
