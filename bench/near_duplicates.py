"""How far apart are pictures that show the same, and pictures that do not? And how long does it take to tell 10,000?

Distributions of hash bits and matching details for pairs whose truth is known: copies, video frames, slices of stacks,
overlapping tiles; and pictures of different things, which the gate must not stop. The ratio is of the pairs compared a
second, all turns included, to ImageHash's own comparison of one pair after the other.

    python bench/near_duplicates.py DATA [--pictures 10000] [--at-least 20] [--json FILE]

DATA: folder of the real data sets (labelme_devices, isbi2012_membrane, cvat_coco_dental, dubai_aerial, …).
"""

import argparse
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import imagehash
import numpy as np

from maskmill.demo import generate_demo
from maskmill.files import write_json
from maskmill.imaging.images import read_image
from maskmill.imaging.overlay import display_image
from maskmill.imaging.volumes import stack_header
from maskmill.indexing.groups import natural_key
from maskmill.leaks.hashes import THUMBNAIL, TURNS, PictureHashes, details, perceptual_hashes
from maskmill.leaks.near_duplicates import (
    COPY_BITS,
    LEAST_AGREEMENT,
    LEAST_DETAILS,
    Looks,
    copies,
    detail_pairs,
    matching_details,
    neighbours_by_name,
    sequence_pairs,
)
from maskmill.leaks.pairs import Pairs

MOST_PAIRS = 1500
PERCENTILES = (0, 1, 5, 50, 95, 99, 100)


def greys(files: Iterable[Path]) -> list[np.ndarray]:
    """Pictures (H, W) uint8, by natural order of their names."""
    ordered = sorted(files, key=lambda file: natural_key(file.as_posix()))
    return [cv2.cvtColor(display_image(read_image(file)), cv2.COLOR_RGB2GRAY) for file in ordered]


def middle_slices(volumes: Iterable[Path]) -> list[np.ndarray]:
    """The middle slice (H, W) uint8 of volumes, without label volumes."""
    files = [file.as_posix() for file in sorted(volumes) if "label" not in file.as_posix()]
    slices = [read_image(f"{file}#page={stack_header(file).depth // 2}") for file in files]
    return [cv2.cvtColor(display_image(picture), cv2.COLOR_RGB2GRAY) for picture in slices]


def tiles(picture: np.ndarray, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Two square tiles side by side that share so much of their width."""
    side = int(min(picture.shape[0], picture.shape[1] / (2 - overlap)))
    step = int(side * (1 - overlap))
    return picture[:side, :side], picture[:side, step : step + side]


def compressed(picture: np.ndarray) -> np.ndarray:
    """After JPEG of quality 30."""
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)


@dataclass
class Set:
    """Pictures of one kind, and which pairs of them are compared, by what they are to one another.

    same: pairs that show the same. sequence: whether neighbours follow one another in one folder.
    """

    pictures: list[np.ndarray]
    same: dict[str, list[tuple[int, int]]]
    different: dict[str, list[tuple[int, int]]]
    sequence: bool = False


def at_distance(count: int, *distances: int) -> list[tuple[int, int]]:
    """Pairs of indices below `count` so many places apart."""
    return [(i, i + distance) for distance in distances for i in range(count - distance)]


def all_pairs(count: int, start: int = 0) -> list[tuple[int, int]]:
    """All pairs of indices from `start` below `count`."""
    return list(combinations(range(start, count), 2))


def beside(changed: list[np.ndarray], pictures: list[np.ndarray], name: str) -> Set:
    """Pictures and a changed version of each."""
    count = len(pictures)
    return Set([*pictures, *changed], {name: [(i, i + count) for i in range(count)]}, {})


def sets(data: Path, demo: Path) -> dict[str, Set]:
    """Sets of pictures whose truth is known."""
    generate_demo(demo, seed=0, groups=20, scenes_per_group=2)
    drawn = greys(demo.rglob("*.jpg"))
    devices = greys((data / "labelme_devices").rglob("*.png"))
    slices = greys((data / "isbi2012_membrane/train/image").glob("*.png"))
    dental = greys((data / "cvat_coco_dental/images").glob("*.jpg"))
    dubai = greys((data / "dubai_aerial").rglob("images/*.jpg"))
    nuts = greys((data / "labelme_nuts/images").glob("*.jpg"))
    nuclei = greys((data / "dsb2018_nuclei").glob("stage1_train/*/images/*.png"))
    patients = middle_slices((data / "msd_hippocampus").rglob("*.nii.gz"))
    crops = [p[y : y + 256, x : x + 256] for p in dubai for y in range(0, p.shape[0] - 255, 256) for x in (0, 256)]
    various = [*dubai, *nuts, *nuclei, *drawn]
    halves = [tiles(p, 0.5) for p in (*dubai, *drawn)]
    thirds = [tiles(p, 0.3) for p in (*dubai, *drawn)]
    cut = [p[int(0.02 * p.shape[0]) : int(0.98 * p.shape[0]), int(0.02 * p.shape[1]) :] for p in various]
    return {
        "copies, JPEG of quality 30": beside([compressed(p) for p in various], various, "copy"),
        "copies, half as large": beside([cv2.resize(p, None, fx=0.5, fy=0.5) for p in various], various, "copy"),
        "copies, mirrored": beside([np.ascontiguousarray(p[:, ::-1]) for p in various], various, "copy"),
        "copies, 2 % cut off three sides": beside(cut, various, "copy"),
        "labelme_devices (video)": Set(devices, {"next frame of 40": at_distance(len(devices), 1)}, {}, True),
        "isbi2012 (stack)": Set(
            slices,
            {"next": at_distance(20, 1), "next but one": at_distance(20, 2)},
            {"six and more apart": at_distance(20, *range(6, 20))},
            True,
        ),
        "cvat_coco_dental (three stacks)": Set(
            dental,
            {"next": [p for p in at_distance(len(dental), 1) if p[1] not in (15, 72)]},
            {"of the first and the last": [(a, b) for a in range(15) for b in range(72, len(dental))]},
            True,
        ),
        "dubai and demo, tiles that share half": beside(*zip(*halves, strict=True), "tile beside"),
        "dubai and demo, tiles that share 30 %": beside(*zip(*thirds, strict=True), "tile beside"),
        "dubai_aerial": Set(dubai, {}, {"all": all_pairs(len(dubai))}, True),
        "dubai_aerial, crops of 256": Set(crops, {}, {"all": all_pairs(len(crops))}, True),
        "labelme_nuts": Set(nuts, {}, {"all": all_pairs(len(nuts))}, True),
        "dsb2018_nuclei": Set(nuclei, {}, {"all": all_pairs(len(nuclei))}, True),
        "msd_hippocampus, middle slices of patients": Set(patients, {}, {"all": all_pairs(len(patients))}, True),
        "demo": Set(drawn, {}, {"all": all_pairs(len(drawn))}, True),
    }


def measure(chosen: Set) -> dict[str, dict]:
    """What is found of the pairs of a set, and how far apart they are."""
    looks = Looks(
        np.stack([perceptual_hashes(p) for p in chosen.pictures]), np.stack(list(map(thumbnail, chosen.pictures)))
    )
    found = {"as copies": pairs_of(copies(looks))}
    if chosen.sequence:
        found["as neighbours in a sequence"] = pairs_of(
            sequence_pairs(looks, np.array(all_pairs(len(chosen.pictures))))
        )
    seen = [details(picture) for picture in chosen.pictures]
    figures = {}
    for same, named in ((True, chosen.same), (False, chosen.different)):
        for name, pairs in named.items():
            figures[name] = {"same": same, **measure_pairs(pairs, looks, seen, found)}
    return figures


def measure_pairs(pairs: list[tuple[int, int]], looks: Looks, seen: list, found: dict[str, set]) -> dict:
    """Distributions over the pairs, and how many are found in each way; details of at most `MOST_PAIRS` of them."""
    first, second = np.array(pairs).T
    bits = np.bitwise_count(looks.hashes[first] ^ looks.hashes[second][:, :1]).sum(axis=2).min(axis=1)
    correlation = looks.correlation(first, second)
    chosen = np.random.default_rng(0).permutation(len(pairs))[:MOST_PAIRS]
    matches = [matching_details(*seen[a], *seen[b]) for a, b in (pairs[i] for i in chosen)]
    matched = [count >= LEAST_DETAILS and agreement >= LEAST_AGREEMENT for count, agreement in matches]
    any_way = {pair for of_kind in found.values() for pair in of_kind} | {
        pairs[i] for i, is_matched in zip(chosen, matched, strict=True) if is_matched
    }
    return {
        "pairs": len(pairs),
        "found": len(any_way & set(pairs)),
        **{f"found {how}": len(of_kind & set(pairs)) for how, of_kind in found.items()},
        "found by details": f"{sum(matched)} of {len(matched)}",
        "percentiles": list(PERCENTILES),
        "fewest bits of all turns": percentiles(bits),
        "correlation": percentiles(correlation),
        "details in the same arrangement": percentiles([count for count, _ in matches]),
    }


def pairs_of(pairs: Pairs) -> set[tuple[int, int]]:
    """Pairs of indices."""
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def percentiles(values: Sequence[float]) -> list[float]:
    """Percentiles, rounded."""
    return [round(float(value), 2) for value in np.percentile(values, PERCENTILES)]


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """32 × 32, as `hash_pictures` stores it."""
    return cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)


def made_up(count: int, alike: bool) -> PictureHashes:
    """What so many pictures might look like: nothing in common, or all of them nearly the same."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (1 if alike else count, 64, 64)).astype(np.uint8)
    if alike:
        small = (small.astype(np.int16) + rng.integers(-9, 10, (count, 64, 64))).clip(0, 255).astype(np.uint8)
    small = np.stack([cv2.GaussianBlur(picture, (0, 0), 2) for picture in small])
    places = rng.integers(0, 512, (500, 2)).astype(np.uint16)
    descriptors = rng.integers(0, 256, (64, 500, 32)).astype(np.uint8)
    return PictureHashes(
        [f"v/{i}" for i in range(count)],
        np.stack([perceptual_hashes(picture) for picture in small]),
        np.stack([thumbnail(picture) for picture in small]),
        [places] * count,
        [descriptors[i % 64] for i in range(count)],
        [None] * count,
    )


def timed(work) -> tuple[float, int]:
    """Seconds, and the length of the result."""
    start = time.perf_counter()
    result = work()
    return round(time.perf_counter() - start, 2), len(result)


def peak_mebibytes() -> int:
    """Greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def time_comparisons(count: int) -> dict:
    """Seconds and memory of comparing so many pictures, which differ, and a quarter as many that are all alike."""
    figures = {"pictures": count, "threads": 2}
    scene = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
    seconds, _ = timed(lambda: [(perceptual_hashes(scene), thumbnail(scene), details(scene)) for _ in range(20)])
    figures["milliseconds to hash a picture of 512 × 512"] = round(1000 * seconds / 20, 1)
    different = made_up(count, alike=False)
    figures["MiB of memory, pictures read"] = peak_mebibytes()
    nothing = Pairs.of([])
    looks = Looks(different.hashes, different.thumbnails)
    figures["copies among all pairs"] = timed(lambda: copies(looks))
    figures["neighbours in sequence"] = timed(lambda: sequence_pairs(looks, neighbours_by_name(different.ids, 2)))
    figures["neighbours by details"] = timed(lambda: detail_pairs(different, nothing, threads=2))
    figures["MiB of memory, pictures compared"] = peak_mebibytes()
    alike = made_up(count // 4, alike=True)
    figures["copies among a quarter as many, all alike"] = timed(lambda: copies(Looks(alike.hashes, alike.thumbnails)))
    figures["MiB of memory, these compared too"] = peak_mebibytes()
    return figures


def pairs_a_second(count: int) -> tuple[float, float]:
    """Pairs compared a second in all turns: by Maskmill, by ImageHash one after the other."""
    pictures = made_up(count, alike=False)
    seconds, _ = timed(lambda: copies(Looks(pictures.hashes, pictures.thumbnails)))
    bits = np.unpackbits(pictures.hashes[:60].view(np.uint8), axis=2).astype(bool).reshape(60, TURNS, 16, 16)
    theirs = [[imagehash.ImageHash(turn) for turn in picture] for picture in bits]
    start = time.perf_counter()
    near = [a for a, b in combinations(theirs, 2) if min(turn - b[0] for turn in a) <= COPY_BITS]
    return count * (count - 1) / 2 / seconds, 60 * 59 / 2 / (time.perf_counter() - start + 0 * len(near))


def main() -> int:
    """Measure and print; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    timing = time_comparisons(given.pictures)  # first, so that its peak of memory is its own
    with tempfile.TemporaryDirectory() as folder:
        measured = {name: measure(chosen) for name, chosen in sets(given.data, Path(folder, "demo")).items()}
    for name, figures in measured.items():
        for relation, figure in figures.items():
            expected = "same" if figure["same"] else "different"
            print(f"{name}, {relation} ({expected}): {figure['found']} of {figure['pairs']} found")
    ours, theirs = pairs_a_second(min(given.pictures, 4000))
    figures = {
        "machine": platform.machine(),
        "sets": measured,
        "seconds and pairs found": timing,
        "ratio": round(ours / theirs, 1),
    }
    if given.json:
        write_json(given.json, figures)
    print(timing)
    print(
        f"near_duplicates: ratio={ours / theirs:.1f} (ours {ours:.3g} pairs/s, theirs {theirs:.3g} pairs/s, "
        f"{platform.machine()})"
    )
    return int(ours / theirs < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
