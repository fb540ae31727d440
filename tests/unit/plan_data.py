"""Fingerprints and options as a plan is made from."""

import copy
from collections.abc import Sequence
from typing import Any

MODEL = {
    "architecture": "unet", "dimensions": "auto", "width": 8, "depth": "auto", "planar": "auto", "residual": False,
    "deep_supervision": False, "act": "relu", "norm": "batch", "attention": "none", "downsampling": "maxpool",
    "upsampling": "interpolated", "init": "he_uniform",
}  # fmt: skip

AUTO = {
    "model": MODEL,
    "loss": {"ce": 0.5, "dice": 0.3, "lovasz": 0.2, "boundary": 0.0, "ohem": 1.0, "class_weights": "auto"},
    "train": {
        "patch": "auto", "batch_size": "auto", "foreground": "auto", "optimizer": "adamw", "ema": 0,
        "precision": "auto", "accumulate": 1,
    },
}  # fmt: skip
"""Options that leave everything to the plan."""


def options(**sections: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """AUTO with some values said."""
    changed = copy.deepcopy(AUTO)
    for section, values in sections.items():
        changed[section] |= values
    return changed


def fingerprint(
    shape: tuple[int, int, int] = (1, 512, 512),
    spacing: Sequence[float] | None = None,
    extents: Sequence[int] = (60, 90),
    fractions: Sequence[float] = (0.8, 0.15, 0.05),
    pictures: Sequence[int] = (20, 10),
    samples: int = 400,
) -> dict[str, Any]:
    """Of `samples` pictures or volumes of one shape (depth, height, width), with the classes roof and road."""
    classes = ["roof", "road"]
    sizes = {side: dict.fromkeys(("min", "median", "max"), length) for side, length in
             zip(("depth", "height", "width"), shape, strict=True)}  # fmt: skip
    objects = [
        {"class": name, "count": 5, "extent": {side: {"p5": 1, "median": 2, "p95": extent} for side in sizes}}
        for name, extent in zip(classes, extents, strict=True)
    ]
    return {
        "classes": classes,
        "folds": [
            {
                "preprocessing": {"channels": 3, "normalization": "dataset"},
                "intensities": {"ranges": "8-bit", "reason": "all pictures have 8 bits"},
                "class_fractions": list(fractions),
                "class_pictures": list(pictures),
                "train_samples": samples,
                "train_pixels": samples * shape[0] * shape[1] * shape[2],
                "sizes": sizes,
                "objects": objects,
                "volumes": shape[0] > 1,
                "spacing": list(spacing) if spacing else None,
                "unit": "mm" if spacing else None,
                "advice": [],
            }
        ],
    }
