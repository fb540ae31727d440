"""Proposals: labelme files that a bundle draws for pictures without annotation, so that a person only corrects.

A proposal carries the flag "proposed", and is no annotation until a person takes that flag away in labelme.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskmill.annotating.outlines import trace_labels
from maskmill.annotating.session import ORDER_FILE, is_proposal
from maskmill.annotations import labelme_writer
from maskmill.annotations.flags import PROPOSED
from maskmill.deployment.bundle import Bundle
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_json, read_table, sha256_json, write_json, write_table
from maskmill.imaging.images import ImageError, read_image
from maskmill.inference.runtimes import OnnxRuntime
from maskmill.inference.sliding_window import LEVELS
from maskmill.logs import progress
from maskmill.wording import count_of

ORDER_COLUMNS = ("id", "image", "uncertainty", "objects")
FAILED_FILE = "failed.csv"
FAILED_COLUMNS = ("file", "reason")

BAND = 5
"""Distance in pixels from the boundaries of the mask within which its uncertainty is measured."""

_DIGEST = "proposal"

logger = logging.getLogger(__name__)


def propose_shard(
    bundle: Bundle, pictures: Mapping[str, str], output: Path, destination: Path, spacing: float, threads: int
) -> None:
    """Write a proposal `<id>.json` below `output` for every picture (id → file).

    Also order.csv (see `ORDER_COLUMNS`, the most uncertain first) and failed.csv with the pictures that cannot be read.
    destination: folder that `collect_proposals` takes the proposals to; the files name their picture from there.
    spacing: advised distance of vertices in pixels, see `trace_labels`. Raises MaskmillError where the bundle's network
    works on volumes.
    """
    if bundle.recipe.dimensions == 3:
        raise MaskmillError(
            f"the bundle {bundle.folder} works on whole volumes, which labelme does not show; use one of a network of "
            "two dimensions (model.dimensions: 2)"
        )
    runtime = OnnxRuntime(bundle.onnx, threads)
    rows, failed = [], []
    with atomic_path(output) as aside:
        aside.mkdir(parents=True)
        for sample, file in progress(pictures.items(), "proposals"):
            try:
                image = read_image(file)[np.newaxis]
                bundle.recipe.preprocessing.check_pixel_type(image.dtype)
                probabilities = bundle.recipe.probabilities(image, runtime)
                mask = bundle.recipe.decide(probabilities, image, file)[0]
            except MaskmillError as error:
                failed.append({"file": file, "reason": error.reason if isinstance(error, ImageError) else str(error)})
                continue
            shapes = trace_labels(mask, bundle.recipe.classes, spacing=spacing)
            name = f"{sample}.json"
            picture = labelme_writer.relative_picture(file, destination / name)
            digest = {_DIGEST: _digest(labelme_writer.stored_shapes(shapes))}
            labelme_writer.write(aside / name, shapes, picture, mask.shape, {PROPOSED: True}, **digest)
            doubt = uncertainty(probabilities[:, 0], mask)
            rows.append({"id": sample, "image": file, "uncertainty": doubt, "objects": _objects(mask)})
        write_table(aside / ORDER_FILE, sorted(rows, key=_doubtful_first), ORDER_COLUMNS)
        write_table(aside / FAILED_FILE, failed, FAILED_COLUMNS)


def uncertainty(probabilities: np.ndarray, mask: np.ndarray) -> float:
    """How unsure a model is of the outlines in a mask: 0 (certain) to 1 (undecided between all classes).

    The mean entropy of the class probabilities, in units of its maximum, over the pixels at most `BAND` from a
    boundary between classes; over the whole picture where there is none. probabilities: uint8 (K, H, W), rounded
    255-fold; mask: (H, W) class indices.
    """
    foreground = probabilities.astype(np.float32) / LEVELS
    rest = 1 - (foreground[0] if len(foreground) == 1 else foreground.sum(axis=0))
    classes = np.concatenate([np.clip(rest, 0, 1)[None], foreground])
    classes /= classes.sum(axis=0)
    entropy = -(classes * np.log(np.maximum(classes, 1e-9))).sum(axis=0) / np.log(len(classes))
    band = _near_boundaries(mask)
    return float(entropy[band].mean() if band.any() else entropy.mean())


def _near_boundaries(mask: np.ndarray) -> np.ndarray:
    """The pixels (H, W) bool at most `BAND` from one of another class."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))
    return cv2.dilate(mask, disc) != cv2.erode(mask, disc)


def _objects(mask: np.ndarray) -> int:
    """Number of 8-connected regions of a class."""
    regions = [cv2.connectedComponents((mask == value).astype(np.uint8))[0] - 1 for value in np.unique(mask[mask > 0])]
    return sum(regions)


def _doubtful_first(row: Mapping[str, Any]) -> tuple[float, str]:
    return -float(row["uncertainty"]), row["id"]


def collect_proposals(shards: Sequence[Path], destination: Path) -> None:
    """Take the proposals of all shards to `destination`, with order.csv and failed.csv over all of them.

    A file that is there already is kept, unless it is a proposal in which nobody has changed anything.
    """
    rows, kept = [], []
    for shard in shards:
        for row in read_table(shard / ORDER_FILE):
            name = f"{row['id']}.json"
            rows.append(row)
            if _is_untouched(destination / name):
                write_json(destination / name, read_json(shard / name))
            else:
                kept.append(destination / name)
    failed = [row for shard in shards for row in read_table(shard / FAILED_FILE)]
    write_table(destination / ORDER_FILE, sorted(rows, key=_doubtful_first), ORDER_COLUMNS)
    write_table(destination / FAILED_FILE, failed, FAILED_COLUMNS)
    logger.info("%s in %s", count_of(len(rows) - len(kept), "proposal"), destination)
    for file in kept:
        logger.info("kept %s, which is no untouched proposal", file)
    if failed:
        logger.warning("not read: %s, listed in %s", count_of(len(failed), "picture"), destination / FAILED_FILE)


def _is_untouched(file: Path) -> bool:
    """Whether there is no such file, or a proposal in which nobody has changed anything."""
    if not file.exists():
        return True
    try:
        content = read_json(file)
    except ValueError:
        return False
    if not isinstance(content, dict) or not is_proposal(content):
        return False
    return content.get(_DIGEST) == _digest(content["shapes"])


def _digest(shapes: Sequence[Mapping[str, Any]]) -> str:
    """Hexadecimal SHA-256 of what the shapes draw."""
    keys = ("label", "points", "shape_type", "group_id", "flags")
    return sha256_json([[shape.get(key) for key in keys] for shape in shapes])
