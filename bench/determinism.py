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
from pathlib import Path
from typing import Any

import torch
from steps import Steps, least_seconds

from maskmill.files import write_json
from maskmill.training.compute import find_device
from maskmill.training.failures import NO_KERNEL

ROUNDS, STEPS = 20, 2
SIZES = {
    "cpu": {"2D": (8, 3, 4, (96, 96)), "3D": (8, 2, 2, (16, 48, 48))},
    "cuda": {"2D": (32, 4, 16, (256, 256)), "3D": (32, 4, 2, (96, 128, 128))},
}
"""Width, depth, patches and their size."""


def compare(sizes: tuple, threads: int) -> dict[str, Any]:
    """Seconds a step of both sides and the ratio; or the operation that has no deterministic kernel."""
    train = {"threads": threads}
    sides = {side: Steps(*sizes, train, side == "deterministic") for side in ("deterministic", "free")}
    described = dict(zip(("width", "depth", "patches", "size"), sizes, strict=True))
    described["hardware"] = sides["free"].hardware
    try:
        seconds = least_seconds(sides, ROUNDS, STEPS)
    except RuntimeError as error:
        if NO_KERNEL not in str(error):
            raise
        return described | {"refused": str(error).split(NO_KERNEL)[0].strip()}
    return described | {"seconds": seconds, "ratio": seconds["free"] / seconds["deterministic"]}


def main() -> int:
    """Compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    networks = {name: compare(sizes, given.threads) for name, sizes in SIZES[find_device()].items()}
    hardware = networks["2D"]["hardware"]
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
