"""What each runtime costs on this machine: file size, load time, latency of one tile."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.files import write_table
from maskmill.inference.members import join_members
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.inference.tiling import resolve_tiling
from maskmill.runs import read_run
from maskmill.sizes import describe_size

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


def benchmark_runtimes(
    models: Sequence[Path],
    onnx: Path,
    configs: Sequence[Path],
    tiling: Mapping[str, Any],
    threads: int,
    output: Path,
) -> None:
    """Time one float32 tile on every runtime, in turn; ratios are of the minimum latencies.

    models, configs: of one member, or of several that the ONNX file holds together; tiling: the `predict` options.
    Turns alternate, so that a machine that slows down half-way slows all runtimes alike.
    """
    joined = join_members([read_run(config) for config in configs], tiling)
    run = joined.run
    tile = resolve_tiling(tiling, run).tile
    shape = 1, run["preprocessing"]["channels"], *tile[-run["model"]["dimensions"] :]
    batch = np.random.default_rng(0).standard_normal(shape, np.float32)
    makers = {
        "PyTorch eager FP32": (models, lambda: joined.torch_runtime(models, threads)),
        "ONNX Runtime FP32": ([onnx], lambda: OnnxRuntime(onnx, threads)),
    }
    runtimes, rows = {}, {}
    for name, (files, make) in makers.items():
        start = time.perf_counter()
        runtimes[name] = make()
        rows[name] = {"runtime": name, "file_mb": sum(file.stat().st_size for file in files) / 1e6, "threads": threads}
        rows[name]["tile"] = describe_size(tile)
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
