"""What each runtime costs on this machine: file size, load time, latency of tiles and of a picture, memory."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.data.cases import Case, read_cases
from maskmill.export.timing import Job, Worker
from maskmill.files import read_json, write_table
from maskmill.inference.artifacts import Artifact
from maskmill.inference.members import join_members
from maskmill.inference.recipe import Recipe
from maskmill.runs import read_run
from maskmill.sizes import describe_size
from maskmill.tracking.environment import processor_name

logger = logging.getLogger(__name__)

COLUMNS = (
    "runtime",
    "file_mb",
    "load_seconds",
    "latency_ms_p50",
    "latency_ms_p99",
    "latency_ms_min",
    "ratio_to_eager",
    "best_batch",
    "batch_ms_p50",
    "batch_ms_p99",
    "tiles_per_second",
    "picture_ms",
    "picture_ms_without_reading",
    "memory_mb",
    "validation_iou",
    "mask_disagreement",
    "tile",
    "turns",
    "threads",
    "hardware",
)
EAGER, COMPILED = "PyTorch eager FP32", "PyTorch compiled FP32"
BATCHES = (1, 2, 4, 8)
SECONDS = 0.5
"""Roughly what each part of the measurement may take, of all runtimes together."""

TURNS = range(3, 51)
"""Least and most turns."""


def benchmark_runtimes(
    models: Sequence[Path],
    onnx: Sequence[Path],
    artifacts: Sequence[Artifact],
    configs: Sequence[Path],
    point: Path,
    verdicts: Sequence[Path],
    samples: Path,
    splits: Path,
    tiling: Mapping[str, Any],
    threads: int,
    output: Path,
) -> None:
    """Time float32 tiles and a whole picture in PyTorch and with every artifact; write a table (`COLUMNS`).

    models, configs: of one member, or of several that the ONNX files hold together; onnx: files in one folder; tiling:
    the `predict` options. Each runtime has a process of its own, and turns alternate, so that a machine that slows down
    half-way slows all alike; ratios are of the least latencies. The picture is the smallest file of the validation.
    PyTorch is compiled too where it was for training. verdicts: of the parity gate, which say what the masks are worth.
    An engine that does not run on this machine, as where a cluster has several kinds of GPU, has no row.
    """
    joined = join_members([read_run(config) for config in configs], tiling)
    cases = read_cases(samples, splits, joined.run["fold"], "validation")
    recipe = Recipe.of_member(joined.run, tiling, any(case.is_volume for case in cases), joined.stride, point)
    picture = min(cases, key=_size)
    plain = {
        "folder": str(onnx[0].parent),
        "models": list(map(str, models)),
        "configs": list(map(str, configs)),
        "tiling": dict(tiling),
        "recipe": recipe.as_dict(),
        "picture": (picture.image, picture.is_volume),
        "threads": threads,
    }
    jobs = {EAGER: Job(None, **plain)}
    if all(run["train"].get("compile") for run in joined.runs):
        jobs[COMPILED] = Job(None, compiled=True, **plain)
    jobs |= {one.label: Job((one.runtime, one.precision), **plain) for one in artifacts}
    files = {one.label: [onnx[0].parent / one.file] for one in artifacts}
    judged = [read_json(verdict) for verdict in verdicts]
    worth = {EAGER: (judged[0]["reference"]["iou"], 0.0)} | {
        one["label"]: (one["iou"], one["worst"]["mask_disagreement"]["value"])
        for verdict in judged
        for one in verdict["artifacts"]
    }
    rows = _measure(jobs, recipe.tiling.batch_size)
    eager = rows[EAGER]["latency_ms_min"]
    for name, row in rows.items():
        row |= {
            "runtime": name,
            "file_mb": sum(file.stat().st_size for file in files.get(name, models)) / 1e6,
            "ratio_to_eager": eager / row["latency_ms_min"],
            "tile": describe_size(recipe.tiling.tile[-recipe.dimensions :]),
            "threads": threads,
            "hardware": processor_name(),
        }
        row["validation_iou"], row["mask_disagreement"] = worth.get(name, (None, None))
    write_table(output, rows.values(), COLUMNS)


def _size(case: Case) -> int:
    path = Path(case.image)
    return sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))


def _measure(jobs: Mapping[str, Job], batch_size: int) -> dict[str, dict[str, Any]]:
    """The measured columns of each job that runs here. batch_size: the most tiles that an engine takes at once."""
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, job in jobs.items():
            try:
                worker = Worker(job)
            except RuntimeError:
                if not _is_engine(job):
                    raise
                logger.warning("%s is left out: its engine does not run here, for the reason above", name)
                continue
            workers[name] = worker
            stack.callback(worker.close)
        rows: dict[str, dict[str, Any]] = {
            name: {"load_seconds": worker.load_seconds} for name, worker in workers.items()
        }
        for name, times in _alternate(workers, dict.fromkeys(workers, "tiles 1")).items():
            p50, p99 = np.percentile(times, (50, 99))
            rows[name] |= {"latency_ms_p50": p50, "latency_ms_p99": p99, "latency_ms_min": min(times)}
            rows[name]["turns"] = len(times)
        best = {
            name: _best_batch(
                worker, rows[name]["latency_ms_min"], batch_size if _is_engine(jobs[name]) else BATCHES[-1]
            )
            for name, worker in workers.items()
        }
        for name, times in _alternate(workers, {name: f"tiles {count}" for name, count in best.items()}).items():
            p50, p99 = np.percentile(times, (50, 99))
            rows[name] |= {"best_batch": best[name], "batch_ms_p50": p50, "batch_ms_p99": p99}
            rows[name]["tiles_per_second"] = 1000 * best[name] / min(times)
        for column, command in (("picture_ms", "picture"), ("picture_ms_without_reading", "pixels")):
            for name, times in _alternate(workers, dict.fromkeys(workers, command)).items():
                rows[name][column] = float(np.median(times))
        for name, worker in workers.items():
            rows[name]["memory_mb"] = worker.ask("memory")
    return rows


def _alternate(workers: Mapping[str, Worker], commands: Mapping[str, str]) -> dict[str, list[float]]:
    """Milliseconds of each worker's command, in turns; a first turn warms up and tells how many there can be."""
    warm = sum(worker.ask(commands[name]) for name, worker in workers.items()) / 1000
    turns = min(max(int(SECONDS / max(warm, 1e-6)), TURNS.start), TURNS.stop - 1)
    times: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(turns):
        for name, worker in workers.items():
            times[name].append(worker.ask(commands[name]))
    return times


def _is_engine(job: Job) -> bool:
    return job.artifact is not None and job.artifact[0] == "tensorrt"


def _best_batch(worker: Worker, alone: float, most: int) -> int:
    """The number of tiles, up to `most`, that takes least time a tile, of those that do not take too long."""
    per_tile = {1: alone}
    for count in BATCHES[1:]:
        if count > most or count * alone > 1000 * SECONDS:
            break
        command = f"tiles {count}"
        worker.ask(command)
        per_tile[count] = min(worker.ask(command), worker.ask(command)) / count
    return min(per_tile, key=lambda count: per_tile[count])
