"""How much faster is a random crop from the cache than from its source, and than from MONAI's PersistentDataset?

Pictures: 512² crops of 4096² RGB sources with labels. Volumes: 64³ crops of 160 × 512 × 512 NIfTI sources (int16) with
labels. Three sides take the same crops in turn, and their pixels are compared:

- the cache: `CachedSample.image()` and `.labels()`, indexed;
- decoding: OpenCV reads the whole picture and its mask for each crop, as tutorials do (PNG, and JPEG for the picture),
  or nibabel the whole volume;
- MONAI: `PersistentDataset` over `LoadImaged` and `RandSpatialCropd`, as its documentation recommends, with integer
  arrays, which is kinder to it than the float32 that it would store by default.

All files have been read before, so that no side waits for the disk. The least mean time of a turn counts, since other
work on a machine only adds to it. Memory is what a process of its own needs above what it had before the first crop.

    python bench/cache.py [--at-least 20] [--at-least-monai 3] [--json FILE]
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import nibabel
import numpy as np
import torch

from maskmill.classes import Classes
from maskmill.data.cache import cache_shard, read_cache
from maskmill.files import write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume

TURNS, CROPS = 6, 6
PEERS = ("decoding", "jpeg", "monai")

Crop = tuple[np.ndarray, np.ndarray]
"""Values (C, D, H, W) and labels (D, H, W) of a crop."""


@dataclass(frozen=True)
class Work:
    """Sources of one kind: their number, size (D, H, W), and the size of a crop."""

    name: str
    sources: int
    size: tuple[int, int, int]
    crop: tuple[int, int, int]

    @property
    def volumes(self) -> bool:
        """Whether they are volumes."""
        return self.size[0] > 1

    def draws(self, turn: int) -> list[tuple[int, tuple[slice, ...]]]:
        """Source and window of each crop of a turn."""
        random = np.random.default_rng((turn, self.sources))
        found = []
        for _ in range(CROPS):
            starts = [int(random.integers(size - side + 1)) for size, side in zip(self.size, self.crop, strict=True)]
            window = tuple(slice(start, start + side) for start, side in zip(starts, self.crop, strict=True))
            found.append((int(random.integers(self.sources)), window))
        return found


WORKS = {
    "pictures": Work("pictures", 4, (1, 4096, 4096), (1, 512, 512)),
    "volumes": Work("volumes", 3, (160, 512, 512), (64, 64, 64)),
}


def write_sources(work: Work, folder: Path) -> None:
    """Generate the sources and their labels, and cache them."""
    rows = []
    for number in range(work.sources):
        image = _draw(np.random.default_rng(number), work)
        labels = (image[..., 0] > np.quantile(image[0, ::9, ::9], 0.8)).astype(np.uint8)
        stem = folder / f"{number}"
        if work.volumes:
            nibabel.save(nibabel.Nifti1Image(image[..., 0].transpose(2, 1, 0), np.eye(4)), stem.with_suffix(".nii.gz"))
            write_label_volume(folder / f"labels/{number}.nii.gz", labels, stem.with_suffix(".nii.gz"))
        else:
            for suffix in (".png", ".jpg"):
                cv2.imwrite(str(stem.with_suffix(suffix)), image[0, ..., ::-1])
            write_label_png(folder / f"labels/{number}.png", labels[0], Classes.from_config(["one"]))
            (folder / "masks").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"masks/{number}.png"), labels[0])
        suffix = ".nii.gz" if work.volumes else ".png"
        rows.append({"id": str(number), "image": f"{stem}{suffix}", "depth": work.size[0]})
    write_table(folder / "shard.csv", rows, list(rows[0]))
    cache_shard(folder / "shard.csv", folder / "shard.csv", folder / "labels", folder / "cache", 1.0)


def _draw(random: np.random.Generator, work: Work) -> np.ndarray:
    """Smooth regions with the noise of a camera, uint8 (1, H, W, 3), or of a scanner, int16 (D, H, W, 1)."""
    depth, height, width = work.size
    channels = depth if work.volumes else 3
    coarse = random.random((height // 64, width // 64, min(channels, 8)), np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    if not work.volumes:
        return (smooth * 220 + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)[np.newaxis]
    pages = [smooth[..., number % 8] * 1500 + random.normal(0, 40, (height, width)) for number in range(depth)]
    return np.stack(pages).astype(np.int16)[..., np.newaxis]


def open_side(side: str, work: Work, folder: Path) -> Callable[[int, tuple[slice, ...]], Crop]:
    """What reads a crop, given source and window."""
    if side == "monai":
        return _monai(work, folder)
    if side == "cache":
        samples = list(read_cache([folder / "cache"]).values())

        def read(number: int, window: tuple[slice, ...]) -> Crop:
            sample = samples[number]
            values = np.ascontiguousarray(np.moveaxis(sample.image()[window], -1, 0))
            return torch.from_numpy(values).numpy(), np.array(sample.labels()[window])

        return read
    return _decoded_volume(folder) if work.volumes else _decoded_picture(folder, ".jpg" if side == "jpeg" else ".png")


def _decoded_picture(folder: Path, suffix: str) -> Callable[[int, tuple[slice, ...]], Crop]:
    def read(number: int, window: tuple[slice, ...]) -> Crop:
        image = cv2.cvtColor(cv2.imread(str(folder / f"{number}{suffix}")), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(folder / f"masks/{number}.png"), cv2.IMREAD_GRAYSCALE)
        values = np.ascontiguousarray(np.moveaxis(image[window[1:]], -1, 0)[:, np.newaxis])
        return torch.from_numpy(values).numpy(), mask[window[1:]][np.newaxis].copy()

    return read


def _decoded_volume(folder: Path) -> Callable[[int, tuple[slice, ...]], Crop]:
    def read(number: int, window: tuple[slice, ...]) -> Crop:
        image = np.asarray(nibabel.load(folder / f"{number}.nii.gz").dataobj).transpose(2, 1, 0)[window]
        labels = np.asarray(nibabel.load(folder / f"labels/{number}.nii.gz").dataobj).transpose(2, 1, 0)[window]
        return np.ascontiguousarray(image[np.newaxis]), np.ascontiguousarray(labels)

    return read


def _monai(work: Work, folder: Path) -> Callable[[int, tuple[slice, ...]], Crop]:
    from monai.data import PersistentDataset
    from monai.transforms import Compose, LoadImaged, RandSpatialCropd

    class GivenCropd(RandSpatialCropd):
        """Crops where it is told to."""

        def randomize(self, img_size):
            self.cropper._size, self.cropper._slices = self.window_size, self.window

    suffix, labels = (".nii.gz", "labels") if work.volumes else (".png", "masks")
    files = [
        {"image": str(folder / f"{number}{suffix}"), "label": str(folder / f"{labels}/{number}{suffix}")}
        for number in range(work.sources)
    ]
    side = work.crop[::-1] if work.volumes else work.crop[:0:-1]
    crop = GivenCropd(["image", "label"], side, random_size=False)
    crop.window_size = side
    dtypes = {"image": np.int16 if work.volumes else np.uint8, "label": np.uint8}
    load = [LoadImaged(key, dtype=dtype, ensure_channel_first=True) for key, dtype in dtypes.items()]
    dataset = PersistentDataset(files, Compose([*load, crop]), cache_dir=folder / "persistent")

    def read(number: int, window: tuple[slice, ...]) -> Crop:
        crop.window = tuple(reversed(window if work.volumes else window[1:]))  # MONAI's axes are (W, H, D)
        found = dataset[number]
        values, labels = (found[key].numpy() for key in ("image", "label"))
        if work.volumes:
            return values.transpose(0, 3, 2, 1), labels[0].transpose(2, 1, 0)
        return values.transpose(0, 2, 1)[:, np.newaxis], labels[0].T[np.newaxis]

    return read


def compare(work: Work, folder: Path) -> dict[str, object]:
    """The figures of all sides; an error where their pixels differ."""
    sides = ["cache", "decoding", "monai"] if work.volumes else ["cache", *PEERS]
    readers = {side: open_side(side, work, folder) for side in sides}
    for number in range(work.sources):  # MONAI writes its files at first
        readers["monai"](number, work.draws(0)[0][1])
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(TURNS):
        draws = work.draws(turn)
        crops = {}
        for side, read in readers.items():
            start = time.perf_counter()
            crops[side] = [read(*draw) for draw in draws]
            seconds[side].append((time.perf_counter() - start) / len(draws))
        for side in set(sides) - {"jpeg"}:
            for ours, theirs in zip(crops["cache"], crops[side], strict=True):
                if not all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True)):
                    raise SystemExit(f"the crops of the cache and of {side} differ")
    least = {side: min(times) * 1000 for side, times in seconds.items()}
    return {
        "ms": least,
        "ratios": {side: least[side] / least["cache"] for side in sides[1:]},
        "memory_mb": {side: _measure_memory(side, work, folder) for side in sides},
        "size": work.size,
        "crop": work.crop,
        "sources": work.sources,
    }


def _measure_memory(side: str, work: Work, folder: Path) -> int:
    command = [sys.executable, __file__, "--memory", side, work.name, str(folder)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def tell_memory(side: str, work: Work, folder: Path) -> None:
    """Print by how many megabytes taking crops raised the memory of this process at most."""
    read = open_side(side, work, folder)
    before = _status("VmRSS")
    for turn in range(TURNS):
        for draw in work.draws(turn):
            read(*draw)
    print((_status("VmHWM") - before) // 1024)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> int:
    """Compare and print the ratios; 1 where those of the pictures are below what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-least", type=float, default=0, help="ratio to decoding PNG files")
    parser.add_argument("--at-least-monai", type=float, default=0, help="ratio to MONAI's PersistentDataset")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    if given.memory:
        side, work, folder = given.memory
        tell_memory(side, WORKS[work], Path(folder))
        return 0
    versions = {
        name: importlib.metadata.version(name) for name in ("monai", "numpy", "torch", "opencv-python-headless")
    }
    hardware = f"{processor()}, {os.cpu_count()} cores, {platform.machine()}"
    figures = {"versions": versions, "python": platform.python_version(), "hardware": hardware, "turns": TURNS}
    for name, work in WORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_sources(work, Path(folder))
            figures[name] = compare(work, Path(folder))
        print(json.dumps({name: {key: figures[name][key] for key in ("ms", "ratios", "memory_mb")}}))
    if given.json:
        write_json(given.json, figures)
    pictures = figures["pictures"]
    for side, peer in (("decoding", "decoding PNG"), ("monai", f"MONAI {versions['monai']}'s PersistentDataset")):
        print(
            f"cache: ratio={pictures['ratios'][side]:.1f} (ours {pictures['ms']['cache']:.2f} ms a 512² crop, theirs "
            f"{pictures['ms'][side]:.1f} ms by {peer}, hardware {hardware})"
        )
    ratios = pictures["ratios"]
    return int(ratios["decoding"] < given.at_least or ratios["monai"] < given.at_least_monai)


if __name__ == "__main__":
    sys.exit(main())
