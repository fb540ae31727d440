"""A small trained-looking member of an experiment, made without training, for tests of what comes after training."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from maskmill.classes import Classes
from maskmill.files import read_json, read_table, write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume
from maskmill.models import build_model, output_channels, save_model
from maskmill.runs import read_run
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
LIMITS = {
    "fp32": {"mask_disagreement": 1e-4, "iou_difference": 1e-3, "hd95_difference": 0.5},
    "fp16": {"mask_disagreement": 2e-3, "iou_difference": 5e-3, "hd95_difference": 1},
    "bf16": {"mask_disagreement": 5e-3, "iou_difference": 1e-2, "hd95_difference": 2},
    "int8": {"mask_disagreement": 2e-2, "iou_difference": 3e-2, "hd95_difference": 10},
}
POINT = {"temperature": 1.25, "thresholds": [0.3, 0.35], "steps": [{"step": "remove_small", "class": 2, "area": 4}]}
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
            "pixel_types": ["int16", "uint8"] if volumes else ["uint8"],
        },
    }
    member.files["config"].write_text(yaml.safe_dump(run), encoding="utf-8")
    write_json(folder / "summary.json", {"test": {"mean": {"iou": {"mean": 0.5, "low": 0.4, "high": 0.6}}}})
    return member


@dataclass(frozen=True)
class Ensemble(Member):
    """Two members of an experiment, and a test picture c beside the others."""

    @property
    def inputs(self) -> dict:
        """The members' files, as functions take them."""
        weights, configs = ([self.folder / f"{name}{number}" for number in (0, 1)] for name in ("model", "config"))
        return {
            "models": [file.with_suffix(".safetensors") for file in weights],
            "configs": [file.with_suffix(".yaml") for file in configs],
            "point": self.files["point"],
        }


def make_ensemble(folder: Path, folds: tuple[int, int]) -> Ensemble:
    """Write two members of these folds, whose weights and, of different folds, normalisation differ.

    Picture a is for validation in fold 0, b in fold 1, and c, which looks like b, is for testing.
    """
    ensemble, run = Ensemble(folder), read_run(make_member(folder).files["config"])
    for number, fold in enumerate(folds):
        model, config = (ensemble.inputs[name][number] for name in ("models", "configs"))
        write_weights(model, seed=1 + number)
        moments = {"mean": [0.5 - fold / 4] * 3, "std": [0.3 + fold / 5] * 3}
        changed = {"run_id": f"run{number}", "fold": fold, "seed": number} | {
            "preprocessing": run["preprocessing"] | moments
        }
        config.write_text(yaml.safe_dump(run | changed), encoding="utf-8")
    shutil.copy(folder / "labels/00/b.png", folder / "labels/00/c.png")
    rows = read_table(folder / "samples.csv")
    write_table(folder / "samples.csv", [*rows, rows[1] | {"id": "c", "group": "c"}], list(rows[0]))
    parts = {"a": ("validation", "train"), "b": ("train", "validation"), "c": ("test", "test")}
    splits = [{"id": name, "group": name, "shard": "00", "fold0": part[0], "fold1": part[1]}
              for name, part in parts.items()]  # fmt: skip
    write_table(folder / "splits.csv", splits, list(splits[0]))
    tuned = ["a", "b"] if len(set(folds)) == 2 else ["a"]
    write_json(ensemble.files["point"], POINT | {"samples": tuned})
    fingerprint = [{"samples": [sample], "volumes": False} for sample in ("b", "a")]
    write_json(folder / "fingerprint.json", {"folds": fingerprint})
    test = {"mean": {"iou": {"mean": 0.6, "low": 0.5, "high": 0.7}}}
    write_json(folder / "summary.json", read_json(folder / "summary.json") | {"ensemble": {"test": test}})
    return ensemble


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
