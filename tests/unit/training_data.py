"""Generated data for the tests of training: noisy pictures with rotated rectangles, noisy volumes with balls."""

from pathlib import Path
from typing import Any

import cv2
import nibabel
import numpy as np
from PIL import Image

from maskmill.classes import Classes
from maskmill.data.cache import cache_shard
from maskmill.data.fingerprint import fingerprint_dataset
from maskmill.files import write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume

PREPROCESS = {
    "scale": 1.0,
    "intensities": "auto",
    "intensity_floor": 0,
    "crop_border": False,
    "window": None,
    "normalization": "dataset",
}

SPACING = (1.0, 1.0, 1.0)
"""Distance of slices, rows and columns of generated volumes, in millimetres."""


def options(**train: Any) -> dict[str, dict[str, Any]]:
    """The sections of a config that trains in seconds; `train` overrides its training options."""
    return {
        "model": {
            "architecture": "unet", "dimensions": 2, "width": 8, "depth": 2, "planar": 0, "residual": False,
            "deep_supervision": False, "act": "relu", "norm": "batch", "attention": "none", "downsampling": "maxpool",
            "upsampling": "transposed", "init": "he_uniform",
        },
        "loss": {
            "ce": 0.5, "dice": 0.3, "lovasz": 0.2, "boundary": 0.0, "ohem": 1.0, "class_weights": None,
            "per_sample": False,
        },
        "augment": {
            "flip": 0.5, "rotate90": 0.5, "affine": 0.3, "rotate_limit": 15, "scale_limit": 0.1, "shift_limit": 0.1,
            "noise": 0.2, "brightness_contrast": 0.2, "gamma": 0.2,
        },
        "train": {
            "epochs": 3, "patches_per_epoch": "auto", "batch_size": 4, "accumulate": 1, "patch": 32, "foreground": 0.5,
            "class_shares": [1.0], "optimizer": "adamw", "lr": 3e-3, "momentum": 0.9, "weight_decay": 1e-4,
            "schedule": "cosine", "warm_up": 0.05, "step_epochs": [10], "step_factor": 0.5, "clip": 0, "ema": 0,
            "patience": 0, "threads": 1, "precision": "32", "compile": False, "deterministic": True, "devices": 1,
            "nodes": 1,
            **train,
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


def draw_volume(seed: int, size: int, classes: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A noisy volume, int16 (size / 2, size, size), its balls brighter by class, and labels, uint8 of this shape."""
    random = np.random.default_rng(seed)
    labels = np.zeros((size // 2, size, size), np.uint8)
    places = np.indices(labels.shape)
    for number in range(4):
        centre = random.uniform(0.2, 0.8, 3) * labels.shape
        distance = np.linalg.norm(places - centre[:, None, None, None], axis=0)
        labels[distance < size * random.uniform(0.12, 0.25)] = number % classes + 1
    levels = np.linspace(-200, 600, classes + 1)[labels]
    return (levels + random.normal(0, 100, labels.shape)).astype(np.int16), labels


def write_data(
    folder: Path,
    splits: list[str],
    size: int = 64,
    classes: int = 1,
    channels: int = 3,
    preprocess: dict | None = None,
    volumes: bool = False,
) -> dict[str, Any]:
    """Generate a picture, or NIfTI volume, for each entry of `splits`, cache them in two shards, fingerprint them.

    Returns the arguments cache, splits, fingerprint and classes of `train_model`.
    """
    names = [f"class {number}" for number in range(1, classes + 1)]
    preprocess = PREPROCESS | (preprocess or {})
    rows = []
    for number, split in enumerate(splits):
        sample, shard = f"site {number % 3}/é{number}", f"{number % 2:02d}"
        stem, labels = folder / f"images/{sample}", folder / f"labels/{shard}"
        if volumes:
            image, depth = _write_volume(stem, labels / f"{sample}.nii.gz", *draw_volume(number, size, classes))
        else:
            drawn = draw_sample(number, size, classes, channels)
            image, depth = _write_picture(stem, labels / f"{sample}.png", *drawn, Classes.from_config(names)), 1
        rows.append({"id": sample, "image": str(image), "depth": depth, "shard": shard, "fold0": split})
    _write(folder / "samples.csv", rows, ["id", "image", "depth"])
    _write(folder / "splits.csv", rows, ["id", "fold0"])
    caches = []
    for shard in ("00", "01"):
        _write(folder / f"shards/{shard}.csv", [row for row in rows if row["shard"] == shard], ["id", "image", "depth"])
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


def _write_picture(stem: Path, label_file: Path, image: np.ndarray, labels: np.ndarray, classes: Classes) -> Path:
    path = stem.with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0]).save(path)
    write_label_png(label_file, labels, classes)
    return path


def _write_volume(stem: Path, label_file: Path, image: np.ndarray, labels: np.ndarray) -> tuple[Path, int]:
    path = stem.with_suffix(".nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(image.transpose(2, 1, 0), np.diag([*SPACING[::-1], 1])), path)
    write_label_volume(label_file, labels, path)
    return path, len(labels)


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
