"""The frame cache: masks of the frames of a video, where the network sees only tiles that changed.

A tile's probabilities are those of the frame before where the network's input is the same, bit for bit: preprocessing,
tiles, blending, rounding and post-processing stay those of the recipe, so that masks are the same as without a cache.
Where each picture is normalised by its own intensities, any change changes all tiles, and nothing is reused.
"""

from hashlib import sha256

import cv2
import numpy as np

from maskmill.inference.batches import same_in_one_batch
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import Runtime


class TileCache:
    """A runtime that keeps what it gave for the tiles of the last frame, each known by the SHA-256 of its values.

    Tiles that are not known are computed one by one, so that what a tile gives does not depend on which others changed.
    Where the network gives other last bits in a batch than for single tiles, which is tried with noise, the whole batch
    is computed as soon as one of its tiles is not known. So it is of networks that exit early, of which a trial says
    too little: see `exits_early` of bundles.

    Attributes: asked, computed: how many tiles there were, and how many of them the network saw.
    """

    def __init__(self, runtime: Runtime, exits_early: bool = False) -> None:
        self._runtime, self._exits_early = runtime, exits_early
        self._before: dict[bytes, np.ndarray] = {}
        self._now: dict[bytes, np.ndarray] = {}
        self._single: dict[tuple[int, ...], bool] = {}
        self.asked = self.computed = 0

    def next_frame(self) -> None:
        """Say that what comes is of the next frame, so that tiles of the one before the last are let go."""
        self._before, self._now = self._now, {}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) -> float32 with K channels."""
        size = 1 if self._goes_singly(batch.shape) else len(batch)
        parts = [batch[first : first + size] for first in range(0, len(batch), size)]
        return np.concatenate([self._output(part) for part in parts])

    def _goes_singly(self, shape: tuple[int, ...]) -> bool:
        if self._exits_early:
            return shape[0] == 1
        if shape not in self._single:
            self._single[shape] = same_in_one_batch(self._runtime, [(1, *shape[1:])] * shape[0])
        return self._single[shape]

    def _output(self, tiles: np.ndarray) -> np.ndarray:
        key = sha256(np.ascontiguousarray(tiles)).digest()
        output = self._now.get(key, self._before.get(key))
        if output is None:
            output = np.array(self._runtime(tiles))  # a copy, as a runtime may use its memory again
            self.computed += len(tiles)
        self.asked += len(tiles)
        self._now[key] = output
        return output


class FrameSegmenter:
    """Masks of frame after frame of a video.

    tolerance: changes of a pixel, in grey levels of each channel, up to which the model goes on seeing the pixel as it
    was; with 0 masks are exactly those of the frames as pictures, else they are approximate. smoothing: weight in
    [0, 1) of the frames before in an exponential mean of the probabilities, p̄(t) = s · p̄(t − 1) + (1 − s) · p(t).
    """

    def __init__(
        self, recipe: Recipe, runtime: Runtime, tolerance: int = 0, smoothing: float = 0.0, exits_early: bool = False
    ) -> None:
        self._recipe, self._tolerance, self._smoothing = recipe, tolerance, smoothing
        self.tiles = TileCache(runtime, exits_early)
        self._seen: np.ndarray | None = None
        self._probabilities: np.ndarray | None = None
        self._mean: np.ndarray | None = None
        self._mask: np.ndarray | None = None

    def mask(self, frame: np.ndarray) -> np.ndarray:
        """Class indices, uint8 (H, W), of the next frame, RGB uint8 (H, W, 3). Raises MaskmillError as recipes do."""
        seen = self._hold(self._fit_channels(frame))
        same = self._seen is not None and np.array_equal(seen, self._seen)
        if same and not self._smoothing:
            return self._mask
        if not same:
            self.tiles.next_frame()
            self._seen = seen
            self._probabilities = self._recipe.probabilities(seen[np.newaxis], self.tiles)
        self._mask = self._recipe.decide(self._smooth(self._probabilities), self._seen[np.newaxis])[0]
        return self._mask

    def _fit_channels(self, frame: np.ndarray) -> np.ndarray:
        """The frame as (H, W, C): grey for a model of grey pictures."""
        if self._recipe.preprocessing.channels == 1:
            return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., np.newaxis]
        return frame

    def _hold(self, frame: np.ndarray) -> np.ndarray:
        """The frame, with pixels as they were last seen where none of their channels changed beyond the tolerance."""
        if self._seen is None or not self._tolerance:
            return frame
        change = cv2.absdiff(frame, self._seen).reshape(frame.shape).max(axis=-1, keepdims=True)
        return np.where(change <= self._tolerance, self._seen, frame)

    def _smooth(self, probabilities: np.ndarray) -> np.ndarray:
        """The exponential mean of probabilities, uint8 (K, 1, H, W), up to this frame."""
        if not self._smoothing:
            return probabilities
        if self._mean is None:
            self._mean = probabilities.astype(np.float32)
        else:
            self._mean += np.float32(1 - self._smoothing) * (probabilities - self._mean)
        return np.rint(self._mean).astype(np.uint8)
