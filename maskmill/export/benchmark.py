"""What each runtime costs on this machine: file size, load time, latency of one tile."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskmill.files import write_table
from maskmill.inference import Runtime
from maskmill.models import load_model
from maskmill.runtimes import OnnxRuntime, TorchRuntime

COLUMNS = (
    "runtime",
    "file_mb",
    "load_seconds",
    "latency_ms_p50",
    "latency_ms_min",
    "ratio_to_eager",
    "tile",
    "threads",
)
REPEATS = 15


def benchmark_runtimes(model: Path, onnx: Path, tile: int, threads: int, output: Path) -> None:
    """Time one (1, C, tile, tile) float32 batch on every runtime, in turn; ratios are of the minimum latencies.

    Turns alternate, so that a machine that slows down half-way slows all runtimes alike.
    """
    channels = load_model(model)[1]["channels"]
    batch = np.random.default_rng(0).standard_normal((1, channels, tile, tile), np.float32)
    makers: dict[str, tuple[Path, Callable[[Path, int], Runtime]]] = {
        "PyTorch eager FP32": (model, TorchRuntime),
        "ONNX Runtime FP32": (onnx, OnnxRuntime),
    }
    runtimes, rows = {}, {}
    for name, (file, make) in makers.items():
        start = time.perf_counter()
        runtimes[name] = make(file, threads)
        rows[name] = {"runtime": name, "file_mb": file.stat().st_size / 1e6, "tile": tile, "threads": threads}
        rows[name]["load_seconds"] = time.perf_counter() - start
    times: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(REPEATS + 1):
        for name, runtime in runtimes.items():
            start = time.perf_counter()
            runtime(batch)
            times[name].append((time.perf_counter() - start) * 1000)
    eager = min(times["PyTorch eager FP32"][1:])
    for name, row in rows.items():
        measured = times[name][1:]  # the first is a warm-up
        row |= {"latency_ms_p50": float(np.median(measured)), "latency_ms_min": min(measured)}
        row["ratio_to_eager"] = eager / min(measured)
    write_table(output, rows.values(), COLUMNS)
