"""Which pictures of a data set show the same: copies, frames of one video, neighbouring slices, overlapping tiles.

Comparisons of which each is blind to what another sees:

- Perceptual hashes of all pairs, confirmed by correlation, find copies: turned, mirrored, compressed, resized,
  brightened, slightly cut. Different patients look alike too, so that little difference is allowed.
- Of neighbours in a sequence (by name) more is allowed, if they are clearly more alike than pictures of the set usually
  are: this finds slices of a stack.
- Details that lie in the same arrangement find one scene seen from elsewhere: frames of a video, overlapping tiles.
  This costs too much for all pairs; as many neighbours by name are compared as time allows.
- Footprints on the map find pictures of one place, whatever they look like.

The limits were measured on real data, see `bench/near_duplicates.py` and its results.
"""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import NormalDist

import cv2
import numpy as np

from maskmill.files import read_table, write_table
from maskmill.imaging.georeference import Georeference, overlaps
from maskmill.indexing.groups import PART_NAMES, natural_key
from maskmill.leaks.hashes import HASH_BITS, KEYPOINT_SIDE, THUMBNAIL, TURNS, PictureHashes, read_hashes
from maskmill.leaks.pairs import Pairs, thin
from maskmill.logs import progress
from maskmill.wording import count_of

PAIR_COLUMNS = ("kind", "id_a", "id_b", "similarity", "detail")

COPY_BITS, UPRIGHT_CORRELATION, TURNED_CORRELATION = 48, 0.5, 0.8
SEQUENCE_BITS, SEQUENCE_CORRELATION, SEQUENCE_REACH = 80, 0.4, 2
LEAST_DETAILS, LEAST_AGREEMENT = 15, 0.5
LEAST_OVERLAP = 0.01
"""Share of the smaller footprint from which two pictures show the same place; tiles side by side share a border."""

LEAST_CONTRAST = 2.0
"""Standard deviation of a thumbnail's grey values below which there is nothing to compare."""

DETAIL_COMPARISONS = 10_000

_BLOCK = 256
_PAIRS_AT_ONCE = 20_000
_PAIRS_KEPT = 2_000_000
_USUAL_PAIRS = 10_000
_CELL = 12
_TURN_NAMES = ("", "turned by 90°", "turned by 180°", "turned by 270°", "mirrored")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Looks:
    """What N pictures look like, for comparing them. hashes: (N, 8, 4) uint64; thumbnails: (N, 32, 32) uint8."""

    hashes: np.ndarray
    thumbnails: np.ndarray

    @cached_property
    def has_contrast(self) -> np.ndarray:
        """Whether there is something to compare: (N,) bool."""
        return self.thumbnails.reshape(len(self.thumbnails), -1).std(axis=1) >= LEAST_CONTRAST

    @cached_property
    def views(self) -> np.ndarray:
        """The thumbnails' local contrast: (N, 32, 32)."""
        return np.array([_local_contrast(picture) for picture in self.thumbnails]).reshape(-1, THUMBNAIL, THUMBNAIL)

    @cached_property
    def chance(self) -> np.ndarray:
        """Correlation that chance alone does not bring about, at most 0.9: (N,).

        Four standard deviations, 4 / √n, for n values that count (the participation ratio), few of spots on black.
        """
        return np.minimum(4 * np.sqrt((self.views**4).sum(axis=(1, 2))), 0.9)

    def correlation(self, first: np.ndarray, second: np.ndarray, turn: int = 0) -> np.ndarray:
        """Correlation of pairs (M,), the first picture turned, to four digits."""
        values = np.empty(len(first))
        for start in range(0, len(first), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            left = np.rot90(self.views[first[part]], turn % 4, axes=(1, 2))
            left = left[:, :, ::-1] if turn >= 4 else left
            values[part] = np.einsum("nij,nij->n", left, self.views[second[part]])
        return values.round(4)


def compare_pictures(
    samples: str | os.PathLike, hashes: Sequence[str | os.PathLike], output: str | os.PathLike, threads: int = 1
) -> None:
    """Write the table of the pairs of samples that show the same (`PAIR_COLUMNS`), the most alike first.

    kind: "identical" (files), "near_duplicate" or "overlapping_footprint". Where many pictures are alike, the ten
    nearest of each are listed, and the pairs that hold together what is alike.
    """
    rows = read_table(samples)
    pictures = read_hashes(hashes, [row["id"] for row in rows])
    looks = Looks(pictures.hashes, pictures.thumbnails)
    alike = copies(looks)
    alike += sequence_pairs(looks, sequence_neighbours(rows)).without(alike)
    alike += detail_pairs(pictures, alike, threads)
    identical = identical_pairs(rows, pictures.thumbnails, alike)
    found = {
        "identical": identical,
        "near_duplicate": alike.without(identical),
        "overlapping_footprint": footprint_pairs(pictures.georeferences),
    }
    table = [
        {"kind": kind, "id_a": pictures.ids[a], "id_b": pictures.ids[b], "similarity": float(similarity), "detail": why}
        for kind, pairs in found.items()
        for a, b, similarity, why in zip(pairs.first, pairs.second, pairs.similarity, pairs.detail, strict=True)
    ]
    write_table(output, sorted(table, key=lambda row: (-row["similarity"], row["id_a"], row["id_b"])), PAIR_COLUMNS)
    logger.info(
        "%s; %s", count_of(len(rows), "picture"), ", ".join(f"{len(pairs)} {kind}" for kind, pairs in found.items())
    )


def identical_pairs(rows: Sequence[Mapping[str, str]], thumbnails: np.ndarray, alike: Pairs) -> Pairs:
    """Samples whose picture files are the same, byte for byte; pictures of one single grey have nothing to share.

    Of many that are the same the pairs of one and the next, and those among the pairs that look alike.
    """
    same = defaultdict(list)
    for index, row in enumerate(rows):
        if np.ptp(thumbnails[index]):
            # the slices of a stack have one digest, that of the file, and differ in their "#page=N"
            same[row["sha256_image"], row["image"].partition("#")[2]].append(index)
    numbers = np.arange(len(rows))
    for members in same.values():
        numbers[members] = members[0]
    copied = alike.take(numbers[alike.first] == numbers[alike.second])
    pairs = {pair for members in same.values() for pair in pairwise(members)}
    pairs.update(zip(copied.first.tolist(), copied.second.tolist(), strict=True))
    return Pairs.of([(a, b, 1.0, "the files are the same") for a, b in sorted(pairs)])


def copies(looks: Looks) -> Pairs:
    """Pairs of pictures that are copies by their looks, upright or turned, among all pairs.

    The hashes differ in few bits, and the thumbnails' local contrast correlates, which a bright spot on black or one
    texture everywhere does not bring about.
    """
    usable = np.flatnonzero(looks.has_contrast)
    hashes, count = looks.hashes[usable], len(looks.hashes)
    found = Pairs.of([])
    blocks = [(turn, start) for turn in range(TURNS) for start in range(0, len(usable), _BLOCK)]
    for turn, start in progress(blocks, "comparing hashes"):
        bits = _differing_bits(hashes[start : start + _BLOCK, turn][:, None], hashes[None, start:, 0])
        rows, columns = np.nonzero(np.triu(bits <= COPY_BITS, 1))
        first, second = usable[rows + start], usable[columns + start]
        least = np.maximum(TURNED_CORRELATION if turn else UPRIGHT_CORRELATION, _chance(looks, first, second))
        correlation = looks.correlation(first, second, turn)
        pairs = Pairs(first, second, correlation, _bit_words(turn)[bits[rows, columns]])
        found += pairs.take(correlation >= least)
        if len(found) > _PAIRS_KEPT:
            found = thin(found, count)
    return thin(found, count)


def sequence_pairs(looks: Looks, neighbours: np.ndarray) -> Pairs:
    """Those of the pairs of neighbours (M, 2) that look alike, clearly more so than pictures of the set usually do."""
    first, second = neighbours[looks.has_contrast[neighbours].all(axis=1)].T
    bits = _differing_bits(looks.hashes[first, 0], looks.hashes[second, 0])
    near = bits <= SEQUENCE_BITS
    if not near.any():
        return Pairs.of([])
    first, second = first[near], second[near]
    correlation = looks.correlation(first, second)
    least = np.maximum(max(SEQUENCE_CORRELATION, unusual_correlation(looks)), _chance(looks, first, second))
    return Pairs(first, second, correlation, _bit_words(0)[bits[near]]).take(correlation >= least)


def unusual_correlation(looks: Looks) -> float:
    """Five standard deviations above the usual correlation of two pictures of the set, of those with contrast.

    Usual is the normal distribution through the 5th percentile and the lower quartile of pairs drawn at random, which
    says the same however many pairs of the set are alike, up to most of them.
    """
    drawn = np.random.default_rng(0).choice(np.flatnonzero(looks.has_contrast), (2, _USUAL_PAIRS))
    low, quartile = np.percentile(looks.correlation(*drawn[:, drawn[0] != drawn[1]]), (5, 25))
    normal = NormalDist()
    deviation = (quartile - low) / (normal.inv_cdf(0.25) - normal.inv_cdf(0.05))
    return quartile + (5 - normal.inv_cdf(0.25)) * deviation


def _chance(looks: Looks, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.maximum(looks.chance[first], looks.chance[second])


def _differing_bits(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Number of bits in which hashes (…, 4) uint64 differ: uint16, of the shape to which the others are broadcast."""
    bits = np.zeros(np.broadcast_shapes(first.shape, second.shape)[:-1], dtype=np.uint16)
    for word in range(first.shape[-1]):
        bits += np.bitwise_count(first[..., word] ^ second[..., word])
    return bits


def _bit_words(turn: int) -> np.ndarray:
    """How alike a pair is, in words, for each number of differing bits."""
    how = _TURN_NAMES[turn] if turn < 5 else f"mirrored and {_TURN_NAMES[turn - 4]}"
    words = [f"the hashes differ in {bits} of {HASH_BITS} bits{how and ', '}{how}" for bits in range(HASH_BITS + 1)]
    return np.array(words, dtype=object)


def _local_contrast(thumbnail: np.ndarray) -> np.ndarray:
    """The thumbnail as deviations from the local mean in local standard deviations, zero mean and unit norm.

    Deviations below five grey values count less, so that the noise of dark areas does not decide.
    """
    values = thumbnail.astype(np.float64)
    mean = cv2.GaussianBlur(values, (0, 0), 3)
    variance = cv2.GaussianBlur(values**2, (0, 0), 3) - mean**2
    contrast = (values - mean) / (np.sqrt(np.maximum(variance, 0)) + 5)
    contrast -= contrast.mean()
    return contrast / max(np.linalg.norm(contrast), 1e-9)


def neighbours_by_name(ids: Sequence[str], reach: int) -> np.ndarray:
    """Pairs of indices (M, 2), first < second, of samples at most `reach` apart in the natural order of their names.

    Folders that are named after parts do not count: official splits take frames of one video apart.
    """
    keys = [natural_key(str(_without_parts(sample))) for sample in ids]
    order = np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.int64)
    pairs = [np.stack([order[:-step], order[step:]], axis=1) for step in range(1, min(reach + 1, len(ids)))]
    return np.sort(np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs]), axis=1)


def sequence_neighbours(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
    """Pairs of indices (M, 2) of samples that may follow one another in a stack or video: of one folder, no volumes."""
    near = neighbours_by_name([row["id"] for row in rows], SEQUENCE_REACH)
    folders = [_without_parts(row["id"]).parent if int(row["depth"]) == 1 else index for index, row in enumerate(rows)]
    return near[[folders[a] == folders[b] for a, b in near.tolist()]].reshape(-1, 2)


def _without_parts(sample: str) -> PurePosixPath:
    *folders, name = PurePosixPath(sample).parts
    return PurePosixPath(*(folder for folder in folders if folder.casefold() not in PART_NAMES), name)


def detail_pairs(pictures: PictureHashes, known: Pairs, threads: int = 1) -> Pairs:
    """Pairs of neighbours by name, not yet known, that show one scene: many details in the same arrangement.

    The arrangement may be moved, turned, and larger or smaller by a factor of up to 2. As many neighbours are compared
    as `DETAIL_COMPARISONS` allow, at least the next but one.
    """
    near = neighbours_by_name(pictures.ids, max(2, DETAIL_COMPARISONS // max(len(pictures.ids), 1)))
    taken = set(zip(known.first.tolist(), known.second.tolist(), strict=True))
    candidates = [pair for pair in map(tuple, near.tolist()) if pair not in taken]

    def compare(pair: tuple[int, int]) -> tuple[int, float]:
        a, b = pair
        return matching_details(
            pictures.places[a], pictures.descriptors[a], pictures.places[b], pictures.descriptors[b]
        )

    with ThreadPoolExecutor(threads) as pool:
        matches = list(progress(pool.map(compare, candidates), "comparing details", len(candidates)))
    return Pairs.of(
        [
            (a, b, round(agreement, 4), f"{count} details lie in the same arrangement")
            for (a, b), (count, agreement) in zip(candidates, matches, strict=True)
            if count >= LEAST_DETAILS and agreement >= LEAST_AGREEMENT
        ]
    )


def matching_details(
    places_a: np.ndarray, descriptors_a: np.ndarray, places_b: np.ndarray, descriptors_b: np.ndarray
) -> tuple[int, float]:
    """How many details two pictures have in the same arrangement, and their share of all details that look alike.

    Details closer together than 12 of 512 pixels count once. The arrangement is found by RANSAC, whose random numbers
    start from a fixed seed.
    """
    if min(len(places_a), len(places_b)) < LEAST_DETAILS:
        return 0, 0.0
    nearest = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(descriptors_a, descriptors_b, k=2)
    alike = [best for best, second in nearest if best.distance < 0.8 * second.distance]
    if len(alike) < LEAST_DETAILS:
        return 0, 0.0
    a = places_a[[match.queryIdx for match in alike]].astype(np.float32)
    b = places_b[[match.trainIdx for match in alike]].astype(np.float32)
    motion, inside = cv2.estimateAffinePartial2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=KEYPOINT_SIDE / 85)
    if motion is None or not 0.5 <= np.hypot(*motion[0, :2]) <= 2:
        return 0, 0.0
    inside = inside.ravel().astype(bool)
    counts = [len(np.unique(places[inside] // _CELL, axis=0)) for places in (a, b)]
    return min(counts), float(inside.mean())


def footprint_pairs(georeferences: Sequence[Georeference | None]) -> Pairs:
    """Pairs of pictures whose footprints overlap by more than a border; the similarity is the share of the smaller."""
    placed = [index for index, place in enumerate(georeferences) if place is not None]
    if not placed:
        return Pairs.of([])
    import shapely

    boxes = shapely.box(*np.array([_box(georeferences[index]) for index in placed]).T)
    pairs = np.array(placed)[np.sort(shapely.STRtree(boxes).query(boxes, predicate="intersects").T)]
    rows = [
        (a, b, round(shared, 4), f"the footprints share {shared:.1%} of the smaller one")
        for a, b in np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0).tolist()
        if (shared := overlaps(georeferences[a], georeferences[b])) > LEAST_OVERLAP
    ]
    return thin(Pairs.of(rows), len(georeferences))


def _box(place: Georeference) -> tuple[float, float, float, float]:
    """A box around a footprint, in degrees where its CRS is known; all longitudes where it crosses the antimeridian."""
    west, south, east, north = place.bounds or place.bounds_in(place.crs)
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)
