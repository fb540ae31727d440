"""What a picture looks like, in few bytes: made once for each picture, so that all can be compared with one another."""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import imagehash
import numpy as np
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table
from maskmill.imaging.georeference import Georeference, read_georeference
from maskmill.imaging.images import ImageError, read_image
from maskmill.imaging.overlay import display_image
from maskmill.logs import progress
from maskmill.wording import count_of

HASH_SIDE = 16
HASH_BITS = HASH_SIDE**2
THUMBNAIL = 32
TURNS = 8
"""Ways to turn and mirror a picture: quarter turns 0 to 3 counter-clockwise, then the same mirrored left to right."""

KEYPOINT_SIDE = 512
"""Longest side in pixels of the reduced picture in which details are found; their places are in its pixels."""

_KEYPOINTS = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureHashes:
    """What N pictures look like.

    ids: their sample ids. hashes: (N, 8, 4) uint64, the 256 bits of the perceptual hash of the picture turned in each
    of the `TURNS`. thumbnails: (N, 32, 32) uint8, grey, upright. places: for each picture (K, 2) uint16, x and y of
    its details, and descriptors: (K, 32) uint8, what they look like (ORB). georeferences: None where there is none.
    """

    ids: list[str]
    hashes: np.ndarray
    thumbnails: np.ndarray
    places: list[np.ndarray]
    descriptors: list[np.ndarray]
    georeferences: list[Georeference | None]


def hash_pictures(shard_list: str | os.PathLike, output: str | os.PathLike) -> None:
    """Write what the pictures of a shard's list look like to `output`, an .npz file for `read_hashes`.

    A picture that cannot be read is left out with a warning: what is wrong with it is found where labels are drawn.
    Of a volume the middle slice stands for all.
    """
    ids, hashes, thumbnails, places, descriptors, georeferences = [], [], [], [], [], []
    for row in progress(read_table(shard_list), "hashing pictures"):
        try:
            grey = _grey(read_image(picture_path(row)))
        except ImageError as error:
            logger.warning("not hashed: %s", error)
            continue
        ids.append(row["id"])
        hashes.append(perceptual_hashes(grey))
        thumbnails.append(cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA))
        found = details(grey)
        places.append(found[0])
        descriptors.append(found[1])
        georeferences.append(_georeference_text(row["image"]))
    with atomic_path(output) as aside:
        np.savez_compressed(
            aside,
            ids=np.array(ids, dtype=str),
            hashes=np.array(hashes, dtype=np.uint64).reshape(-1, TURNS, HASH_BITS // 64),
            thumbnails=np.array(thumbnails, dtype=np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL),
            counts=np.array([len(found) for found in places], dtype=np.int64),
            places=np.concatenate([*places, np.zeros((0, 2), np.uint16)]),
            descriptors=np.concatenate([*descriptors, np.zeros((0, 32), np.uint8)]),
            georeferences=np.array(georeferences, dtype=str),
        )


def picture_path(row: dict[str, str]) -> str:
    """The picture that stands for a sample (a row of the manifest): itself, or the middle slice of a volume."""
    depth = int(row["depth"])
    return row["image"] if depth == 1 else f"{row['image']}#page={depth // 2}"


def perceptual_hashes(grey: np.ndarray) -> np.ndarray:
    """The perceptual hash (pHash, 256 bits) of a picture (H, W) uint8 turned in each of the `TURNS`: (8, 4) uint64.

    Its bits say which of the lowest 16 × 16 frequencies of the cosine transform are above their median. Pictures that
    have nothing to do with each other differ in 128 ± 8 of them (standard deviation), copies in a few.
    """
    side = 4 * HASH_SIDE  # what imagehash reduces a picture to; reduced here, since it samples instead of averaging
    small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
    bits = [imagehash.phash(Image.fromarray(turned(small, turn)), HASH_SIDE).hash for turn in range(TURNS)]
    return np.packbits(bits).view(np.uint64).reshape(TURNS, -1)


def turned(picture: np.ndarray, turn: int) -> np.ndarray:
    """A picture (H, W) turned in one of the `TURNS`."""
    rotated = np.rot90(picture, turn % 4)
    return np.ascontiguousarray(rotated[:, ::-1] if turn >= 4 else rotated)


def details(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (K, 2) uint16 and descriptors (K, 32) uint8 of at most 500 details of a picture (H, W) uint8.

    ORB: Rublee et al., ORB: an efficient alternative to SIFT or SURF, ICCV 2011.
    """
    factor = KEYPOINT_SIDE / max(grey.shape)
    if factor < 1:
        size = [max(1, round(side * factor)) for side in grey.shape[::-1]]
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    keypoints, descriptors = cv2.ORB_create(_KEYPOINTS).detectAndCompute(grey, None)
    if not keypoints:
        return np.zeros((0, 2), np.uint16), np.zeros((0, 32), np.uint8)
    return np.rint(cv2.KeyPoint_convert(keypoints)).astype(np.uint16), descriptors


def read_hashes(files: Sequence[str | os.PathLike], ids: Sequence[str]) -> PictureHashes:
    """What the samples `ids` look like, in their order. Raises MaskmillError that lists those that no file has."""
    found: dict[str, tuple] = {}
    for file in files:
        with np.load(file) as shard:
            ends = np.cumsum(shard["counts"])[:-1]
            columns = (
                shard["hashes"],
                shard["thumbnails"],
                np.split(shard["places"], ends),
                np.split(shard["descriptors"], ends),
                [_georeference(text) for text in shard["georeferences"].tolist()],
            )
            found |= dict(zip(shard["ids"].tolist(), zip(*columns, strict=False), strict=False))
    if missing := [sample for sample in ids if sample not in found]:
        raise MaskmillError(
            f"not hashed: {count_of(len(missing), 'picture')}, see the logs of hash_pictures; mend or take away: "
            + ", ".join(missing)
        )
    hashes, thumbnails, places, descriptors, georeferences = zip(*(found[sample] for sample in ids), strict=True)
    return PictureHashes(list(ids), np.stack(hashes), np.stack(thumbnails), places, descriptors, list(georeferences))


def _grey(image: np.ndarray) -> np.ndarray:
    """A stored picture (H, W, C) as (H, W) uint8."""
    if image.dtype.kind == "f":
        image = np.nan_to_num(image, nan=0, posinf=0, neginf=0)
    return cv2.cvtColor(display_image(image), cv2.COLOR_RGB2GRAY)


def _georeference_text(path: str) -> str:
    try:
        place = read_georeference(path)
    except MaskmillError as error:
        logger.warning("%s", error)
        return ""
    return json.dumps(asdict(place)) if place else ""


def _georeference(text: str) -> Georeference | None:
    if not text:
        return None
    return Georeference(**{key: tuple(v) if isinstance(v, list) else v for key, v in json.loads(text).items()})
