"""Whether tiles come out of a network the same in one batch as in several."""

from collections.abc import Sequence

import numpy as np

from maskmill.inference.runtimes import Runtime


def same_in_one_batch(runtime: Runtime, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether a network gives the same bytes for batches of these shapes in one batch as for each by itself.

    shapes: (N, C, H, W) or (N, C, D, H, W), alike but for N. Libraries choose their kernels by the shape of what they
    multiply, so that sums may be in another order. Noise shows it, where black tiles would hide it. False where the
    network refuses them together.
    """
    if len(shapes) == 1:
        return True
    random = np.random.default_rng(0)
    noise = [random.standard_normal(shape, np.float32) for shape in shapes]
    try:
        together = runtime(np.concatenate(noise))
        parts = np.split(together, np.cumsum([len(batch) for batch in noise])[:-1])
        return all(part.tobytes() == runtime(batch).tobytes() for batch, part in zip(noise, parts, strict=True))
    except Exception:  # the batch does not fit into memory or the engine, or tiles are none that the network takes
        return False
