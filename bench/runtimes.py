"""How fast are the exports on a CPU, beside the network in eager PyTorch?

A U-Net of width 32 and depth 4 (7.8 million parameters) with initial weights takes one tile of 3 × 256 × 256 pixels in
FP32, as `maskmill predict` gives it: in PyTorch as `TorchRuntime` runs it, in ONNX Runtime (FP32, FP16, INT8) and in
OpenVINO (FP32, BF16), all with the same number of threads. Turns alternate; the least time of each counts. With one
thread ratios are those of the processor's seconds, which other work on the machine changes little, with more of the
clock's, since runtimes spin while they wait. INT8 is calibrated on noise like that it is timed on: the time does not
depend on it, the probabilities do, which the parity gate of the pipeline judges on trained networks.

Two ratios: `ratio`, of ONNX Runtime in FP32, whose masks are the pipeline's, and `fast_ratio`, of the fastest that a
bundle can hold after the gate. `--at-least` is of the first, `--fast-at-least` of the second.

    python bench/runtimes.py [--threads 1] [--turns 20] [--compiled] [--at-least 1.35] [--fast-at-least 2.7]
        [--json FILE]
"""

import argparse
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from steps import MODEL

from maskmill.export.onnx import export_onnx
from maskmill.export.quantization import quantize
from maskmill.files import write_json
from maskmill.inference.artifacts import EXACT, configured_artifacts
from maskmill.inference.runtimes import Runtime, TorchRuntime
from maskmill.models import build_model, save_model
from maskmill.tracking.environment import processor_name

EAGER, COMPILED = "PyTorch eager FP32", "PyTorch compiled FP32"
SHAPE = (1, 3, 256, 256)


def make_runtimes(folder: Path, threads: int, compiled: bool) -> dict[str, Callable[[], Runtime]]:
    """Write the network in all precisions; what loads each runtime."""
    torch.manual_seed(0)
    options = {**MODEL, "dimensions": 2, "width": 32, "depth": 4}
    weights = folder / "model.safetensors"
    metadata = {"run_id": "bench", "model": options, "channels": SHAPE[1], "classes": ["one", "two"]}
    save_model(weights, build_model(options, SHAPE[1], 3), metadata)
    export_onnx(weights, folder / "model.onnx")
    export_onnx(weights, folder / "model.fp16.onnx", "fp16")
    random = np.random.default_rng(1)
    tiles = [random.standard_normal(SHAPE, np.float32) for _ in range(4)]
    quantize(folder / "model.onnx", tiles, folder / "model.int8.onnx")
    makers: dict[str, Callable[[], Runtime]] = {EAGER: lambda: TorchRuntime(weights, threads)}
    if compiled:
        makers[COMPILED] = lambda: TorchRuntime(weights, threads, compiled=True)
    for artifact in configured_artifacts(["fp32", "fp16", "int8"], ["fp32", "bf16"]):
        makers[artifact.label] = lambda artifact=artifact: artifact.open(folder, threads)
    return makers


def measure(makers: dict[str, Callable[[], Runtime]], turns: int, threads: int) -> dict[str, dict[str, float]]:
    """Load time, latencies in ms of clock and processor, and the largest difference of a probability from PyTorch."""
    batch = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    rows: dict[str, dict[str, float]] = {}
    runtimes, expected = {}, None
    for name, make in makers.items():
        start = time.perf_counter()
        runtimes[name] = make()
        rows[name] = {"load_seconds": time.perf_counter() - start}
        found = runtimes[name](batch)
        expected = found if expected is None else expected
        rows[name]["largest_difference"] = float(np.abs(found - expected).max())
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runtimes}
    for _ in range(turns):
        for name, runtime in runtimes.items():
            start, used = time.perf_counter(), time.process_time()
            runtime(batch)
            times[name].append((time.perf_counter() - start, time.process_time() - used))
    for name, row in rows.items():
        clock, processor = 1000 * np.array(times[name]).T
        row |= {"latency_ms_min": clock.min(), "latency_ms_p50": np.median(clock), "cpu_ms_min": processor.min()}
    counted = "cpu_ms_min" if threads == 1 else "latency_ms_min"
    for row in rows.values():
        row["ratio_to_eager"] = rows[EAGER][counted] / row[counted]
    return rows


def describe(threads: int) -> dict[str, Any]:
    """Hardware and versions."""
    names = ("torch", "onnxruntime", "openvino", "onnx", "numpy")
    return {
        "hardware": f"{processor_name()}, {len(os.sched_getaffinity(0))} core(s) used, {platform.machine()}",
        "threads": threads,
        "tile": " × ".join(map(str, SHAPE)),
        "versions": {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}},
    }


def main() -> None:
    """Run the bench, print its line and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--compiled", action="store_true", help="time torch.compile too, which takes up to a minute")
    parser.add_argument("--at-least", type=float, default=0, help="exit with 1 where ONNX Runtime FP32 is below this")
    parser.add_argument("--fast-at-least", type=float, default=0, help="exit with 1 where the fastest is below this")
    parser.add_argument("--json", type=Path, help="file for the results")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measure(make_runtimes(Path(name), parsed.threads, parsed.compiled), parsed.turns, parsed.threads)
    described = describe(parsed.threads)
    exports = {name: row["ratio_to_eager"] for name, row in rows.items() if name not in (EAGER, COMPILED)}
    fastest = max(exports, key=lambda name: exports[name])
    exact, fast = exports[EXACT.label], exports[fastest]
    if parsed.json:
        write_json(parsed.json, {**described, "ratio": exact, "fast_ratio": fast, "fastest": fastest, "runtimes": rows})
    for name, row in rows.items():
        times = f"{row['latency_ms_min']:.1f} ms, of the processor {row['cpu_ms_min']:.1f} ms"
        print(f"  {name}: {times}, × {row['ratio_to_eager']:.2f}")
    print(
        f"runtimes: ratio={exact:.2f} (ours {rows[EXACT.label]['latency_ms_min']:.1f} ms, theirs "
        f"{rows[EAGER]['latency_ms_min']:.1f} ms; fastest {fastest} × {fast:.2f}; {described['hardware']})"
    )
    sys.exit(0 if exact >= parsed.at_least and fast >= parsed.fast_at_least else 1)


if __name__ == "__main__":
    main()
