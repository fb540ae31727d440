"""Runtimes made of runtimes: test-time augmentation, which averages over turned copies of tiles, and ensembles.

Reference: Wang et al. (2019), "Aleatoric uncertainty estimation with test-time augmentation for medical image
segmentation with convolutional neural networks", Neurocomputing 338, doi:10.1016/j.neucom.2019.01.103.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, product

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.inference.runtimes import Runtime


@dataclass(frozen=True)
class Turn:
    """A symmetry of tiles: height and width exchanged or not, then the axes mirrored that `mirrored` counts."""

    exchanged: bool
    mirrored: tuple[int, ...]

    def apply(self, batch: np.ndarray) -> np.ndarray:
        """A batch (N, C, …), H and W last, turned."""
        return np.flip(batch.swapaxes(-2, -1) if self.exchanged else batch, self.mirrored)

    def undo(self, batch: np.ndarray) -> np.ndarray:
        """What `apply` made of a batch, turned back."""
        flipped = np.flip(batch, self.mirrored)
        return flipped.swapaxes(-2, -1) if self.exchanged else flipped


def turns(tta: str, dimensions: int) -> list[Turn]:
    """The symmetries that `predict.tta` names.

    "none": the tile as it is. "flips": mirrored along every combination of axes, 4 in pictures, 8 in volumes.
    "rotations": the 8 quarter turns and flips of pictures. Raises MaskmillError for rotations of volumes.
    """
    if tta == "none":
        return [Turn(False, ())]
    if tta == "rotations" and dimensions == 3:
        raise MaskmillError("predict.tta is rotations, but the axes of volumes are not alike; write flips")
    axes = range(-dimensions, 0)
    mirrored = [tuple(compress(axes, chosen)) for chosen in product((False, True), repeat=dimensions)]
    exchanged = (False, True) if tta == "rotations" else (False,)
    return [Turn(*choice) for choice in product(exchanged, mirrored)]


class AugmentedRuntime:
    """The mean of what a runtime gives for turned copies of its tiles, turned back."""

    def __init__(self, runtime: Runtime, tta: str, dimensions: int) -> None:
        self._runtime, self._turns = runtime, turns(tta, dimensions)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        outputs = (turn.undo(self._runtime(np.ascontiguousarray(turn.apply(batch)))) for turn in self._turns)
        return sum(outputs) / np.float32(len(self._turns))


class EnsembleRuntime:
    """The mean of what several runtimes give, such as the members of an experiment."""

    def __init__(self, runtimes: Sequence[Runtime]) -> None:
        if not runtimes:
            raise MaskmillError("an ensemble has no member; give at least one runtime")
        self._runtimes = tuple(runtimes)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        return sum(runtime(batch) for runtime in self._runtimes) / np.float32(len(self._runtimes))
