"""How the workflow grows: thousands of small pictures with labelme JSON, planned and run up to the cache.

For every number of pictures: the first run to the cache, with audit, split and leak gate; a run with nothing to do; and
runs after one edited annotation and after one further picture. Times are of the whole command, memory is the greatest
resident set seen, five times a second, of Snakemake itself and of any of its jobs. The ratio is of the first run's time
per picture at the smallest number to that at the largest: below 1, the cost of a picture grows.

    python bench/scale.py [--pictures 1000 3000 10000] [--cores 2] [--at-least 0.8] [--json FILE]
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import yaml

from maskmill.files import write_json

ROOT = Path(__file__).parents[1]
SIDE = 128
PER_FOLDER = 50


def write_sample(folder: Path, number: int) -> None:
    """A picture of noise with bright ellipses, and their outlines as polygons."""
    generator = np.random.default_rng(number)
    noise = cv2.resize(generator.integers(0, 160, (9, 9, 3), np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    image, shapes = np.ascontiguousarray(noise), []
    for _ in range(6):
        centre, axes = generator.integers(16, SIDE - 16, 2), generator.integers(5, 16, 2)
        outline = cv2.ellipse2Poly(centre.tolist(), axes.tolist(), int(generator.integers(180)), 0, 360, 18)
        cv2.fillPoly(image, [outline], generator.integers(170, 255, 3).tolist())
        shapes.append({"label": "cell", "points": outline.tolist(), "shape_type": "polygon", "group_id": None})
    name = f"site_{number // PER_FOLDER:04}/picture_{number:05}"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), image)
    content = {"version": "5.5.0", "shapes": shapes, "imagePath": f"picture_{number:05}.png", "imageData": None}
    (folder / f"{name}.json").write_text(json.dumps(content | {"imageHeight": SIDE, "imageWidth": SIDE}))


def write_config(folder: Path) -> None:
    """A config for the pictures below folder/data."""
    source = {"format": "labelme", "images": "data", "annotations": "data"}
    content = {"dataset": {"name": "scale", "source": source, "classes": ["cell"]}, "train": {"patch": 64}}
    (folder / "scale.yaml").write_text(yaml.safe_dump(content))


def resident_megabytes(process: psutil.Process) -> dict[str, float]:
    """Resident set of a process and of the largest of its descendants."""
    try:
        own = process.memory_info().rss
        others = [child.memory_info().rss for child in process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    return {"snakemake": own / 2**20, "job": max(others, default=0) / 2**20}


def run(folder: Path, cores: int) -> dict[str, float]:
    """Run the workflow up to the cache: seconds, jobs done, and the memory of Snakemake and of its largest job."""
    targets = ["results/scale/quality/audit.html", "results/scale/splits.csv", "results/scale/fingerprint.json"]
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--directory", str(folder)]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(folder / "scale.yaml"), "--", *targets]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout))
    reader.start()
    largest = {"snakemake": 0.0, "job": 0.0}
    while process.poll() is None:
        for kind, megabytes in resident_megabytes(psutil.Process(process.pid)).items():
            largest[kind] = max(largest[kind], megabytes)
        time.sleep(0.2)
    reader.join()
    if process.returncode:
        sys.exit("".join(lines[-40:]))
    seconds = time.perf_counter() - start
    jobs = sum(line.startswith("Finished jobid") for line in lines)
    return {"seconds": round(seconds, 1), "jobs": jobs} | {f"{kind}_mb": round(mb) for kind, mb in largest.items()}


def measure(pictures: int, cores: int) -> dict[str, object]:
    """All runs over so many pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(pictures):
            write_sample(folder / "data", number)
        write_config(folder)
        figures = {"pictures": pictures, "first": run(folder, cores), "nothing to do": run(folder, cores)}
        edited = folder / "data/site_0000/picture_00003.json"
        content = json.loads(edited.read_text())
        content["shapes"].pop()
        edited.write_text(json.dumps(content))
        figures["one annotation edited"] = run(folder, cores)
        write_sample(folder / "data", pictures + PER_FOLDER)
        figures["one picture more"] = run(folder, cores)
        rules = {file.name: 0.0 for file in (folder / "benchmarks/scale").iterdir()}
        for rule in rules:
            place = folder / "benchmarks/scale" / rule
            tables = [place] if place.is_file() else sorted(place.iterdir())
            rules[rule] = round(sum(float(table.read_text().splitlines()[1].split("\t")[0]) for table in tables), 1)
    print(json.dumps(figures), flush=True)
    return figures | {"seconds of the rules, last runs": {rule.removesuffix(".tsv"): s for rule, s in rules.items()}}


def main() -> int:
    """Measure and print; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0.0, metavar="RATIO")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    curve = [measure(pictures, given.cores) for pictures in given.pictures]
    cost = [row["first"]["seconds"] / row["pictures"] for row in curve]
    ratio = cost[0] / cost[-1]
    if given.json:
        write_json(given.json, {"cores": given.cores, "machine": platform.machine(), "curve": curve, "ratio": ratio})
    print(
        f"scale: ratio={ratio:.2f} ({1000 * cost[0]:.1f} ms a picture of {given.pictures[0]}, "
        f"{1000 * cost[-1]:.1f} ms of {given.pictures[-1]}, {given.cores} cores of {platform.machine()})"
    )
    return int(ratio < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
