"""How fast is an epoch? The same U-Net, pictures, patch and batch in Maskmill's loop and in another one, in turn.

tutorial: each picture decoded and resized each time, one process, 32 bits, against Maskmill as it runs by default
    (mixed precision where the processor has it). monai: MONAI's recommended loop (pictures cached in memory), at equal
    numerics: both in 32 bits, and both in bf16 where the processor has it. nnunet: nnU-Net v2's 2D trainer with this
    network in 32 bits, in an environment of its own that has nnunetv2 and safetensors.
Both sides take the same number of steps; the shortest epoch of each counts. Ratios are theirs / ours.

    python bench/train.py {tutorial,monai,nnunet} [--nnunet-python PYTHON] [--threads 2] [--json FILE]
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from maskmill.data.cache import cache_shard
from maskmill.data.fingerprint import fingerprint_dataset
from maskmill.files import write_table
from maskmill.models import build_model
from maskmill.training.compute import Place, find_device, resolve_compute, start_compute
from maskmill.training.display import show_training
from maskmill.training.feed import Feed
from maskmill.training.job import read_job
from maskmill.training.learner import Learner
from maskmill.training.loop import train_epoch
from maskmill.training.progress import Progress

CLASSES = ["rectangle"]
PREPROCESS = {
    "scale": 1.0, "intensities": "auto", "intensity_floor": 0, "crop_border": False, "window": None,
    "normalization": "dataset",
}  # fmt: skip
PICTURES, SIDE, PATCH, BATCH, DRAWS, ROUNDS = 32, 1024, 256, 8, 96, 3
MODEL = {
    "architecture": "unet", "dimensions": 2, "width": 16, "depth": 4, "planar": 0, "residual": False,
    "deep_supervision": False, "act": "relu", "norm": "batch", "attention": "none", "downsampling": "maxpool",
    "upsampling": "transposed", "init": "he_uniform",
}  # fmt: skip
OPTIONS = {
    "model": MODEL,
    "loss": {
        "ce": 0.5, "dice": 0.3, "lovasz": 0.2, "boundary": 0.0, "ohem": 1.0, "class_weights": None, "per_sample": False,
    },
    "augment": {
        "flip": 0.5, "rotate90": 0.5, "affine": 0.5, "rotate_limit": 15, "scale_limit": 0.1, "shift_limit": 0.1,
        "noise": 0.2, "brightness_contrast": 0.3, "gamma": 0.2,
    },
    "train": {
        "epochs": 1000, "patches_per_epoch": DRAWS, "batch_size": BATCH, "accumulate": 1, "patch": PATCH,
        "foreground": 0.5, "class_shares": [1.0], "optimizer": "adamw", "lr": 1e-3, "momentum": 0.9,
        "weight_decay": 1e-4, "schedule": "constant", "warm_up": 0, "step_epochs": [10], "step_factor": 0.5, "clip": 0,
        "ema": 0, "patience": 0, "compile": False, "deterministic": True, "devices": 1, "nodes": 1,
    },
}  # fmt: skip


def write_pictures(folder: Path) -> list[tuple[Path, Path]]:
    """Noisy pictures with rectangles, `<n>.png`, and their masks of 0 and 1, `labels/<n>.png`."""
    random = np.random.default_rng(0)
    (folder / "labels").mkdir()
    files = []
    for number in range(PICTURES):
        labels = np.zeros((SIDE, SIDE), np.uint8)
        for _ in range(20):
            corners = cv2.boxPoints((random.uniform(0, SIDE, 2), random.uniform(40, 200, 2), random.uniform(0, 90)))
            cv2.fillPoly(labels, [corners.astype(np.int32)], 1)
        image = (80 + 90 * labels[..., None] + random.normal(0, 20, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
        files.append((folder / f"{number:02}.png", folder / f"labels/{number:02}.png"))
        for path, values in zip(files[-1], (image, labels), strict=True):
            cv2.imwrite(str(path), values)
    return files


def write_cache(folder: Path) -> None:
    """Cache and fingerprint of the pictures, of which the last is for validation."""
    ids = [f"{number:02}" for number in range(PICTURES)]
    samples = [{"id": name, "image": folder / f"{name}.png", "depth": 1} for name in ids]
    write_table(folder / "samples.csv", samples, ("id", "image", "depth"))
    splits = [{"id": name, "fold0": "validation" if name == ids[-1] else "train"} for name in ids]
    write_table(folder / "splits.csv", splits, ("id", "fold0"))
    cache_shard(folder / "samples.csv", folder / "samples.csv", folder / "labels", folder / "cache", 1.0)
    fingerprint_dataset([folder / "cache"], folder / "splits.csv", CLASSES, PREPROCESS, folder / "fingerprint.json")


class Ours:
    """One epoch of Maskmill's loop a call, in the given precision."""

    def __init__(self, folder: Path, precision: str) -> None:
        train = OPTIONS["train"] | {"precision": precision, "threads": torch.get_num_threads()}
        options = OPTIONS | {"train": train}
        compute = resolve_compute(options["train"], find_device())
        self.precision = compute["precision"]
        self._fabric = start_compute(compute, True, Place())
        files = folder / "splits.csv", folder / "fingerprint.json"
        self._job = read_job([folder / "cache"], *files, CLASSES, options, "bench", 0, 0, workers=1)
        self._learner, self._feed = Learner(self._job, self._fabric), Feed(self._job, self._fabric)
        self.waiting: float | None = None

    def __call__(self) -> None:
        progress = Progress()
        with show_training(1, self._feed.patches, 0, hidden=True) as display:
            train_epoch(self._job, self._fabric, self._learner, self._feed, progress, display, lambda: None)
        self.waiting = progress.waited / progress.seconds


def shortest(sides: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Seconds of the shortest epoch of each side, taking turns; the first epoch of each warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: min(times[1:]) for name, times in seconds.items()}


def network() -> torch.nn.Module:
    """The network, with the same weights each time."""
    torch.manual_seed(0)
    return build_model(MODEL, 3, 1)


def in_turn(ours: Ours, theirs: Callable[[], None]) -> dict[str, Any]:
    """What taking turns gives: seconds of an epoch, their ratio, the share of our time spent waiting for data."""
    seconds = shortest({"ours": ours, "theirs": theirs})
    return {"seconds": seconds, "ratio": seconds["theirs"] / seconds["ours"], "waiting": ours.waiting}


def against_tutorial(folder: Path, files: list[tuple[Path, Path]], _python: str) -> dict[str, Any]:
    """Both as they come."""
    from peers.tutorial import Tutorial

    ours = Ours(folder, "auto")
    return in_turn(ours, Tutorial(network(), files, PATCH, DRAWS, BATCH)) | {"precision": ours.precision}


def against_monai(folder: Path, files: list[tuple[Path, Path]], _python: str) -> dict[str, Any]:
    """Both in 32 bits, and both in bf16 where the processor has it; the ratio is the smaller one."""
    from peers.monai_loop import MonaiLoop

    fastest = resolve_compute({**OPTIONS["train"], "precision": "auto", "threads": 1}, find_device())["precision"]
    by_precision = {}
    for precision in dict.fromkeys(("32", fastest)):
        theirs = MonaiLoop(network(), files, PATCH, DRAWS, BATCH, bf16=precision == "bf16")
        by_precision[precision] = in_turn(Ours(folder, precision), theirs)
    return {"precisions": by_precision, "ratio": min(part["ratio"] for part in by_precision.values())}


def against_nnunet(folder: Path, files: list[tuple[Path, Path]], python: str) -> dict[str, Any]:
    """Both in 32 bits, one after the other."""
    from peers.nnunet import time_epoch

    threads = torch.get_num_threads()
    theirs = time_epoch(python, files, folder / "nnunet", MODEL, PATCH, BATCH, DRAWS // BATCH, ROUNDS, threads)
    ours = Ours(folder, "32")
    seconds = {"ours": shortest({"ours": ours})["ours"], "theirs": theirs}
    return {"seconds": seconds, "ratio": seconds["theirs"] / seconds["ours"], "waiting": ours.waiting}


PEERS = {"tutorial": against_tutorial, "monai": against_monai, "nnunet": against_nnunet}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--nnunet-python", default=sys.executable)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        files = write_pictures(Path(folder))
        write_cache(Path(folder))
        result = PEERS[arguments.peer](Path(folder), files, arguments.nnunet_python)
    hardware = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    described = {
        "peer": arguments.peer, **result, "steps": DRAWS // BATCH, "batch": BATCH, "patch": PATCH, "width": 16,
        "threads": arguments.threads, "hardware": hardware, "torch": torch.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    text = json.dumps(described, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    parts = result.get("precisions", {"": result})
    times = "; ".join(
        f"{name} ours {part['seconds']['ours']:.1f} s, theirs {part['seconds']['theirs']:.1f} s".strip()
        for name, part in parts.items()
    )
    print(f"train {arguments.peer}: ratio={result['ratio']:.2f} ({times}, {arguments.threads} threads, {hardware})")
    return 0 if result["ratio"] >= arguments.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
