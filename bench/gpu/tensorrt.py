"""How fast is a TensorRT engine beside PyTorch eager and ONNX Runtime with CUDA, and does it give the same masks?

The same U-Net on the same normalised tiles, from an array on the host to an array on the host, as prediction calls it;
all in turn, in FP32 without TF32, TensorRT in FP16 and INT8 too. Latencies are of one batch, at batch 1 and at the
largest; the ratio is that of the medians of PyTorch and TensorRT, both in FP32, at the largest, in two dimensions.
Masks are compared after the rounding of prediction, at the median: more than 1 pixel in 10,000 apart (FP16: in 100,
INT8: in 10) is an error.

    python bench/gpu/tensorrt.py [--rounds 200] [--at-least RATIO] [--json FILE]

Needs a machine with an NVIDIA GPU and its driver, and there what requirements/run.txt installs, with a CUDA build of
torch, and
    pip install tensorrt-cu13 cuda-bindings         # any NVIDIA GPU, or of GeForce and RTX
    pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs cuda-bindings
    pip uninstall onnxruntime; pip install onnxruntime-gpu        # else ONNX Runtime is left out
Without a GPU the backend tensorrt_rtx still builds the engines, which shows that the script works; nothing is measured.
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

import numpy as np

# not this folder, in which this file would be found as the package `tensorrt`
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnxruntime
import torch
from steps import MODEL

from maskmill.errors import MaskmillError
from maskmill.export.onnx import export_onnx
from maskmill.export.quantization import quantize
from maskmill.export.tensorrt import build_engine
from maskmill.files import write_json
from maskmill.inference.artifacts import PRECISIONS, Artifact, onnx_name
from maskmill.inference.cuda import Gpu, find_gpu
from maskmill.inference.engines import Backend, Profile, find_backend
from maskmill.inference.runtimes import OnnxRuntime, TorchRuntime
from maskmill.inference.sliding_window import LEVELS
from maskmill.models import build_model, save_model

NETWORKS = {
    "2D": {"width": 32, "depth": 4, "batch": 8, "size": (512, 512)},
    "3D": {"width": 16, "depth": 3, "batch": 2, "size": (64, 128, 128)},
}
CHANNELS, WARM_UP = 3, 10
ENGINE, EAGER, CUDA = "TensorRT FP32", "PyTorch eager", "ONNX Runtime CUDA"
ENGINES = {artifact.label: artifact for artifact in (Artifact("tensorrt", name) for name in PRECISIONS["tensorrt"])}
LARGEST_DISAGREEMENT = {"fp32": 1e-4, "fp16": 1e-2, "int8": 1e-1}
CALIBRATION_TILES = 4


def make_network(folder: Path, width: int, depth: int, size: tuple[int, ...]) -> None:
    """Write weights, random but for their seed, and their ONNX files."""
    torch.manual_seed(0)
    options = {**MODEL, "dimensions": len(size), "width": width, "depth": depth}
    metadata = {"run_id": "bench", "model": options, "channels": CHANNELS, "classes": ["one"]}
    save_model(folder / "model.safetensors", build_model(options, CHANNELS, 1), metadata)
    for precision in ("fp32", "fp16"):
        export_onnx(folder / "model.safetensors", folder / onnx_name(precision), precision)
    random = np.random.default_rng(1)
    tiles = (random.standard_normal((1, CHANNELS, *size), np.float32) for _ in range(CALIBRATION_TILES))
    quantize(folder / "model.onnx", tiles, folder / Artifact("tensorrt", "int8").onnx, symmetric=True)


def measure(folder: Path, network: dict[str, Any], backend: Backend, gpu: Gpu | None, rounds: int) -> dict[str, Any]:
    """Build the engines of a network; where there is a GPU compare it with PyTorch, and time all sides."""
    make_network(folder, network["width"], network["depth"], network["size"])
    batch, size, step = network["batch"], network["size"], 2 ** network["depth"]
    profile = Profile((1, CHANNELS, *[step] * len(size)), (batch, CHANNELS, *size), (batch, CHANNELS, *size))
    result: dict[str, Any] = {}
    for name, engine in ENGINES.items():
        start = time.perf_counter()
        build_engine(folder / engine.onnx, profile, folder / engine.file, backend, gpu)
        seconds, size_mb = time.perf_counter() - start, (folder / engine.file).stat().st_size / 1e6
        result[name] = {"build_seconds": round(seconds, 1), "engine_mb": round(size_mb, 1)}
    if gpu is None:
        return result
    sides = {EAGER: TorchRuntime(folder / "model.safetensors", threads=1)}
    sides |= {name: engine.open(folder, threads=1) for name, engine in ENGINES.items()}
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        sides[CUDA] = OnnxRuntime(folder / "model.onnx", threads=1)
    for count in (1, batch):
        tiles = np.random.default_rng(0).standard_normal((count, CHANNELS, *size), np.float32)
        result[f"batch {count}"] = {"parity": compare(sides, tiles), "milliseconds": time_sides(sides, tiles, rounds)}
    return result


def compare(sides: dict[str, Callable], tiles: np.ndarray) -> dict[str, dict[str, float]]:
    """Of each side the largest difference of a probability from PyTorch's, and the share of pixels that differ."""
    outputs = {name: np.rint(np.clip(side(tiles), 0, 1) * LEVELS) for name, side in sides.items()}
    middle = np.median(outputs[EAGER])  # weights are random: a threshold that half of the pixels pass is the hardest
    found = {}
    for name, levels in outputs.items():
        differing = float(np.mean((levels > middle) != (outputs[EAGER] > middle)))
        found[name] = {
            "probability_difference": float(np.abs(levels - outputs[EAGER]).max() / LEVELS),
            "mask_disagreement": differing,
        }
    return found


def time_sides(sides: dict[str, Callable], tiles: np.ndarray, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of one batch, p50 and p99, all sides in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + WARM_UP):
        for name, side in sides.items():
            start = time.perf_counter()
            side(tiles)
            times[name].append(1000 * (time.perf_counter() - start))
    percentiles = {name: np.percentile(values[WARM_UP:], (50, 99)) for name, values in times.items()}
    return {name: {"p50": round(low, 3), "p99": round(high, 3)} for name, (low, high) in percentiles.items()}


def main() -> int:
    """Build, compare and time; 1 where masks differ, the ratio is below --at-least, or something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    networks, missing, gpu = {}, None, None
    try:
        backend = find_backend()
        try:
            gpu = find_gpu()
        except MaskmillError as error:
            missing = error
        for name, network in NETWORKS.items():
            with tempfile.TemporaryDirectory() as folder:
                networks[name] = network | measure(Path(folder), network, backend, gpu, given.rounds)
            print(f"{name}: {json.dumps(networks[name])}", flush=True)
        if missing:
            raise missing
    except MaskmillError as error:
        print(f"{error}\n\nWhat is needed:\n{__doc__.partition('Needs ')[2]}", file=sys.stderr)
        return 1
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__, "python": platform.python_version()}
    hardware = {"gpu": gpu.name, "compute_capability": gpu.compute_capability, backend.name: backend.version}
    if given.json:
        write_json(given.json, {"networks": networks, **versions, **hardware})
    measured = networks["2D"][f"batch {NETWORKS['2D']['batch']}"]["milliseconds"]
    ours, theirs = measured[ENGINE]["p50"], measured[EAGER]["p50"]
    print(
        f"tensorrt: ratio={theirs / ours:.2f} (ours {ours} ms, theirs {theirs} ms, {gpu.name}, {backend.name} "
        f"{backend.version})"
    )
    apart = [
        f"{name}, {batch}: {share:.2g} of the pixels of {engine} differ from PyTorch's"
        for name, results in networks.items()
        for batch, values in results.items()
        if batch.startswith("batch ")
        for engine, artifact in ENGINES.items()
        if (share := values["parity"][engine]["mask_disagreement"]) > LARGEST_DISAGREEMENT[artifact.precision]
    ]
    print("\n".join(apart), end="\n" if apart else "", file=sys.stderr)
    return int(bool(apart) or theirs / ours < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
