"""Generated data for the tests of training: noisy pictures with rotated rectangles."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskmill.cache import cache_shard
from maskmill.classes import Classes
from maskmill.files import write_table
from maskmill.fingerprint import fingerprint_dataset

PREPROCESS = {
    "scale": 1.0,
    "intensity_floor": 0,
    "crop_border": False,
    "window": None,
    "normalization": "dataset",
}


def options(**train: Any) -> dict[str, dict[str, Any]]:
    """The sections of a config that trains in seconds; `train` overrides its training options."""
    return {
        "model": {
            "architecture": "unet", "width": 8, "depth": 2, "act": "relu", "norm": "batch", "attention": "none",
            "downsampling": "maxpool", "upsampling": "transposed", "init": "he_uniform",
        },
        "loss": {"ce": 0.5, "dice": 0.3, "lovasz": 0.2, "ohem": 1.0},
        "augment": {
            "flip": 0.5, "rotate90": 0.5, "affine": 0.3, "rotate_limit": 15, "scale_limit": 0.1, "shift_limit": 0.1,
            "noise": 0.2, "brightness_contrast": 0.2, "gamma": 0.2,
        },
        "train": {
            "epochs": 3, "patches_per_epoch": "auto", "batch_size": 4, "patch": 32, "foreground": 0.5,
            "optimizer": "adamw", "lr": 3e-3, "momentum": 0.9, "weight_decay": 1e-4, "schedule": "cosine",
            "threads": 1, "precision": "32", **train,
        },
        "predict": {"tile": 64, "overlap": 0.2, "blending": "gaussian", "batch_size": 4},
    }  # fmt: skip


def draw_sample(seed: int, size: int, classes: int = 1, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A noisy picture, uint8 (size, size, channels), its rectangles brighter by class, and labels (size, size)."""
    random = np.random.default_rng(seed)
    labels = np.zeros((size, size), np.uint8)
    for number in range(5):
        value = number % classes + 1
        corners = cv2.boxPoints(
            (random.uniform(0.1, 0.9, 2) * size, random.uniform(0.1, 0.35, 2) * size, random.uniform(0, 90))
        )
        cv2.fillPoly(labels, [corners.astype(np.int32)], value)
    levels = np.linspace(60, 190, classes + 1)[labels]
    image = levels[:, :, None] + random.normal(0, 20, (size, size, channels))
    return image.clip(0, 255).astype(np.uint8), labels


def write_data(
    folder: Path, splits: list[str], size: int = 64, classes: int = 1, channels: int = 3, preprocess: dict | None = None
) -> dict[str, Any]:
    """Generate a picture for each entry of `splits`, cache them in two shards, fingerprint them.

    Returns the arguments cache, splits, fingerprint and classes of `train_model`.
    """
    names = [f"class {number}" for number in range(1, classes + 1)]
    palette = Classes.from_config(names).palette()
    preprocess = PREPROCESS | (preprocess or {})
    rows = []
    for number, _ in enumerate(splits):
        sample, shard = f"site {number % 3}/é{number}", f"{number % 2:02d}"
        image, labels = draw_sample(number, size, classes, channels)
        image_path, label_path = folder / f"images/{sample}.png", folder / f"labels/{shard}/{sample}.png"
        for path in (image_path, label_path):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image if channels == 3 else image[:, :, 0]).save(image_path)
        label_picture = Image.fromarray(labels)
        label_picture.putpalette(palette)
        label_picture.save(label_path)
        rows.append({"id": sample, "image": str(image_path), "shard": shard, "fold0": splits[number]})
    _write(folder / "samples.csv", rows, ["id", "image"])
    _write(folder / "splits.csv", rows, ["id", "fold0"])
    caches = []
    for shard in ("00", "01"):
        _write(folder / f"shards/{shard}.csv", [row for row in rows if row["shard"] == shard], ["id", "image"])
        caches.append(folder / f"cache/{shard}")
        cache_shard(
            folder / f"shards/{shard}.csv", folder / "samples.csv", folder / f"labels/{shard}", caches[-1],
            preprocess["scale"],
        )  # fmt: skip
    fingerprint_dataset(caches, folder / "splits.csv", names, preprocess, folder / "fingerprint.json")
    return {
        "cache": [str(path) for path in caches],
        "splits": str(folder / "splits.csv"),
        "fingerprint": str(folder / "fingerprint.json"),
        "classes": names,
    }


def _write(path: Path, rows: list[dict], columns: list[str]) -> None:
    write_table(path, [{column: row[column] for column in columns} for row in rows], columns)


def outputs(folder: Path, store: Path) -> dict[str, Any]:
    """The arguments of `train_model` that say where things go: a member's folder, and an MLflow store."""
    return {
        "model": str(folder / "model.safetensors"),
        "config": str(folder / "config.yaml"),
        "history": str(folder / "history.csv"),
        "figure": str(folder / "training.png"),
        "state": str(folder / "state"),
        "tensorboard": str(folder / "tensorboard"),
        "tracking": {"uri": f"sqlite:///{store}", "experiment": "test"},
    }
