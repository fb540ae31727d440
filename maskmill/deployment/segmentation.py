"""Masks of new pictures and volumes from a bundle: the code behind `maskmill predict`; `batch` is for thousands."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskmill.classes import Classes
from maskmill.data.cases import mask_path, write_mask
from maskmill.deployment.bundle import Bundle
from maskmill.deployment.maps import PROBABILITIES, UNCERTAINTY, show_to, start_map
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, write_table
from maskmill.imaging.georeference import read_georeference
from maskmill.imaging.images import ImageError, image_header, write_instance_png
from maskmill.imaging.lazy import open_pixels, zeros
from maskmill.imaging.overlay import blend_mask, draw_montage
from maskmill.imaging.volumes import is_stack
from maskmill.inference.artifacts import EXACT, Artifact
from maskmill.inference.entropy import CaseEntropy, EntropySums, least_confident
from maskmill.inference.postprocess import split_objects
from maskmill.inference.preprocess import Pixels, picture_bands
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import Runtime
from maskmill.logs import progress

logger = logging.getLogger(__name__)

LARGEST_PNG = 1 << 27
"""Pixels up to which the mask of a picture is a PNG file, which readers decode whole."""

OVERLAY_SIDE = 8192
"""Greatest side of an overlay, in pixels."""

UNCERTAINTY_COLUMNS = ("picture", "mask", "pixels", "entropy", "confidence")
"""Of a picture: pixels that may be foreground, their mean entropy, and 1 − that."""


@dataclass(frozen=True)
class Extras:
    """What is written beside masks.

    overlay: `<name>.overlay.png`, the picture with its mask on top. polygons: "gpkg" or "geojson" for `<name>.gpkg` or
    `<name>.geojson`, outlines at most `tolerance` pixels from those of the mask; None for no such file.
    uncertainty: the 255-fold entropy of each pixel, `<name>.uncertainty.png` of a picture (see `EntropyMap`), of a
    stack `<name>.uncertainty.nii.gz` in its geometry, and a table of all pictures, see `write_uncertainty`.
    probabilities: the 255-fold probability of each class, uint8, `<name>.probabilities.npy` (K, D, H, W), or `.tif`
    with a band for each class where the mask is a TIFF file.
    """

    overlay: bool = False
    polygons: str | None = None
    tolerance: float = 0.0
    uncertainty: bool = False
    probabilities: bool = False

    def files(self, mask: Path, name: str) -> dict[str, Path]:
        """The files that are written beside the mask of the picture called `name`, by what they are."""
        ends = {"overlay": ".overlay.png"} if self.overlay else {}
        if self.uncertainty:
            ends[UNCERTAINTY] = f".uncertainty{'.nii.gz' if mask.name.endswith('.nii.gz') else '.png'}"
        if self.probabilities:
            ends[PROBABILITIES] = f".probabilities{'.tif' if mask.suffix == '.tif' else '.npy'}"
        if self.polygons:
            ends["polygons"] = f".{self.polygons}"
        return {what: mask.with_name(f"{PurePosixPath(name).name}{end}") for what, end in ends.items()}


def check_output(pictures: Mapping[str, Path], output: Path, extras: Extras = Extras()) -> None:
    """Raise MaskmillError where `segment_pictures` could not write below `output`, or would write over a picture.

    Every file concerned is listed: those that would take a picture's place, and those of one name.
    """
    require_writable(output)
    written: Counter[Path] = Counter()
    for name, file in pictures.items():
        with suppress(MaskmillError):  # told of the picture when it is segmented
            mask = mask_file(output, name, file)
            written.update([mask, *extras.files(mask, name).values()])
    inputs = {_identity(file) for file in pictures.values() if file.exists()}
    wrong = [f"{path}: is one of the pictures" for path in written if path.exists() and _identity(path) in inputs]
    wrong += [f"{path}: would be both a mask and a picture beside one" for path, count in written.items() if count > 1]
    if wrong:
        listed = "\n".join(f"  - {line}" for line in wrong)
        raise MaskmillError(f"Masks would be written over other files; name another folder for them:\n{listed}")


def require_writable(folder: Path) -> None:
    """Raise MaskmillError where nothing could be written into a folder, which need not exist yet."""
    place = folder
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise MaskmillError(f"{folder} cannot be a folder to write to, since {place} is a file; name another")
    if not os.access(place, os.W_OK | os.X_OK):
        raise MaskmillError(f"{folder} cannot be written: no permission for {place}; name another folder")


def mask_file(output: Path, name: str, file: Path) -> Path:
    """File that a picture's or stack's mask is written to. Raises MaskmillError as `needs_tiff` does."""
    mask = mask_path(output, name, is_stack(file))
    return output / f"{name}.tif" if mask.suffix == ".png" and needs_tiff(file) else mask


def needs_tiff(file: Path) -> bool:
    """Whether the mask of a picture is a TIFF file: of one that lies on the map, and of one too large for PNG.

    Raises MaskmillError where what says where it lies cannot be read.
    """
    if read_georeference(file):
        return True
    try:
        width, height, *_ = image_header(file)
    except ImageError:
        return False  # which is found again, and told, when the picture is read
    return width * height > LARGEST_PNG


def _identity(path: Path) -> tuple[int, int]:
    """What a file is recognised by under another name: as a link, or in other letter case where that does not count."""
    state = path.stat()
    return state.st_dev, state.st_ino


def segment_pictures(
    bundle: Bundle,
    pictures: Mapping[str, Path],
    output: Path,
    threads: int | None = None,
    extras: Extras = Extras(),
    artifact: Artifact = EXACT,
) -> list[tuple[Path, str]]:
    """Write the mask of every picture (name → file) below `output`, and what `extras` says.

    artifact: what runs the model, see `Bundle.open`. Masks are class indices and with ONNX Runtime in FP32 do not
    depend on `threads` (None: all cores): of a picture `<name>.png`, a palette PNG, of one that lies on the map or is
    large `<name>.tif` (see `write_label_tiff`), of a stack (NIfTI, DICOM series, TIFF of several pages) `<name>.nii.gz`
    in its geometry. Where a step tells the objects of pictures apart, their numbers are in `<name>.instances.png`. A
    network of two dimensions segments a stack slice by slice.
    Memory is bounded by tiles and bands, not by the size of pictures; large masks are kept in a file beside theirs
    while they are made. Returns the pictures that could not be segmented, each with the reason; the others are
    finished.
    """
    runtime = bundle.open(threads or os.cpu_count() or 1, artifact)
    failed: list[tuple[Path, str]] = []
    rows = []
    for name, file in progress(pictures.items(), "pictures"):
        sums = EntropySums() if extras.uncertainty else None
        try:
            target = mask_file(output, name, file)
            segment_picture(bundle.recipe, runtime, file, target, extras.files(target, name), extras, sums)
        except MaskmillError as error:
            failed.append((file, reason_of(error)))
        else:
            if sums:
                mask = target.relative_to(output).as_posix()
                rows.append({"picture": file.as_posix(), "mask": mask, **describe_entropy(sums.result)})
    if rows:
        write_uncertainty(output / "uncertainty.csv", rows)
    return failed


def describe_entropy(found: CaseEntropy) -> dict[str, Any]:
    """The last three of `UNCERTAINTY_COLUMNS`."""
    return {"pixels": found.pixels, "entropy": round(found.mean, 6), "confidence": round(1 - found.mean, 6)}


def write_uncertainty(table: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write how sure the model is of pictures, least sure first, and say which of several a person should look at."""
    write_table(table, sorted(rows, key=lambda row: (row["confidence"], row["mask"])), UNCERTAINTY_COLUMNS)
    if len(rows) > 1:
        listed = "\n".join(
            f"  - {row['picture']} (confidence {row['confidence']:.2f})" for row in least_confident(rows, "mask")
        )
        logger.info("a person should look at what the model is least sure of; %s has all:\n%s", table, listed)


def reason_of(error: MaskmillError) -> str:
    """Why a picture has no mask, without the picture's name."""
    return error.reason if isinstance(error, ImageError) else str(error)


@contextmanager
def open_picture(recipe: Recipe, file: Path) -> Iterator[Pixels]:
    """A picture or stack as stored (D, H, W, C), for a network that can make use of it.

    Raises MaskmillError where it cannot be read, the network has no use for it, or it holds values that are no numbers.
    """
    volume = is_stack(file)
    if recipe.dimensions == 3 and file.exists() and not volume:
        raise MaskmillError(
            "it is a single picture, and the bundle's network works on whole volumes; give NIfTI files, folders of "
            "DICOM files, or TIFF files of several pages"
        )
    with open_pixels(file, volume) as image:
        recipe.preprocessing.check_channels(image.shape[-1])  # before any of them is decoded
        recipe.preprocessing.check_pixel_type(image.dtype)
        if doubt := recipe.preprocessing.doubt(image.dtype):
            logger.warning("%s: %s", file, doubt)
        require_finite(image)
        yield image


def segment_picture(
    recipe: Recipe,
    runtime: Runtime,
    file: Path,
    target: Path,
    beside: Mapping[str, Path],
    extras: Extras = Extras(),
    sums: EntropySums | None = None,
) -> str | None:
    """Write the mask of a picture or stack to `target`, and what there is `beside` it.

    sums: gets the picture's entropy. Returns why the network may not have been trained for it, see
    `Preprocessing.doubt`, which is logged too. Raises MaskmillError as `open_picture` does.
    """
    volume = is_stack(file)
    if volume and "polygons" in beside:
        raise MaskmillError("it is a stack of slices, which has no polygons; leave out --polygons")
    with open_picture(recipe, file) as image:
        mask = zeros(image.shape[:3], target.parent)
        maps = {
            kind: start_map(kind, recipe.classes, image.shape[:3], file, beside[kind])
            for kind in (UNCERTAINTY, PROBABILITIES)
            if kind in beside
        }
        watchers = [drawn.add for drawn in (*maps.values(), sums) if drawn is not None]
        recipe.write_mask(image, runtime, mask, file, show_to(watchers))
        with atomic_path(target) as aside:
            write_mask(aside, mask, recipe.classes, like=file)
        objects = None if volume else split_objects(mask, recipe.point.steps)
        if objects is not None:
            with atomic_path(target.with_suffix(".instances.png")) as aside:
                write_instance_png(aside, objects[0])
        for kind, drawn in maps.items():
            with atomic_path(beside[kind]) as aside:
                drawn.write(aside)
        if "overlay" in beside:
            with atomic_path(beside["overlay"]) as aside:
                Image.fromarray(_draw_overlay(image, mask, recipe.classes)).save(aside)
    if "polygons" in beside:
        from maskmill.imaging.polygons import write_polygons

        with atomic_path(beside["polygons"]) as aside:
            write_polygons(aside, target, recipe.classes, read_georeference(file), extras.tolerance)
    return recipe.preprocessing.doubt(image.dtype)


def require_finite(image: Pixels) -> None:
    """Raise MaskmillError where a picture (D, H, W, C) has values that are no numbers."""
    if image.dtype.kind == "f" and not all(np.isfinite(band).all() for _, band in picture_bands(image)):
        raise MaskmillError("it holds NaN or infinite values; replace them, mostly by what the background has")


def _draw_overlay(image: Pixels, mask: np.ndarray, classes: Classes) -> np.ndarray:
    """The picture with its mask on top, of a volume a montage of slices: RGB uint8. Large pictures are drawn smaller.

    Of those every second, third, … row and column is drawn, so that the longer side has at most `OVERLAY_SIDE` pixels.
    """
    if len(image) > 1:
        return draw_montage(np.asarray(image), mask, classes)
    step = -(-max(mask.shape[1:]) // OVERLAY_SIDE)
    if step == 1:
        return blend_mask(np.asarray(image)[0], mask[0], classes)
    rows = [np.asarray(image[:, top : top + 1])[0, :, ::step] for top in range(0, image.shape[1], step)]
    return blend_mask(np.concatenate(rows), np.ascontiguousarray(mask[0, ::step, ::step]), classes)
