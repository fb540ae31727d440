"""A video with its masks on top, or the masks of all its frames: the code behind `maskmill video`."""

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from maskmill.classes import Classes
from maskmill.deployment.bundle import Bundle
from maskmill.deployment.segmentation import require_writable
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path
from maskmill.imaging.images import write_label_png
from maskmill.imaging.overlay import blend_mask
from maskmill.inference.artifacts import EXACT, Artifact
from maskmill.inference.recipe import Recipe
from maskmill.logs import progress
from maskmill.video.cache import FrameSegmenter
from maskmill.video.clips import CODECS, Clip, ClipWriter

logger = logging.getLogger(__name__)

Sink = Callable[[np.ndarray, np.ndarray], None]
"""What takes frame after frame, RGB uint8 (H, W, 3), with its mask, uint8 (H, W)."""


def segment_video(
    bundle: Bundle,
    source: Path,
    output: Path,
    masks: bool = False,
    tolerance: int = 0,
    smoothing: float = 0.0,
    threads: int | None = None,
    artifact: Artifact = EXACT,
) -> None:
    """Write a video with each frame's mask on top, or with `masks` a folder of palette PNG files, 000001.png and on.

    tolerance, smoothing: see `FrameSegmenter`. With neither, masks are those that `segment_pictures` makes of the
    frames; with ONNX Runtime on the CPU byte for byte, for any number of threads. artifact: see `Bundle.open`. What is
    written is complete or not there.
    Raises MaskmillError where that cannot be written, or the video cannot be read to its end.
    """
    check_places(source, output, masks)
    _check_recipe(bundle.recipe, source)
    clip = Clip.of(source)
    runtime = bundle.open(threads or os.cpu_count() or 1, artifact)
    segmenter = FrameSegmenter(bundle.recipe, runtime, tolerance, smoothing, bundle.exits_early)
    with atomic_path(output) as aside, _sink(aside, masks, clip.rate, bundle.recipe.classes) as put:
        count = 0
        for frame in progress(clip.read(), "frames", total=clip.frames or math.inf):
            put(frame, segmenter.mask(frame))
            count += 1
    tiles = segmenter.tiles
    logger.info(
        "%d frames are in %s; the network saw %d tiles, of %d in frames that differ from the one before",
        count, output, tiles.computed, tiles.asked,
    )  # fmt: skip


def check_places(source: Path, output: Path, masks: bool) -> None:
    """Raise MaskmillError where `output` cannot be written, or something else would be written over."""
    if masks:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise MaskmillError(f"{output} exists; name a folder that does not, or an empty one, for the masks")
    elif output.suffix.lower() not in CODECS:
        raise MaskmillError(
            f"{output} has no suffix of a video that can be written ({', '.join(CODECS)}); take one of these, or "
            "--masks for a folder of PNG files"
        )
    elif output.is_dir():
        raise MaskmillError(f"{output} is a folder; name a file for the video, or give --masks")
    elif output.exists() and source.exists() and output.samefile(source):
        raise MaskmillError(f"{output} is the video itself; name another file")
    require_writable(output.parent)


def _check_recipe(recipe: Recipe, source: Path) -> None:
    if recipe.dimensions == 3:
        raise MaskmillError("the bundle's network works on whole volumes, and a video has single frames")
    preprocessing = recipe.preprocessing
    try:
        preprocessing.check_pixel_type(np.dtype(np.uint8))  # of all frames
    except MaskmillError as error:
        raise MaskmillError(f"{source}: {error}") from error
    if preprocessing.normalization == "image" or preprocessing.intensity_ranges is None:
        logger.warning(
            "the bundle normalises each picture by its own intensities, so that any change in a frame changes all of "
            "its tiles: only frames that are the same as the one before save time"
        )


@contextmanager
def _sink(output: Path, masks: bool, rate: float, classes: Classes) -> Iterator[Sink]:
    """What writes masks into the folder `output`, or a video to that file, which is finished and checked at the end."""
    if masks:
        numbers = iter(range(1, 10**9))
        output.mkdir(parents=True)
        yield lambda frame, mask: write_label_png(output / f"{next(numbers):06}.png", mask, classes)
        return
    writer = ClipWriter(output, rate)
    try:
        yield lambda frame, mask: writer.write(blend_mask(frame, mask, classes))
        writer.close()
    finally:
        writer.release()
