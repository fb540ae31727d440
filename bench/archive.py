"""How batch segmentation grows: thousands of small pictures through `snakemake -- segment` with a bundle.

For every number of pictures: a dry run, the first run, a run with nothing to do, and a run after one further picture,
each as the whole command. The ratio is of the time per picture without a shard's jobs, `maskmill predict` over the same
folder, to that of the first run: what the workflow costs.

    python bench/archive.py BUNDLE [--pictures 1000 10000] [--side 64] [--cores 2] [--at-least 0.5] [--json FILE]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from maskmill.files import write_json
from maskmill.tracking.environment import processor_name

ROOT = Path(__file__).parents[1]
PER_FOLDER = 100


def write_picture(folder: Path, number: int, side: int) -> None:
    """A picture of noise."""
    file = folder / f"scene_{number // PER_FOLDER:03}/picture_{number:05}.jpg"
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8))


def seconds(command: list[str], folder: Path) -> float:
    """Wall-clock time of a command; ends this program with its output where it fails."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return round(time.perf_counter() - start, 2)


def measure(pictures: int, given: argparse.Namespace) -> dict[str, float]:
    """All runs over so many pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(pictures):
            write_picture(folder / "archive", number, given.side)
        config = f"segment={{images: archive, bundle: {given.bundle.resolve()}}}"
        run = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", str(given.cores)]
        run += ["--workflow-profile", str(ROOT / "profiles/default"), "--directory", str(folder)]
        run += ["--config", config]
        figures = {"pictures": pictures, "dry run": seconds([*run, "--dry-run", "--quiet", "--", "segment"], ROOT)}
        figures["first"] = seconds([*run, "--", "segment"], ROOT)
        figures["nothing to do"] = seconds([*run, "--", "segment"], ROOT)
        write_picture(folder / "archive", pictures, given.side)
        figures["one picture more"] = seconds([*run, "--", "segment"], ROOT)
        predict = [
            sys.executable,
            "-m",
            "maskmill.cli",
            "predict",
            str(given.bundle.resolve()),
            "archive",
            "-o",
            "masks",
        ]
        figures["predict"] = seconds([*predict, "--threads", str(given.cores)], folder)
    print(figures, flush=True)
    return figures


def main() -> int:
    """Measure and print; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0.0, metavar="RATIO")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    curve = [measure(pictures, given) for pictures in given.pictures]
    ratio = curve[-1]["predict"] / curve[-1]["first"]
    if given.json:
        write_json(given.json, {"cores": given.cores, "machine": processor_name(), "curve": curve, "ratio": ratio})
    print(
        f"archive: ratio={ratio:.2f} (first run {curve[-1]['first']} s, `maskmill predict` {curve[-1]['predict']} s, "
        f"{curve[-1]['pictures']} pictures of {given.side} pixels, {given.cores} cores of {processor_name()})"
    )
    return int(ratio < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
