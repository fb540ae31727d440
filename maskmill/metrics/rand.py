"""How well cells are told apart by the borders between them: V-Rand and V-Info after border thinning.

The measures of the ISBI 2012 challenge [1]: restricted to the foreground (the cells of the reference), normalised by
the square of its number of pixels, after the borders of the prediction are thinned to lines. Each slice by itself.

The cells of a mask of borders are the 4-connected regions beside them. A pixel of a reference cell that lies on a
predicted line is a cell of its own, as in the challenge's program. Pixels on borders of the reference do not count.

References
----------
.. [1] Arganda-Carreras et al. (2015), "Crowdsourcing the creation of image segmentation algorithms for connectomics",
   Frontiers in Neuroanatomy 9:142, equations 3 and 7 with alpha = 0.5.
"""

from dataclasses import dataclass

import numpy as np
from skimage.measure import label
from skimage.segmentation import watershed

from maskmill.metrics import LEVELS

THRESHOLDS = tuple(round(LEVELS * tenth / 10) for tenth in range(1, 10))
"""Stored probabilities of a border from 0.1 to 0.9, over which the challenge takes the maximum."""


@dataclass(frozen=True)
class CellAgreement:
    """How two divisions of the foreground agree; agreements of several slices add up.

    together: ordered pairs of pixels (each with itself, too) in one cell of both. reference, predicted: in one cell of
    the reference, of the prediction. info: sum over slices of V-Info. slices: number of slices with a cell.
    """

    together: int = 0
    reference: int = 0
    predicted: int = 0
    info: float = 0.0
    slices: int = 0

    def __add__(self, other: "CellAgreement") -> "CellAgreement":
        return CellAgreement(
            self.together + other.together,
            self.reference + other.reference,
            self.predicted + other.predicted,
            self.info + other.info,
            self.slices + other.slices,
        )

    @property
    def v_rand(self) -> float | None:
        """F-score of pairs in [0, 1]: the mean of splits and merges; None where the reference has no cell."""
        return 2 * self.together / (self.reference + self.predicted) if self.slices else None

    @property
    def v_info(self) -> float | None:
        """Mutual information divided by the mean entropy of the two divisions, in [0, 1]; mean over the slices."""
        return self.info / self.slices if self.slices else None


def compare_borders(prediction: np.ndarray, reference: np.ndarray, valid: np.ndarray) -> CellAgreement:
    """Compare the cells that two masks of borders leave, slice by slice.

    prediction, reference, valid: boolean (D, H, W); pixels that are not valid belong to no cell of the reference.
    """
    agreement = CellAgreement()
    for predicted, referred, counted in zip(prediction, reference, valid, strict=True):
        agreement += compare_cells(thinned_cells(predicted), label(~referred & counted, connectivity=1))
    return agreement


def thinned_cells(borders: np.ndarray) -> np.ndarray:
    """Numbers of the cells (H, W) that a mask of borders leaves, grown over the borders until only lines are left.

    The lines, of one pixel, are 0.
    """
    return watershed(borders.astype(np.uint8), label(~borders, connectivity=1), connectivity=1, watershed_line=True)


def compare_cells(prediction: np.ndarray, reference: np.ndarray) -> CellAgreement:
    """Compare two images of cell numbers; pixels where the reference is 0 do not count, see the module for the rest."""
    foreground = reference > 0
    if not foreground.any():
        return CellAgreement()
    referred, predicted = reference[foreground], prediction[foreground]
    alone = int(np.count_nonzero(predicted == 0))
    assigned = predicted > 0
    pairs = referred[assigned].astype(np.int64) * (int(predicted.max()) + 1) + predicted[assigned]
    both, cells, parts = _sizes(pairs), _sizes(referred), _sizes(predicted[assigned])
    pixels = len(referred)
    entropies = _entropy(cells, pixels), _entropy(parts, pixels, alone)
    mutual = sum(entropies) - _entropy(both, pixels, alone)
    return CellAgreement(
        together=int((both**2).sum()) + alone,
        reference=int((cells**2).sum()),
        predicted=int((parts**2).sum()) + alone,
        info=2 * mutual / sum(entropies) if sum(entropies) > 0 else 1.0,
        slices=1,
    )


def _sizes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1].astype(np.int64)


def _entropy(sizes: np.ndarray, pixels: int, alone: int = 0) -> float:
    """Entropy in nats of a division of so many pixels into cells of these sizes and `alone` cells of one pixel."""
    shares = sizes / pixels
    return float(alone / pixels * np.log(pixels) - (shares * np.log(shares)).sum())
