"""What does it cost that a training gives the same bytes each time? Steps with `train.deterministic` and without.

A 2D and a 3D U-Net with all losses, on patches from memory, so that nothing but the steps is timed. Both sides are the
same code and take turns; the least time of each counts, since other work on a machine only adds to it. On a GPU the
networks have the size of the presets, on a CPU a small one, and operations that lack a deterministic kernel are named.
The ratio is that of the steps a second, deterministic to free; 1 is no cost.

    python bench/determinism.py [--threads 2] [--at-least 0.9] [--json FILE]
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maskmill.classes import Classes
from maskmill.files import write_json
from maskmill.preprocess import Preprocessing
from maskmill.training.compute import Place, describe_compute, find_device, resolve_compute, start_compute
from maskmill.training.failures import NO_KERNEL
from maskmill.training.job import Job
from maskmill.training.learner import Learner

ROUNDS, STEPS = 20, 2
MODEL = {
    "architecture": "unet", "planar": 0, "residual": False, "deep_supervision": False, "act": "relu", "norm": "batch",
    "attention": "none", "downsampling": "maxpool", "upsampling": "interpolated", "init": "he_uniform",
}  # fmt: skip
LOSS = {
    "ce": 0.5, "dice": 0.3, "lovasz": 0.2, "boundary": 0.1, "ohem": 0.5, "class_weights": None, "per_sample": False,
}  # fmt: skip
TRAIN = {
    "optimizer": "adamw", "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4, "clip": 1.0, "ema": 0.99,
    "precision": "auto", "compile": False, "devices": 1,
}  # fmt: skip
SIZES = {
    "cpu": {"2D": (8, 3, 4, (96, 96)), "3D": (8, 2, 2, (16, 48, 48))},
    "cuda": {"2D": (32, 4, 16, (256, 256)), "3D": (32, 4, 2, (96, 128, 128))},
}
"""Width, depth, patches and their size."""


def make_side(
    dimensions: int, width: int, depth: int, patches: int, size: tuple[int, ...], threads: int, deterministic: bool
) -> tuple[Callable[[], None], str]:
    """A function that trains for some steps, and the words that name the hardware."""
    compute = resolve_compute(TRAIN | {"threads": threads}, find_device())
    options = {
        "model": {**MODEL, "dimensions": dimensions, "width": width, "depth": depth},
        "loss": LOSS,
        "train": TRAIN,
    }
    preprocessing = Preprocessing(3, 1.0, ((0, 255),) * 3, 0, False, "dataset", (0.5,) * 3, (0.2,) * 3)
    job = Job("bench", 0, 0, Classes.from_config(["a", "b"]), preprocessing, [], [], options, 0)
    fabric = start_compute(compute, deterministic, Place())
    learner = Learner(job, fabric)
    images, labels = torch.randn(patches, 3, *size), torch.randint(3, (patches, *size))
    images, labels = fabric.to_device((images, labels))

    def train() -> None:
        start_compute(compute, deterministic, Place())
        learner.train()
        for _ in range(STEPS):
            learner.learn(images, labels, share=1, ends_step=True)
            learner.step(1e-3)
        if compute["device"] == "cuda":
            torch.cuda.synchronize()

    return train, f"{describe_compute(compute)['hardware']}, {compute['precision']}"


def compare(sides: dict[str, Callable[[], None]]) -> dict[str, Any]:
    """Seconds a step of both sides and the ratio; or the operation that has no deterministic kernel."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, train in sides.items():
            started = time.perf_counter()
            try:
                train()
            except RuntimeError as error:
                if NO_KERNEL not in str(error):
                    raise
                return {"refused": str(error).split(NO_KERNEL)[0].strip()}
            seconds[name].append((time.perf_counter() - started) / STEPS)
    least = {name: min(times[1:]) for name, times in seconds.items()}  # the first round warms up
    return {"seconds": least, "ratio": least["free"] / least["deterministic"]}


def main() -> int:
    """Compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    networks, hardware = {}, ""
    for name, sizes in SIZES[find_device()].items():
        sides = {}
        for side in ("deterministic", "free"):
            sides[side], hardware = make_side(int(name[0]), *sizes, given.threads, side == "deterministic")
        networks[name] = compare(sides) | dict(zip(("width", "depth", "patches", "size"), sizes, strict=True))
    measured = {name: network["seconds"] for name, network in networks.items() if "seconds" in network}
    ratio = min((networks[name]["ratio"] for name in measured), default=0)
    figures = {
        "ratio": ratio, "networks": networks, "rounds": ROUNDS, "steps": STEPS, "hardware": hardware,
        "torch": torch.__version__, "python": platform.python_version(),
    }  # fmt: skip
    print(json.dumps(networks))
    if given.json:
        write_json(given.json, figures)
    ours, theirs = (
        ", ".join(f"{name} {1000 * seconds[side]:.0f} ms" for name, seconds in measured.items())
        for side in ("deterministic", "free")
    )
    print(f"determinism: ratio={ratio:.2f} (ours {ours}, theirs {theirs} a step, hardware {hardware})")
    return int(ratio < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
