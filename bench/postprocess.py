"""What do border refinement and the splitting of touching objects bring, beside the usual other ways?

On real pictures (nuclei of the 2018 Data Science Bowl, membranes of ISBI 2012) with probabilities made from the labels:
blurred, and with smooth noise, so that borders are uncertain and wobble as a network's do. Borders: the mask at 0.5
against `refine_border` with the guided filter, and against morphological Chan-Vese of scikit-image kept to the same
band. Objects: connected components against `split_touching`, and against a watershed from the peaks of the distance,
as scikit-image's example does it. Means over pictures, gains with 95 % intervals over pictures. The ratio is the
panoptic quality of `split_touching` over that of connected components, both on the same masks.

    python bench/postprocess.py DATA [--pictures 20] [--at-least 1.02] [--json FILE]
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import skimage
from PIL import Image
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.segmentation import morphological_chan_vese, watershed

from maskmill.evaluation.scores import iou
from maskmill.evaluation.selection import mean_difference
from maskmill.files import write_json
from maskmill.inference.borders import brightness, refine_border
from maskmill.inference.components import find_components
from maskmill.inference.morphology import border_band
from maskmill.inference.splitting import split_region
from maskmill.metrics.instance import object_overlaps

LEVEL = 128
DOUBTS = {"sharp": (1.0, 0.1), "usual": (2.0, 0.1), "blurred": (3.0, 0.15)}
"""Standard deviation in pixels of the blur, and of the noise."""

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def nuclei(data: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures (1, H, W, C) and object numbers (1, H, W)."""
    for folder in sorted((data / "dsb2018_nuclei/stage1_train").iterdir()):
        image = np.array(Image.open(next((folder / "images").glob("*.png"))).convert("RGB"))
        objects = np.zeros(image.shape[:2], np.int32)
        for number, file in enumerate(sorted((folder / "masks").glob("*.png")), 1):
            objects[np.array(Image.open(file)) > 0] = number
        yield image[np.newaxis], objects[np.newaxis]


def membranes(data: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures (1, H, W, 1) and membrane, 0 or 1 (1, H, W)."""
    for file in sorted((data / "isbi2012_membrane/train/image").iterdir()):
        label = np.array(Image.open(data / "isbi2012_membrane/train/label" / file.name).convert("L"))
        yield np.array(Image.open(file).convert("L"))[np.newaxis, ..., np.newaxis], (label == 0)[np.newaxis].astype(int)


def doubtful(region: np.ndarray, doubt: str, rng: np.random.Generator) -> np.ndarray:
    """Rounded probabilities, uint8 (1, H, W), of a region."""
    blur, amount = DOUBTS[doubt]
    noise = ndimage.gaussian_filter(rng.normal(size=region.shape[1:]), 3)
    values = ndimage.gaussian_filter(region[0].astype(float), blur) + amount * noise / noise.std()
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)[np.newaxis]


def active_contour(region: np.ndarray, guide: np.ndarray, steps: int) -> np.ndarray:
    """Morphological Chan-Vese from the region, kept to the band that refinement with radius 4 may change."""
    moved = morphological_chan_vese(guide[0].astype(float), steps, init_level_set=region[0].astype(np.int8))
    return np.where(border_band(region, 4), moved[np.newaxis] > 0, region)


BORDERS: dict[str, Method] = {
    "threshold": lambda region, values, guide: region,
    **{
        f"refine_border, radius {radius}": lambda region, values, guide, radius=radius: refine_border(
            region, values, LEVEL, guide, radius
        )
        for radius in (2, 4, 8)
    },
    **{
        f"Chan-Vese, {steps} steps": lambda region, values, guide, steps=steps: active_contour(region, guide, steps)
        for steps in (3, 10)
    },
}


def from_peaks(region: np.ndarray, distance: int) -> np.ndarray:
    """Watershed from the peaks of the distance to the outside that are so far apart."""
    inside = cv2.distanceTransform(region[0].astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    peaks = peak_local_max(inside, min_distance=distance, exclude_border=False, labels=region[0].astype(int))
    markers = np.zeros(inside.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-inside, markers, mask=region[0])[np.newaxis]


OBJECTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "components": lambda region: find_components(region)[0],
    **{
        f"split_touching, depth {depth:g}": lambda region, depth=depth: split_region(region, depth)
        for depth in (0.5, 1, 2)
    },
    **{
        f"peaks {distance} pixels apart": lambda region, distance=distance: from_peaks(region, distance)
        for distance in (5, 8)
    },
}


def timed(method: Callable[..., np.ndarray], *arguments: np.ndarray) -> tuple[np.ndarray, float]:
    """What a method gives, and its milliseconds."""
    start = time.perf_counter()
    result = method(*arguments)
    return result, 1000 * (time.perf_counter() - start)


def summarize(scores: dict[str, list[float]], times: dict[str, list[float]]) -> dict[str, dict[str, float | None]]:
    """Mean score, gain over the first method with its interval, median time, of each method."""
    columns = {name: np.array(values, float)[:, np.newaxis] for name, values in scores.items()}
    first, figures = next(iter(columns.values())), {}
    pictures = [str(number) for number in range(len(first))]
    for name, column in columns.items():
        gain, low, high = mean_difference(column, first, pictures)
        figures[name] = {"mean": float(np.nanmean(column)), "gain": gain, "low": low, "high": high}
        figures[name]["median_ms"] = float(np.median(times[name]))
    return figures


def measure_borders(cases: list[tuple[np.ndarray, np.ndarray]], doubt: str) -> dict[str, dict[str, float | None]]:
    """IoU of each way to draw borders."""
    rng = np.random.default_rng(0)
    scores, times = ({name: [] for name in BORDERS} for _ in range(2))
    for image, labels in cases:
        values, guide = doubtful(labels > 0, doubt, rng), brightness(image)
        for name, method in BORDERS.items():
            refined, spent = timed(method, values >= LEVEL, values, guide)
            scores[name].append(iou(refined, (labels > 0).astype(np.uint8), 1))
            times[name].append(spent)
    return summarize(scores, times)


def measure_objects(cases: list[tuple[np.ndarray, np.ndarray]], doubt: str) -> dict[str, dict[str, float | None]]:
    """Panoptic quality of each way to tell objects apart."""
    rng = np.random.default_rng(0)
    scores, times = ({name: [] for name in OBJECTS} for _ in range(2))
    for _, labels in cases:
        region = doubtful(labels > 0, doubt, rng) >= LEVEL
        for name, method in OBJECTS.items():
            found, spent = timed(method, region)
            scores[name].append(object_overlaps(found, labels).pq)
            times[name].append(spent)
    return summarize(scores, times)


def compare(data: Path, pictures: int) -> dict[str, object]:
    """The figures of all ways, on the first so many pictures of each data set."""
    sets = {name: list(islice(read(data), pictures)) for name, read in (("nuclei", nuclei), ("membranes", membranes))}
    borders = {name: {doubt: measure_borders(cases, doubt) for doubt in DOUBTS} for name, cases in sets.items()}
    objects = {doubt: measure_objects(sets["nuclei"], doubt) for doubt in DOUBTS}
    return {
        "ratio": objects["usual"]["split_touching, depth 1"]["mean"] / objects["usual"]["components"]["mean"],
        "pictures": {name: len(cases) for name, cases in sets.items()},
        "border_iou": borders,
        "object_pq": objects,
        "versions": f"Python {platform.python_version()}, NumPy {np.__version__}, OpenCV {cv2.__version__}, "
        f"scikit-image {skimage.__version__}",
        "machine": platform.machine(),
    }


def main() -> int:
    """Compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = compare(given.data, given.pictures)
    if given.json:
        write_json(given.json, figures)
    print(json.dumps({key: figures[key] for key in ("border_iou", "object_pq")}, indent=2))
    usual = figures["object_pq"]["usual"]
    print(
        f"postprocess: ratio={figures['ratio']:.3f} (ours PQ {usual['split_touching, depth 1']['mean']:.3f} split, "
        f"theirs PQ {usual['components']['mean']:.3f} components, hardware {figures['machine']})"
    )
    return int(figures["ratio"] < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
