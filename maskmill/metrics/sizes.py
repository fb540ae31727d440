"""Which objects are found, by their size: a mean over pixels does not see small ones."""

import numpy as np

from maskmill.metrics import SIZE_BINS

FOUND = 0.5
"""Share of an object's pixels from which on it counts as found."""


def recall_by_size(prediction: np.ndarray, objects: np.ndarray) -> dict[str, float | None]:
    """Share of the reference objects of each bin of sizes that are found; None where a bin is empty.

    prediction: boolean mask of the class. objects: numbers of its reference objects, of the same shape, 0 is none.
    An object is found where at least half of its pixels are predicted as its class, whatever else is predicted with it.
    """
    areas = np.bincount(objects.ravel())
    hits = np.bincount(objects[prediction], minlength=len(areas))[1:]
    areas = areas[1:]
    hits, areas = hits[areas > 0], areas[areas > 0]
    found = hits >= FOUND * areas
    names = list(SIZE_BINS)
    bins = np.searchsorted(list(SIZE_BINS.values()), areas, side="right") - 1
    return {name: float(found[bins == i].mean()) if (bins == i).any() else None for i, name in enumerate(names)}
