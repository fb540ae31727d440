"""Connected components of regions larger than memory: labelled band by band, and united where bands meet.

What touches, if only at a corner, is of one component: 8-connected in a picture, 26-connected in a volume; holes are
the opposite, 4-connected and 6-connected. Bands are rows of pictures and slices of volumes. In memory are one band's
labels and a few numbers a component; a picture of one band is labelled as a whole. Bands are labelled twice, once to
see which components belong together and once to act on it, which takes less time than keeping the labels on disk.

Reference: Rosenfeld & Pfaltz (1966), "Sequential operations in digital picture processing", Journal of the ACM 13(4).
"""

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from maskmill.classes import BACKGROUND
from maskmill.imaging.lazy import let_go
from maskmill.inference.components import find_components
from maskmill.sizes import Size

Window = tuple[slice, ...]
"""Slices and rows of a band."""

_BAND_PIXELS = 1 << 23


class BandedComponents:
    """The components of a region that is read in bands.

    region: from the window of a band to its part of the region, bool (d, h, w), the same at each call until `select`
    has come to the band. size: (depth, height, width) of the whole.

    Attributes: areas, int64, of each component in pixels; at_edge, bool, whether a component reaches the edge of the
    picture or volume.
    """

    def __init__(self, region: Callable[[Window], np.ndarray], size: Size, corners: bool = True) -> None:
        self._region, self._size, self._corners = region, size, corners
        self._axis = 0 if size[0] > 1 else 1
        areas, at_edge, pairs, above, count = [], [], [], None, 0
        for window in self._windows():
            components, of_band = self._label(window)
            areas.append(of_band[1:])
            at_edge.append(self._reaching_edge(components, window, len(of_band)))
            upper, lower = (components.take(side, self._axis).astype(np.int64) for side in (0, -1))
            if above is not None:
                pairs.append(_touching(above, np.where(upper > 0, upper + count, 0), corners))
            above, count = np.where(lower > 0, lower + count, 0), count + len(of_band) - 1
        self._whole = _united(np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.int64), count)
        self.areas = np.bincount(self._whole, np.concatenate(areas), self._whole.max(initial=-1) + 1).astype(np.int64)
        self.at_edge = np.bincount(self._whole, np.concatenate(at_edge), len(self.areas)) > 0

    def select(self, chosen: np.ndarray) -> Iterator[tuple[Window, np.ndarray]]:
        """The pixels of the chosen components, bool (components): each band's window and bool (d, h, w)."""
        first = 0
        for window in self._windows():
            components, of_band = self._label(window)
            wanted = np.concatenate([[False], chosen[self._whole[first : first + len(of_band) - 1]]])
            first += len(of_band) - 1
            yield window, wanted[components]

    def first(self, chosen: np.ndarray) -> int:
        """Of the chosen components, bool (components) with at least one, the one with the first pixel."""
        candidates, before = np.flatnonzero(chosen), 0
        if len(candidates) == 1:
            return int(candidates[0])
        for window in self._windows():
            components, of_band = self._label(window)
            wanted = np.concatenate([[False], chosen[self._whole[before : before + len(of_band) - 1]]])
            if wanted.any():
                return int(self._whole[before + components.ravel()[wanted[components].argmax()] - 1])
            before += len(of_band) - 1
        raise ValueError("no component is chosen")

    def _windows(self) -> Iterator[Window]:
        length = self._size[self._axis]
        step = max(1, _BAND_PIXELS // (math.prod(self._size) // length))
        for start in range(0, length, step):
            yield (slice(None),) * self._axis + (slice(start, start + step),)

    def _label(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        return find_components(np.ascontiguousarray(self._region(window)), self._corners)

    def _reaching_edge(self, components: np.ndarray, window: Window, count: int) -> np.ndarray:
        """Which of the band's components, bool (count - 1), reach the edge of the whole."""
        reaching = np.zeros(count, bool)
        for axis in range(self._axis, 3):
            sides = (0, -1)
            if axis == self._axis:
                ends = window[axis].start == 0, window[axis].stop >= self._size[axis]
                sides = [side for side, end in zip(sides, ends, strict=True) if end]
            for side in sides:
                reaching[components.take(side, axis)] = True
        return reaching[1:]


def _touching(above: np.ndarray, below: np.ndarray, corners: bool) -> np.ndarray:
    """Pairs (2, n) of component numbers that touch across two rows or slices, (1, w) or (h, w), each pair once."""
    near = (-1, 0, 1) if corners else (0,)
    found = []
    for down, along in product(near if len(above) > 1 else (0,), near):
        upper = above[max(0, down) : len(above) + min(0, down), max(0, along) : above.shape[1] + min(0, along)]
        lower = below[max(0, -down) : len(below) + min(0, -down), max(0, -along) : below.shape[1] + min(0, -along)]
        both = (upper > 0) & (lower > 0)
        found.append(np.unique(np.stack([upper[both], lower[both]]), axis=1))
    return np.unique(np.concatenate(found, axis=1), axis=1)


def _united(pairs: np.ndarray, count: int) -> np.ndarray:
    """The component, from 0, of each of the numbers 1 to `count`, where pairs of them (2, n) belong together."""
    if not pairs.size:
        return np.arange(count)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(pairs.shape[1], bool), tuple(pairs - 1)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def remove_small_components(mask: np.ndarray, value: int, minimum_area: float) -> None:
    """Set the components of `value` with fewer than `minimum_area` pixels to background, in place; mask: (D, H, W)."""
    if minimum_area <= 1:
        return
    components = BandedComponents(lambda window: mask[window] == value, mask.shape)
    small = components.areas < minimum_area
    if small.any():
        for window, pixels in components.select(small):
            mask[window][pixels] = BACKGROUND
            let_go(mask)


def keep_largest_component(mask: np.ndarray, value: int) -> None:
    """Set all components of `value` but the largest to background, in place; mask: (D, H, W)."""
    components = BandedComponents(lambda window: mask[window] == value, mask.shape)
    if not components.areas.size:
        return
    largest = components.first(components.areas == components.areas.max())
    for window, pixels in components.select(np.arange(components.areas.size) != largest):
        mask[window][pixels] = BACKGROUND
        let_go(mask)


def fill_small_holes(mask: np.ndarray, value: int, area: float) -> None:
    """Set the background in holes of `value` of fewer than `area` pixels to it, in place; mask: (D, H, W).

    What reaches the edge of the picture or volume is no hole.
    """
    holes = BandedComponents(lambda window: mask[window] != value, mask.shape, corners=False)
    for window, pixels in holes.select((holes.areas < area) & ~holes.at_edge):
        mask[window][pixels & (mask[window] == BACKGROUND)] = value
        let_go(mask)


def change_nearby(mask: np.ndarray, value: int, change: Callable[[np.ndarray], np.ndarray], reach: int) -> None:
    """Change the region of `value` in place, band by band; mask: (D, H, W).

    change: from a region to the changed one, bool (d, h, w); what it makes of a pixel depends on those at most `reach`
    away along each axis. The value gains background alone.
    """
    axis = 0 if len(mask) > 1 else 1
    length, before = mask.shape[axis], None
    step = max(2 * reach, _BAND_PIXELS // (math.prod(mask.shape) // length), 1)
    for start in range(0, length, step):
        ahead = (slice(None),) * axis
        window, behind = (*ahead, slice(start, start + step)), (*ahead, slice(start + step, start + step + reach))
        band = mask[window] == value
        above = [] if before is None else [before]
        margin = above[0].shape[axis] if above else 0
        changed = change(np.concatenate([*above, band, mask[behind] == value], axis))
        changed = changed[(*ahead, slice(margin, margin + band.shape[axis]))]
        before = band[(*ahead, slice(max(0, band.shape[axis] - reach), None))]
        part = mask[window]
        part[band & ~changed] = BACKGROUND
        part[changed & (part == BACKGROUND)] = value
        let_go(mask)
