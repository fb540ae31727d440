"""How fast is the sliding window, and what memory does it take, beside MONAI's `sliding_window_inference`?

Both sides put the same U-Net (PyTorch, FP32) over the same pictures (RGB uint8, in a tiled TIFF file) with the same
tiles, overlap, Gaussian weights, batches and threads, and write the probabilities of one class, rounded to 8 bits, to
an .npy file. Ours reads and writes in bands; MONAI's is given the whole picture, normalised, and gives the whole
result, as its documentation has it. Each run is a process of its own: its time is that of everything from opening the
picture to the written file, after a small picture has had the libraries and the network loaded; its memory is the most
it had, VmHWM of the system, which counts both. Ratios are those of the processors' seconds, which other work on the
machine changes little; the least of all turns counts. The results are compared: they agree where both lay their tiles
at the same places, on sides of 512 + 384 n pixels; elsewhere ours are evenly spaced, and pooling sees another grid.

`--mosaic` instead writes a 20,000 × 20,000 GeoTIFF file (RGB uint8, tiles of 512, deflate), and segments it with a
bundle as `maskmill predict` does: ONNX Runtime, thresholds, removal of small components, a GeoTIFF mask.

    python bench/inference.py [--sides 2048 4352 8192] [--threads N] [--at-least 1] [--json FILE]
    python bench/inference.py --mosaic [--network default] [--side 20000] [--threads N] [--json FILE]
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.files import read_json, write_json

TILE, OVERLAP, BATCH, TURNS = 512, 0.25, 4, 3
NETWORKS = {
    "compared": {"width": 8, "depth": 3},
    "small": {"width": 4, "depth": 2},
    "default": {"width": 32, "depth": 4},
}
SIDES = ("maskmill", "monai")
MOST_MEMORY_MB = 1536
_MEAN, _STD = 0.45, 0.22


def write_picture(path: Path, side: int) -> None:
    """Write fields, blocks and noise as a tiled GeoTIFF file, RGB uint8, row of tiles by row of tiles."""
    import rasterio
    from rasterio.windows import Window

    profile = {
        "driver": "GTiff", "dtype": "uint8", "count": 3, "width": side, "height": side, "photometric": "RGB",
        "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "BIGTIFF": "IF_SAFER",
        "crs": "EPSG:32632", "transform": rasterio.Affine(0.2, 0, 5e5, 0, -0.2, 5.3e6),
    }  # fmt: skip
    random = np.random.default_rng(0)
    with rasterio.open(path, "w", **profile) as target:
        for top in range(0, side, 512):
            rows = min(512, side - top)
            fields = random.integers(40, 200, (3, -(-rows // 64), -(-side // 64))).astype(np.uint8)
            band = fields.repeat(64, axis=1).repeat(64, axis=2)[:, :rows, :side]
            noise = random.integers(0, 16, (rows, side), np.uint8) & 0xF8  # packs well: the file stays small
            target.write(band + noise, window=Window(0, top, side, rows))


def write_network(folder: Path, options: dict[str, int]) -> None:
    """Write model.safetensors and model.onnx of a network with initial weights, for three channels and one class."""
    import torch
    from steps import MODEL

    from maskmill.export.onnx import export_onnx
    from maskmill.models import build_model, save_model

    torch.manual_seed(0)
    model = {**MODEL, "dimensions": 2, **options}
    metadata = {"run_id": "bench", "model": model, "channels": 3, "classes": ["one"]}
    save_model(folder / "model.safetensors", build_model(model, 3, 1), metadata)
    export_onnx(folder / "model.safetensors", folder / "model.onnx")


def run_side(side: str, folder: Path, threads: int) -> dict[str, float]:
    """Probabilities of picture.tif in the folder, written to <side>.npy: seconds and, of the process, MB."""
    from maskmill.inference.runtimes import TorchRuntime

    runtime = TorchRuntime(folder / "model.safetensors", threads)
    run = _run_maskmill if side == "maskmill" else _run_monai
    with tempfile.TemporaryDirectory() as small:
        write_picture(Path(small, "picture.tif"), TILE)
        run(Path(small), runtime)  # loads what is loaded late
    start, used = time.perf_counter(), time.process_time()
    run(folder, runtime)
    return _measured(start, used)


def _run_maskmill(folder: Path, runtime: Any) -> None:
    from maskmill.imaging.lazy import open_pixels
    from maskmill.inference.sliding_window import predict_bands, write_bands

    with open_pixels(folder / "picture.tif", False) as image:
        bands = predict_bands(image, _preprocessing(), _tiling(OVERLAP), runtime.stride, 2, runtime)
        write_bands(folder / "maskmill.npy", bands, image.shape[:3])


def _run_monai(folder: Path, runtime: Any) -> None:
    import torch
    from monai.inferers import sliding_window_inference

    from maskmill.imaging.images import read_image

    image = read_image(folder / "picture.tif").astype(np.float32)
    image /= 255
    image -= _MEAN
    image /= _STD
    values = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    del image

    def predict(batch):
        return torch.from_numpy(runtime(batch.numpy()))

    with torch.inference_mode():
        found = sliding_window_inference(
            values, (TILE, TILE), BATCH, predict, OVERLAP, mode="gaussian", sigma_scale=0.125
        )
    np.save(folder / "monai.npy", np.rint(found[0].numpy() * 255).astype(np.uint8)[:, np.newaxis])


def _preprocessing() -> Any:
    from maskmill.inference.preprocess import Preprocessing

    return Preprocessing(3, 1.0, ((0, 255),) * 3, 0, False, "dataset", (_MEAN,) * 3, (_STD,) * 3)


def _tiling(overlap: float) -> Any:
    from maskmill.inference.tiling import Tiling

    return Tiling((1, TILE, TILE), overlap, "gaussian", BATCH)


def run_mosaic(folder: Path, threads: int, network: str) -> dict[str, float]:
    """The mask of picture.tif in the folder, as `maskmill predict` makes it: seconds and, of the process, MB."""
    from maskmill.classes import Classes
    from maskmill.deployment.bundle import Bundle
    from maskmill.deployment.segmentation import segment_pictures
    from maskmill.inference.postprocess import OperatingPoint, Step
    from maskmill.inference.recipe import Recipe

    point = OperatingPoint((0.5,), (Step("remove_small", 1, 100),))
    step = 2 ** NETWORKS[network]["depth"]
    recipe = Recipe(Classes.from_config(["one"]), _preprocessing(), _tiling(0.2), False, 2, (1, step, step), point)
    start, used = time.perf_counter(), time.process_time()
    failed = segment_pictures(
        Bundle(folder, "bench", recipe), {"mask": folder / "picture.tif"}, folder / "out", threads
    )
    if failed:
        raise SystemExit(f"no mask: {failed}")
    return _measured(start, used)


def _measured(start: float, used: float) -> dict[str, float]:
    """Seconds and seconds of processors since then, and the most memory that the process had."""
    seconds = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - used}
    return seconds | {"memory_mb": peak_memory_mb()}


def peak_memory_mb() -> float:
    """The most memory that this process had (VmHWM), in MB of 2^20 bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def in_process(*arguments: object) -> dict[str, float]:
    """What a run in a process of its own reports."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, __file__, "--report", report.name, *map(str, arguments)]
        subprocess.run(command, check=True)
        return read_json(report.name)


def compare(side: int, threads: int, turns: int) -> dict[str, Any]:
    """Times, memory and the ratio of both sides on a picture of this side."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(folder / "picture.tif", side)
        write_network(folder, NETWORKS["compared"])
        runs: dict[str, list[dict[str, float]]] = {one: [] for one in SIDES}
        for _ in range(turns):
            for one in SIDES:
                runs[one].append(in_process("--run", one, "--folder", folder, "--threads", threads))
        ours, theirs = (np.load(folder / f"{one}.npy", mmap_mode="r") for one in SIDES)
        differing = float(np.mean(np.abs(ours.astype(np.int16) - theirs) > 1))
    seconds, cpu_seconds = (
        {one: min(run[name] for run in runs[one]) for one in SIDES} for name in ("seconds", "cpu_seconds")
    )
    memory = {one: max(run["memory_mb"] for run in runs[one]) for one in SIDES}
    return {
        "side": side,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "memory_mb": memory,
        "ratio": cpu_seconds["monai"] / cpu_seconds["maskmill"],
        "memory_share": memory["maskmill"] / memory["monai"],
        "differing_by_more_than_one_level": differing,
    }


def measure_mosaic(side: int, threads: int, network: str) -> dict[str, Any]:
    """Time and memory of a whole mosaic with one of `NETWORKS`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_picture(folder / "picture.tif", side)
        write_network(folder, NETWORKS[network])
        run = in_process("--run", "mosaic", "--folder", folder, "--threads", threads, "--network", network)
        size = (folder / "out/mask.tif").stat().st_size
    megapixels = side * side / 1e6
    speeds = {f"megapixels_per_{name.removesuffix('s')}": megapixels / run[name] for name in ("seconds", "cpu_seconds")}
    return {**run, **speeds, "network": NETWORKS[network], "side": side, "mask_bytes": size}


def _describe_size(one: dict[str, Any]) -> str:
    ours, theirs = (f"{one['cpu_seconds'][side]:.1f} CPU seconds and {one['memory_mb'][side]:.0f} MB" for side in SIDES)
    return f"{one['side']}²: {one['ratio']:.2f}, ours {ours}, theirs {theirs}"


def _keep(path: Path | None, described: dict[str, Any], mode: str, found: list[dict[str, Any]]) -> None:
    """Write what one mode found; what the file holds of the other mode stays."""
    if path:
        kept = read_json(path) if path.exists() else {}
        write_json(path, kept | {mode: {**described, "results": found}})


def describe_machine(threads: int) -> dict[str, Any]:
    """Hardware, threads and versions."""
    processor = next(
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    )
    packages = ("torch", "monai", "onnxruntime", "numpy", "rasterio")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "hardware": f"{processor}, {len(os.sched_getaffinity(0))} core(s) used, {platform.machine()}",
        "threads": threads,
        "versions": {"python": platform.python_version(), **versions},
    }


def main() -> None:
    """Run the bench, print its line and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[2048, 4352, 8192], help="in pixels")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--mosaic", action="store_true", help="segment one large GeoTIFF instead")
    parser.add_argument("--side", type=int, default=20_000, help="side of the mosaic in pixels")
    parser.add_argument("--network", choices=NETWORKS, default="small", help="network of the mosaic")
    parser.add_argument("--at-least", type=float, default=0, help="exit with 1 below this ratio at any size")
    parser.add_argument("--json", type=Path, help="file for the results; what it holds of the other mode stays")
    for hidden in ("--run", "--folder", "--report"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.run:
        folder = Path(parsed.folder)
        found = (
            run_mosaic(folder, parsed.threads, parsed.network)
            if parsed.run == "mosaic"
            else run_side(parsed.run, folder, parsed.threads)
        )
        Path(parsed.report).write_text(json.dumps(found), encoding="utf-8")
        return
    described = describe_machine(parsed.threads)
    if parsed.mosaic:
        mosaic = measure_mosaic(parsed.side, parsed.threads, parsed.network)
        _keep(parsed.json, described, f"mosaic_{parsed.network}", [mosaic])
        speed = f"{mosaic['megapixels_per_second']:.2f} megapixels/s"
        line = f"{mosaic['memory_mb']:.0f} MB at {parsed.side}² pixels, {speed}"
        good = mosaic["memory_mb"] <= MOST_MEMORY_MB
    else:
        compared = []
        for side in parsed.sides:
            compared.append(compare(side, parsed.threads, parsed.turns))
            _keep(parsed.json, described, "compared", compared)
        least = min(one["ratio"] for one in compared)
        line = f"ratio={least:.2f} ({'; '.join(map(_describe_size, compared))})"
        good = least >= parsed.at_least
    print(f"inference: {line}, {described['hardware']}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
