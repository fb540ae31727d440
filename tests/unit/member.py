"""A small trained-looking member of an experiment, made without training, for tests of what comes after training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from maskmill.classes import Classes
from maskmill.files import write_json, write_table
from maskmill.images import write_label_png
from maskmill.models import build_model, output_channels, save_model

MODEL = {
    "architecture": "unet",
    "width": 4,
    "depth": 2,
    "act": "relu",
    "norm": "batch",
    "attention": "none",
    "downsampling": "maxpool",
    "upsampling": "bilinear",
    "init": "he_uniform",
}
CLASSES = Classes.from_config({"roof": "#e69f00", "road": "#56b4e9"})
TILING = {"tile": 32, "overlap": 0.25, "blending": "gaussian", "batch_size": 2}
LIMITS = {"mask_disagreement": 1e-4, "iou_difference": 1e-3}


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
    def tables(self) -> dict:
        """What tells which pictures to compare on."""
        return {
            "samples": self.folder / "samples.csv",
            "splits": self.folder / "splits.csv",
            "labels": [self.folder / "labels/00"],
        }


def write_weights(path: Path, seed: int, **options) -> None:
    """Write a model with initial weights and random batch statistics."""
    torch.manual_seed(seed)
    model = build_model(MODEL | options, 3, output_channels(len(CLASSES)))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    metadata = {"run_id": "0123456789ab", "model": MODEL | options, "channels": 3, "classes": list(CLASSES.names)}
    save_model(path, model, metadata)


def make_member(folder: Path) -> Member:
    """Write a member into `folder`."""
    member = Member(folder)
    write_weights(member.files["model"], seed=1)
    rng = np.random.default_rng(0)
    rows = []
    (folder / "labels/00").mkdir(parents=True)
    for name, (height, width) in {"a": (50, 70), "b": (33, 41)}.items():
        picture = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{name}.png")
        write_label_png(folder / f"labels/00/{name}.png", (picture[..., 0] // 86).astype(np.uint8), CLASSES)
        rows.append({"id": name, "image": str(folder / f"{name}.png"), "shard": "00", "fold0": "validation"})
    write_table(folder / "samples.csv", [{"id": row["id"], "image": row["image"]} for row in rows], ("id", "image"))
    splits = [{key: row[key] for key in ("id", "shard", "fold0")} for row in rows]
    write_table(folder / "splits.csv", splits, ("id", "shard", "fold0"))
    write_json(member.files["point"], {"thresholds": [0.3, 0.35], "minimum_areas": [0, 4], "samples": ["a", "b"]})
    write_json(folder / "fingerprint.json", {"folds": [{"samples": []}]})
    run = {
        "run_id": "0123456789ab",
        "fold": 0,
        "classes": CLASSES.as_list(),
        "model": MODEL,
        "train": {"threads": 1},
        "preprocessing": {
            "channels": 3,
            "scale": 1.0,
            "intensity_range": [0, 255],
            "intensity_floor": 0.0,
            "crop_border": False,
            "normalization": "dataset",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.3, 0.3, 0.3],
        },
    }
    member.files["config"].write_text(yaml.safe_dump(run), encoding="utf-8")
    write_json(folder / "summary.json", {"test": {"mean": {"iou": {"mean": 0.5, "low": 0.4, "high": 0.6}}}})
    return member
