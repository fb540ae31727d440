"""Masks of new pictures from a bundle: the code behind both `maskmill predict` and the `segment_images` rule."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from PIL import Image

from maskmill.bundle import Bundle
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, write_table
from maskmill.images import ImageError, read_image, write_label_png
from maskmill.logs import progress
from maskmill.overlay import blend_mask
from maskmill.runtimes import OnnxRuntime

logger = logging.getLogger(__name__)

FAILED_COLUMNS = ("file", "reason")


def check_output(pictures: Mapping[str, Path], output: Path, overlay: bool = False) -> None:
    """Raise MaskmillError where `segment_pictures` could not write below `output`, or would write over a picture.

    Every mask and overlay concerned is listed: those that would take a picture's place, and those of one name.
    """
    place = output
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise MaskmillError(f"{output} cannot be the folder of the masks, since {place} is a file; name another")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MaskmillError(f"{output} cannot be written: no permission for {place}; name another folder")
    written = Counter(path for name in pictures for path in _outputs(output, name, overlay))
    inputs = {_identity(file) for file in pictures.values() if file.exists()}
    wrong = [f"{path}: is one of the pictures" for path in written if path.exists() and _identity(path) in inputs]
    wrong += [f"{path}: would be both a mask and an overlay" for path, count in written.items() if count > 1]
    if wrong:
        listed = "\n".join(f"  - {line}" for line in wrong)
        raise MaskmillError(f"Masks would be written over other files; name another folder for them:\n{listed}")


def _outputs(output: Path, name: str, overlay: bool) -> list[Path]:
    """Files that a picture's mask, and its overlay where there is one, are written to."""
    return [output / f"{name}{ending}" for ending in ((".png", ".overlay.png") if overlay else (".png",))]


def _identity(path: Path) -> tuple[int, int]:
    """What a file is recognised by under another name: as a link, or in other letter case where that does not count."""
    state = path.stat()
    return state.st_dev, state.st_ino


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
            failed.append((file, error.reason if isinstance(error, ImageError) else str(error)))
            continue
        mask_path, *overlay_path = _outputs(output, name, overlay)
        _write(mask_path, lambda path, mask=mask: write_label_png(path, mask, bundle.recipe.classes))
        for target in overlay_path:
            blended = blend_mask(image, mask, bundle.recipe.classes)
            _write(target, lambda path, blended=blended: Image.fromarray(blended).save(path))
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
        what = "1 picture has no mask; it is" if len(rows) == 1 else f"{len(rows)} pictures have no mask; they are"
        logger.warning("%s listed in %s", what, output)


def _write(path: Path, write: Callable[[Path], None]) -> None:
    with atomic_path(path) as aside:
        write(aside)
