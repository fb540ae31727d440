"""A small trained-looking member of an experiment, made without training, for tests of what comes after training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from maskmill.classes import Classes
from maskmill.files import write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume
from maskmill.models import build_model, output_channels, save_model
from tests.unit.volume_data import turned_affine, write_nifti

MODEL = {
    "architecture": "unet",
    "dimensions": 2,
    "width": 4,
    "depth": 2,
    "planar": 0,
    "residual": False,
    "deep_supervision": False,
    "act": "relu",
    "norm": "batch",
    "attention": "none",
    "downsampling": "maxpool",
    "upsampling": "interpolated",
    "init": "he_uniform",
}
CLASSES = Classes.from_config({"roof": "#e69f00", "road": "#56b4e9"})
TILING = {"tile": 32, "overlap": 0.25, "blending": "gaussian", "batch_size": 2, "tta": "none"}
VOLUME_TILING = {**TILING, "tile": "auto"}
PATCH = [8, 16, 16]
LIMITS = {"mask_disagreement": 1e-4, "iou_difference": 1e-3}
POINT = {"thresholds": [0.3, 0.35], "steps": [{"step": "remove_small", "class": 2, "area": 4}]}
CASES = {"a": (50, 70), "b": (33, 41)}
VOLUMES = {"a": (13, 30, 25), "b": (9, 12, 21)}
SPACING = (2.5, 0.8, 0.7)


@dataclass(frozen=True)
class Member:
    """Files of a member: weights, config, operating point, two validation pictures with labels, summary."""

    folder: Path

    @property
    def files(self) -> dict[str, Path]:
        """The member's own files by the names that library functions give them."""
        names = {"model": "model.safetensors", "config": "config.yaml", "point": "operating_point.json"}
        return {name: self.folder / file for name, file in names.items()}

    @property
    def inputs(self) -> dict:
        """The same as the functions take them that work on several members too."""
        files = self.files
        return {"models": [files["model"]], "configs": [files["config"]], "point": files["point"]}

    @property
    def tables(self) -> dict:
        """What tells which pictures to compare on."""
        return {
            "samples": self.folder / "samples.csv",
            "splits": self.folder / "splits.csv",
            "labels": [self.folder / "labels/00"],
        }


def write_weights(path: Path, seed: int, channels: int = 3, **options) -> None:
    """Write a model with initial weights and random batch statistics."""
    torch.manual_seed(seed)
    model = build_model(MODEL | options, channels, output_channels(len(CLASSES)))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    metadata = {
        "run_id": "0123456789ab",
        "model": MODEL | options,
        "channels": channels,
        "classes": list(CLASSES.names),
    }
    save_model(path, model, metadata)


def make_member(folder: Path, volumes: bool = False, **model) -> Member:
    """Write a member into `folder`; `volumes`: of grey volumes instead of colour pictures; `model`: other options."""
    member, channels = Member(folder), 1 if volumes else 3
    write_weights(member.files["model"], seed=1, channels=channels, **model)
    (folder / "labels/00").mkdir(parents=True)
    samples = _write_volumes(folder) if volumes else _write_pictures(folder)
    rows = [{"id": name, "group": name, "shard": "00", **row} for name, row in samples.items()]
    write_table(folder / "samples.csv", rows, list(rows[0]))
    splits = [{key: row[key] for key in ("id", "group", "shard")} | {"fold0": "validation"} for row in rows]
    write_table(folder / "splits.csv", splits, list(splits[0]))
    write_json(member.files["point"], POINT | {"samples": ["a", "b"]})
    write_json(folder / "fingerprint.json", {"folds": [{"samples": [], "volumes": volumes}]})
    run = {
        "run_id": "0123456789ab",
        "fold": 0,
        "seed": 0,
        "classes": CLASSES.as_list(),
        "model": MODEL | model,
        "train": {"threads": 1, "patch": PATCH},
        "preprocessing": {
            "channels": channels,
            "scale": 1.0,
            "intensity_ranges": [[0, 255]] * channels,
            "intensity_floor": 0.0,
            "crop_border": False,
            "normalization": "dataset",
            "mean": [0.5] * channels,
            "std": [0.3] * channels,
        },
    }
    member.files["config"].write_text(yaml.safe_dump(run), encoding="utf-8")
    write_json(folder / "summary.json", {"test": {"mean": {"iou": {"mean": 0.5, "low": 0.4, "high": 0.6}}}})
    return member


def _write_pictures(folder: Path) -> dict[str, dict]:
    rng = np.random.default_rng(0)
    for name, (height, width) in CASES.items():
        picture = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{name}.png")
        write_label_png(folder / f"labels/00/{name}.png", (picture[..., 0] // 86).astype(np.uint8), CLASSES)
    return {name: {"image": str(folder / f"{name}.png"), "depth": 1} for name in CASES}


def _write_volumes(folder: Path) -> dict[str, dict]:
    rng = np.random.default_rng(0)
    for name, size in VOLUMES.items():
        pixels = rng.integers(0, 256, size).astype(np.uint8)
        file = write_nifti(folder / f"{name}.nii.gz", pixels.transpose(2, 1, 0), turned_affine(SPACING[::-1]))
        write_label_volume(folder / f"labels/00/{name}.nii.gz", pixels // 86, like=file)
    return {name: {"image": str(folder / f"{name}.nii.gz"), "depth": size[0]} for name, size in VOLUMES.items()}
