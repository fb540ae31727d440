"""Is the model more than a look at colours? The test IoU of a finished run against the best colour rules.

The rules are a Bayes classifier on a 16³ RGB histogram of the training and validation pictures and a global grey
threshold, both with their cut-off picked on the test itself, so that they are flattered. 8-bit RGB pictures only.

    python bench/colour_baseline.py results/dubai building [--experiment baseline] [--at-least 1.5] [--json FILE]
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np

from maskmill.files import read_json, read_table, write_json
from maskmill.imaging.images import read_image, read_label_png

BINS = 16


def colour_bins(image: np.ndarray) -> np.ndarray:
    """Histogram bin (0–4095) of every pixel of an RGB picture, uint8 (H, W, 3)."""
    red, green, blue = (image // (256 // BINS)).astype(np.int64).transpose(2, 0, 1)
    return (red * BINS + green) * BINS + blue


def mean_iou(masks, references) -> float:
    """Mean IoU over pictures of boolean masks (H, W); those without the class in either do not count."""
    pairs = [(np.count_nonzero(m & r), np.count_nonzero(m | r)) for m, r in zip(masks, references, strict=True)]
    return float(np.mean([hits / union for hits, union in pairs if union]))


def load(results: Path, parts: set[str], value: int):
    """Pictures of the parts of fold 0 and where they hold the class."""
    images = {row["id"]: row["image"] for row in read_table(results / "samples.csv")}
    for row in read_table(results / "splits.csv"):
        if row["fold0"] in parts:
            labels = read_label_png(results / f"labels/{row['shard']}/{row['id']}.png")
            yield read_image(images[row["id"]]), labels == value


def best_colour_rule(results: Path, value: int) -> dict[str, float]:
    """The best test IoU of each rule over its cut-offs."""
    counts = np.zeros((2, BINS**3))
    for image, present in load(results, {"train", "validation"}, value):
        bins = colour_bins(image)
        counts += [np.bincount(bins[region], minlength=BINS**3) for region in (present, ~present)]
    share = counts[0] / np.maximum(counts.sum(axis=0), 1)
    images, references = zip(*load(results, {"test"}, value), strict=True)
    likely = [share[colour_bins(image)] for image in images]
    grey = [image.mean(axis=2) for image in images]
    bayes = [mean_iou([m >= cut for m in likely], references) for cut in np.linspace(0.05, 0.95, 19)]
    bright = [mean_iou([m >= cut for m in grey], references) for cut in range(0, 256, 8)]
    dark = [mean_iou([m < cut for m in grey], references) for cut in range(8, 257, 8)]
    return {"colour histogram": max(bayes), "grey threshold": max(bright + dark)}


def main() -> int:
    """Compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("class_name")
    parser.add_argument("--experiment", default="baseline")
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = read_json(given.results / "fingerprint.json")["classes"]
    rules = best_colour_rule(given.results, names.index(given.class_name) + 1)
    summary = read_json(given.results / f"experiments/{given.experiment}/summary.json")
    ours, theirs = summary["test"][given.class_name]["iou"]["mean"], max(rules.values())
    figures = {"class": given.class_name, "iou": ours, **rules, "ratio": ours / theirs, "machine": platform.machine()}
    if given.json:
        write_json(given.json, figures)
    print(json.dumps(rules))
    print(f"colour_baseline: ratio={ours / theirs:.2f} (ours {ours:.3f}, theirs {theirs:.3f}, {platform.machine()})")
    return int(ours / theirs < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
