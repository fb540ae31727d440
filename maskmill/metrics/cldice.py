"""Whether thin, branching structures hang together: clDice, overlap of centre lines.

References
----------
.. [1] Shit et al. (2021), "clDice: a novel topology-preserving loss function for tubular structure
   segmentation", CVPR.
.. [2] Zhang & Suen (1984), "A fast parallel algorithm for thinning digital patterns", CACM 27(3) (pictures).
.. [3] Lee, Kashyap & Chu (1994), "Building skeleton models via 3-D medial surface/axis thinning algorithms",
   CVGIP 56(6) (volumes).
"""

import numpy as np
from skimage.morphology import skeletonize

from maskmill.metrics.surface import bounding_box


def cldice(prediction: np.ndarray, reference: np.ndarray) -> float | None:
    """Harmonic mean of the shares of each mask's skeleton that lie in the other mask [1], in [0, 1].

    prediction, reference: boolean masks (H, W) or (D, H, W). Skeletons know voxels, not their spacing.
    None where both masks are empty, 0 where one is.
    """
    if not prediction.any() and not reference.any():
        return None
    if not prediction.any() or not reference.any():
        return 0.0
    box = bounding_box(prediction | reference)
    prediction, reference = prediction[box], reference[box]
    if prediction.ndim == 3:
        prediction, reference = _refined(prediction), _refined(reference)
    precision = float(reference[_skeleton(prediction)].mean())
    sensitivity = float(prediction[_skeleton(reference)].mean())
    return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


def _skeleton(mask: np.ndarray) -> np.ndarray:
    """The skeleton of a mask that is not empty; the mask itself where thinning leaves nothing, as of small plates."""
    skeleton = skeletonize(mask)
    return skeleton if skeleton.any() else mask


def _refined(mask: np.ndarray) -> np.ndarray:
    """A mask on a grid with a voxel more between any two, which belongs to the mask where both of these do.

    Everything is an odd number of voxels thick there: thinning [3], as it is implemented, deletes what is an even one.
    """
    for axis in range(mask.ndim):
        coarse = np.moveaxis(mask, axis, 0)
        fine = np.empty((2 * len(coarse) - 1, *coarse.shape[1:]), bool)
        fine[::2], fine[1::2] = coarse, coarse[1:] & coarse[:-1]
        mask = np.moveaxis(fine, 0, axis)
    return mask
