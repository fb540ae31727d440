"""Where a label image shows its classes: some pixels of each, so that patches are centred without reading it again."""

from collections.abc import Iterator

import numpy as np

from maskmill.classes import IGNORE

PIXELS_PER_PLACE = 4096
"""One place of a class for this many pixels of the picture, but at least `FEWEST_PLACES` and at most `MOST_PLACES`."""

FEWEST_PLACES, MOST_PLACES = 256, 16384

_BAND = 1 << 22


def find_places(labels: np.ndarray) -> tuple[dict[int, int], np.ndarray]:
    """Count the pixels of every value of labels (D, H, W) uint8, and choose places of every class, IGNORE left out.

    Places are int32 (5, n): class, slice, row, column, and how many pixels of the class the slice has; sorted in this
    order. A class's places are dealt evenly to the slices that show it, at least one each, and lie spread over a slice
    in the order of its pixels. Equal labels give equal places.
    """
    counts = np.stack([_count_values(page) for page in labels])
    most = min(max(labels.size // PIXELS_PER_PLACE, FEWEST_PLACES), MOST_PLACES)
    found = []
    for value in np.flatnonzero(counts[:, 1:IGNORE].any(axis=0)) + 1:
        slices = np.flatnonzero(counts[:, value])
        share = max(1, most // len(slices))
        found += [_slice_places(labels[page], value, page, counts[page, value], share) for page in slices]
    pixels = {int(value): int(counts[:, value].sum()) for value in np.flatnonzero(counts.any(axis=0))}
    return pixels, np.concatenate(found, axis=1) if found else np.empty((5, 0), np.int32)


def _count_values(labels: np.ndarray) -> np.ndarray:
    """Number of pixels (256) of every value of a slice (H, W), band by band."""
    flat, counts = labels.reshape(-1), np.zeros(IGNORE + 1, np.int64)
    for start in range(0, len(flat), _BAND):
        counts += np.bincount(flat[start : start + _BAND], minlength=len(counts))
    return counts


def _slice_places(labels: np.ndarray, value: int, page: int, count: int, share: int) -> np.ndarray:
    """At most `share` of the `count` pixels (H, W) of a class: one at random of each run of equal length."""
    ranks = np.arange(min(count, share))
    if share < count:
        random = np.random.default_rng((int(value), int(page)))
        ranks = np.unique(((ranks + random.random(share)) * (count / share)).astype(np.int64))
    pixels = np.concatenate(list(_ranked_pixels(labels, value, ranks)))
    rows, columns = np.divmod(pixels, labels.shape[1])
    weight = min(int(count), np.iinfo(np.int32).max)
    places = np.empty((5, len(pixels)), np.int32)
    for row, values in zip(places, (value, page, rows, columns, weight), strict=True):
        row[:] = values
    return places


def _ranked_pixels(labels: np.ndarray, value: int, ranks: np.ndarray) -> Iterator[np.ndarray]:
    """Positions in (H, W) of the pixels of a class with these ranks among them, found band by band."""
    flat, passed = labels.reshape(-1), 0
    for start in range(0, len(flat), _BAND):
        pixels = np.flatnonzero(flat[start : start + _BAND] == value)
        first, last = np.searchsorted(ranks, (passed, passed + len(pixels)))
        yield pixels[ranks[first:last] - passed] + start
        passed += len(pixels)


def class_slices(places: np.ndarray, value: int) -> np.ndarray:
    """The slices that show a class."""
    return np.unique(places[1, _of_class(places, value)])


def draw_place(places: np.ndarray, value: int, page: int | None, random: np.random.Generator) -> tuple[int, int, int]:
    """A place (slice, row, column) of a class that is there; all its pixels are alike likely.

    page: the slice it is to lie in, None for any.
    """
    among = _of_class(places, value)
    slices = places[1, among]
    if page is None and slices[0] != slices[-1]:
        page = _weighted_slice(slices, places[4, among], random)
    if page is not None:
        first, last = np.searchsorted(slices, (page, page + 1))
        among = slice(among.start + first, among.start + last)
    return tuple(int(index) for index in places[1:4, random.integers(among.start, among.stop)])


def _weighted_slice(slices: np.ndarray, counts: np.ndarray, random: np.random.Generator) -> int:
    """A slice, each as likely as it has pixels."""
    numbers, first = np.unique(slices, return_index=True)
    share = np.cumsum(counts[first], dtype=np.float64)
    return int(numbers[np.searchsorted(share, random.random() * share[-1], side="right")])


def _of_class(places: np.ndarray, value: int) -> slice:
    return slice(*(int(end) for end in np.searchsorted(places[0], (value, value + 1))))
