"""Masks of new pictures and volumes from a bundle: the code behind `maskmill predict` and the `segment_images` rule."""

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskmill.classes import Classes
from maskmill.data.cases import mask_path, read_pixels, write_mask
from maskmill.deployment.bundle import Bundle
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, write_table
from maskmill.imaging.images import ImageError
from maskmill.imaging.overlay import blend_mask, draw_montage
from maskmill.imaging.volumes import is_stack
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.logs import progress

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
    written = Counter(path for name, file in pictures.items() for path in _outputs(output, name, file, overlay))
    inputs = {_identity(file) for file in pictures.values() if file.exists()}
    wrong = [f"{path}: is one of the pictures" for path in written if path.exists() and _identity(path) in inputs]
    wrong += [f"{path}: would be both a mask and an overlay" for path, count in written.items() if count > 1]
    if wrong:
        listed = "\n".join(f"  - {line}" for line in wrong)
        raise MaskmillError(f"Masks would be written over other files; name another folder for them:\n{listed}")


def _outputs(output: Path, name: str, file: Path, overlay: bool) -> list[Path]:
    """Files that a picture's mask, and its overlay where there is one, are written to."""
    mask = mask_path(output, name, is_stack(file))
    return [mask, output / f"{name}.overlay.png"] if overlay else [mask]


def _identity(path: Path) -> tuple[int, int]:
    """What a file is recognised by under another name: as a link, or in other letter case where that does not count."""
    state = path.stat()
    return state.st_dev, state.st_ino


def segment_pictures(
    bundle: Bundle, pictures: Mapping[str, Path], output: Path, threads: int | None = None, overlay: bool = False
) -> list[tuple[Path, str]]:
    """Write the mask of every picture (name → file) below `output`, and `<name>.overlay.png` if asked.

    Masks are class indices and do not depend on `threads` (None: all cores): of a picture `<name>.png`, a palette PNG,
    of a stack (NIfTI, DICOM series, TIFF of several pages) `<name>.nii.gz` in its geometry. A network of two dimensions
    segments a stack slice by slice. Returns the pictures that could not be segmented, each with the reason; the others
    are finished.
    """
    runtime = OnnxRuntime(bundle.onnx, threads or os.cpu_count() or 1)
    failed: list[tuple[Path, str]] = []
    for name, file in progress(pictures.items(), "pictures"):
        try:
            image = _read_finite(file, bundle.recipe.dimensions)
            mask = bundle.recipe.mask(image, runtime, file)
        except MaskmillError as error:
            failed.append((file, error.reason if isinstance(error, ImageError) else str(error)))
            continue
        path, *overlay_path = _outputs(output, name, file, overlay)
        with atomic_path(path) as aside:
            write_mask(aside, mask, bundle.recipe.classes, like=file)
        for target in overlay_path:
            with atomic_path(target) as aside:
                Image.fromarray(_draw_overlay(image, mask, bundle.recipe.classes)).save(aside)
    return failed


def _draw_overlay(image: np.ndarray, mask: np.ndarray, classes: Classes) -> np.ndarray:
    """The picture with its mask on top, of a volume a montage of slices: RGB uint8."""
    return draw_montage(image, mask, classes) if len(image) > 1 else blend_mask(image[0], mask[0], classes)


def _read_finite(file: Path, dimensions: int) -> np.ndarray:
    """The picture or stack as stored (D, H, W, C). Raises MaskmillError where the network has no use for it."""
    volume = is_stack(file)
    if dimensions == 3 and file.exists() and not volume:
        raise MaskmillError(
            "it is a single picture, and the bundle's network works on whole volumes; give NIfTI files, folders of "
            "DICOM files, or TIFF files of several pages"
        )
    image = read_pixels(file, volume)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise MaskmillError("it holds NaN or infinite values; replace them, mostly by what the background has")
    return image


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
