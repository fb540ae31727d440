"""Comparing all pairs in blocks of bits gives what one pair after the other gives with ImageHash, SciPy and Shapely."""

import imagehash
import numpy as np
import pytest
import shapely
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from maskmill.leaks.hashes import perceptual_hashes
from maskmill.leaks.near_duplicates import Looks, copies, footprint_pairs
from tests.unit.leaks.test_near_duplicates import COPIES, place

TURNS = [lambda p, turn=turn: np.rot90(p, turn % 4)[:, :: -1 if turn > 3 else 1] for turn in range(8)]


@pytest.fixture(scope="module")
def pictures():
    """Photographs and their copies, all turned versions among them, 64 × 64 so that nothing is resized twice."""
    originals = [data.camera(), data.coins(), data.moon(), data.page(), data.clock(), data.text(), data.brick()]
    changed = [copy(original) for original in originals[:4] for copy in COPIES.values()]
    return [np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize((64, 64))) for p in (*originals, *changed)]


def reduced(picture):
    """32 × 32: means of 2 × 2 pixels."""
    return np.rint(picture.reshape(32, 2, 32, 2).mean(axis=(1, 3))).astype(np.uint8)


def local_contrast(values):
    """Deviations from the local mean in local standard deviations; borders mirrored without repeating the edge."""
    mean = gaussian_filter(values, 3, mode="mirror", truncate=4)
    variance = gaussian_filter(values**2, 3, mode="mirror", truncate=4) - mean**2
    return ((values - mean) / (np.sqrt(variance.clip(0)) + 5)).ravel()


def limit(contrast):
    weights = (contrast - contrast.mean()) ** 2
    return min(4 * np.sqrt((weights**2).sum()) / weights.sum(), 0.9)


def compare_one_by_one(pictures):
    """First and second index → best correlation over all turns, of the pairs that are alike."""
    found = {}
    hashes = [imagehash.phash(Image.fromarray(p), 16) for p in pictures]
    contrasts = [local_contrast(reduced(p).astype(float)) for p in pictures]
    for a, picture in enumerate(pictures):
        for turn, apply in enumerate(TURNS):
            copy = np.ascontiguousarray(apply(picture))
            turned_hash, turned_contrast = (
                imagehash.phash(Image.fromarray(copy), 16),
                local_contrast(reduced(copy) * 1.0),
            )
            for b in range(a + 1, len(pictures)):
                correlation = np.corrcoef(turned_contrast, contrasts[b])[0, 1]
                least = max(limit(contrasts[a]), limit(contrasts[b]), 0.8 if turn else 0.5)
                if turned_hash - hashes[b] <= 48 and correlation >= least:
                    found[a, b] = max(found.get((a, b), 0), correlation)
    return found


def test_all_pairs_in_blocks_are_those_found_one_by_one(pictures):
    expected = compare_one_by_one(pictures)
    pairs = copies(Looks(np.stack([perceptual_hashes(p) for p in pictures]), np.stack([reduced(p) for p in pictures])))
    found = dict(zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pairs.similarity, strict=True))
    assert found.keys() == expected.keys()
    assert len(found) > 100
    assert max(abs(found[key] - expected[key]) for key in expected) < 0.01


def test_overlaps_of_many_footprints_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    corners = 500_000 + rng.integers(0, 1500, (60, 2)) * [1, 1] + [0, 3_500_000]
    found = footprint_pairs([place(float(x), float(y)) for x, y in corners])
    boxes = [shapely.box(x, y - 100, x + 100, y) for x, y in corners]
    shared = {(a, b): boxes[a].intersection(boxes[b]).area / 1e4 for a in range(60) for b in range(a + 1, 60)}
    expected = {pair: share for pair, share in shared.items() if share > 0.01}
    assert {*zip(found.first.tolist(), found.second.tolist(), strict=True)} == expected.keys()
    assert len(expected) > 10
    for a, b, share in zip(found.first, found.second, found.similarity, strict=True):
        assert share == pytest.approx(expected[a, b], abs=1e-4)
