"""What do mixed precision, compiling and determinism bring or cost in training? A U-Net of the presets, in turn.

Sides: 32 bits; mixed precision (bf16, else fp16) as `train.precision: auto` chooses it; mixed and compiled; mixed and
free to choose operations that give other bytes each time. Peak memory is that of the device's allocator, in a process
of its own for each side, at the satellite preset's batch of 16. On a machine without a GPU the network is a small one,
and there is no peak: that run shows that the script works, and whether compiling pays on the CPU.
The ratio is that of the steps a second, mixed precision to 32 bits.

    python bench/gpu/train.py [--rounds 10] [--at-least RATIO] [--json FILE]

Needs what requirements/run.txt installs, with a CUDA build of torch.
"""

import argparse
import json
import multiprocessing
import platform
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from steps import Steps, least_seconds

from maskmill.files import write_json
from maskmill.training.compute import find_device
from maskmill.training.failures import NO_KERNEL

SIDES = {
    "32 bits": ({"precision": "32"}, True),
    "mixed": ({}, True),
    "mixed, compiled": ({"compile": True}, True),
    "mixed, free": ({}, False),
}
"""What differs in the options of `train`, and whether the operations are deterministic."""
SIZES = {
    "cpu": {"2D": (8, 3, 4, (96, 96))},
    "cuda": {"2D": (32, 4, 16, (256, 256)), "3D": (32, 4, 2, (96, 128, 128))},
}
"""Width, depth, patches and their size."""
STEPS = 5


def measure(name: str, side: str, rounds: int) -> dict[str, Any]:
    """Milliseconds a step, patches a second and peak memory of one side; or the operation that is refused."""
    sizes = SIZES[find_device()][name]
    train, deterministic = SIDES[side]
    steps = Steps(*sizes, train, deterministic)
    try:
        seconds = least_seconds({side: steps}, rounds, STEPS)[side]
    except RuntimeError as error:
        if NO_KERNEL not in str(error):
            raise
        return {"refused": str(error).split(NO_KERNEL)[0].strip()}
    peak = round(torch.cuda.max_memory_allocated() / 2**20) if torch.cuda.is_available() else None
    return {
        "milliseconds": round(1000 * seconds, 2),
        "patches_per_second": round(sizes[2] / seconds, 1),
        "peak_mb": peak,
        "hardware": steps.hardware,
    }


def describe(sides: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Ratios of the steps a second, and the share of memory that mixed precision saves."""
    times = {side: result["milliseconds"] for side, result in sides.items() if "milliseconds" in result}
    pairs = {
        "mixed_to_32": ("32 bits", "mixed"),
        "compiled_to_mixed": ("mixed", "mixed, compiled"),
        "deterministic_to_free": ("mixed, free", "mixed"),
    }
    ratios = {name: times[a] / times[b] for name, (a, b) in pairs.items() if {a, b} <= times.keys()}
    peaks = [sides[side].get("peak_mb") for side in ("mixed", "32 bits")]
    return ratios | ({"memory_saved": 1 - peaks[0] / peaks[1]} if all(peaks) else {})


def main() -> int:
    """Measure every side, print and keep; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    networks = {}
    for name, sizes in SIZES[find_device()].items():
        sides = {}
        for side in SIDES:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                sides[side] = pool.apply(measure, (name, side, given.rounds))
            print(f"{name} {side}: {json.dumps(sides[side])}", flush=True)
        described = dict(zip(("width", "depth", "patches", "size"), sizes, strict=True))
        networks[name] = described | {"sides": sides} | describe(sides)
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()}
    if given.json:
        write_json(given.json, {"networks": networks, **versions})
    flat = networks["2D"]
    ratio, hardware = flat.get("mixed_to_32", 0), flat["sides"]["mixed"].get("hardware")
    ours, theirs = (flat["sides"][side].get("milliseconds") for side in ("mixed", "32 bits"))
    saved = f", memory saved {flat['memory_saved']:.0%}" if "memory_saved" in flat else ""
    print(f"gpu train: ratio={ratio:.2f} (ours {ours} ms, theirs {theirs} ms a step{saved}, {hardware})")
    return int(ratio < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
