"""Masks of new pictures from a bundle: the code behind both `maskmill predict` and the `segment_images` rule."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskmill.bundle import Bundle
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, write_table
from maskmill.images import read_image, write_label_png
from maskmill.logs import progress
from maskmill.overlay import blend_mask
from maskmill.runtimes import OnnxRuntime

logger = logging.getLogger(__name__)

FAILED_COLUMNS = ("file", "reason")


def segment_pictures(
    bundle: Bundle, pictures: Mapping[str, Path], output: Path, threads: int | None = None, overlay: bool = False
) -> list[tuple[Path, str]]:
    """Write `<name>.png` below `output` for every picture (and `<name>.overlay.png` if asked).

    The masks are palette PNGs of class indices and do not depend on `threads` (None: all cores). Returns the pictures
    that could not be read, each with the reason; the others are finished.
    """
    runtime = OnnxRuntime(bundle.onnx, threads or os.cpu_count() or 1)
    failed: list[tuple[Path, str]] = []
    for name, file in progress(pictures.items(), "pictures"):
        try:
            image = read_image(file)
            mask = bundle.recipe.mask(image, runtime)
        except MaskmillError as error:
            failed.append((file, str(error)))
            continue
        _write(output / f"{name}.png", lambda path, mask=mask: write_label_png(path, mask, bundle.recipe.classes))
        if overlay:
            blended = blend_mask(image, mask, bundle.recipe.classes)
            _write(output / f"{name}.overlay.png", lambda path, blended=blended: _save(path, blended))
    return failed


def segment_shard(bundle: Bundle, pictures: Mapping[str, str], output: Path, threads: int) -> None:
    """Segment pictures (name → file) into the folder `output`; those that cannot be read go to its failed.csv."""
    with atomic_path(output) as aside:
        aside.mkdir(parents=True)
        failed = segment_pictures(bundle, {name: Path(file) for name, file in pictures.items()}, aside, threads)
        rows = [{"file": file.as_posix(), "reason": reason} for file, reason in failed]
        write_table(aside / "failed.csv", rows, FAILED_COLUMNS)


def collect_failures(shards: Sequence[Path], output: Path) -> None:
    """Merge the shards' failed.csv into one table and say how many pictures failed."""
    rows = [row for shard in shards for row in read_table(shard / "failed.csv")]
    write_table(output, rows, FAILED_COLUMNS)
    if rows:
        logger.warning("%d pictures have no mask; they are listed in %s", len(rows), output)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    with atomic_path(path) as aside:
        write(aside)


def _save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path)
