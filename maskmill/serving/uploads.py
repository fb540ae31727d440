"""From an upload to a picture on disk, or to the reason why there is none."""

import math
from pathlib import Path

from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge, UnprocessableEntity, UnsupportedMediaType

from maskmill.errors import MaskmillError
from maskmill.imaging.images import image_header, opened
from maskmill.imaging.signatures import KINDS, LONGEST, PILLOW_FORMATS, suffix_by_signature
from maskmill.imaging.volumes import is_stack, stack_header


def store_upload(upload: FileStorage, folder: Path) -> Path:
    """Write an upload to a file in `folder` that is named by what it holds, whatever the client calls it.

    Raises UnsupportedMediaType where it begins like no picture that is read, UnprocessableEntity where it is empty.
    """
    start = upload.stream.read(LONGEST)
    if not start:
        raise UnprocessableEntity("the upload `image` is empty; send the bytes of a picture")
    suffix = suffix_by_signature(start)
    if suffix is None:
        raise UnsupportedMediaType(f"the upload is no picture of a kind that is read; send {KINDS}")
    upload.stream.seek(0)
    file = folder / f"image{suffix}"
    upload.save(file)
    return file


def require_size(file: Path, megapixels: float) -> None:
    """Raise RequestEntityTooLarge where a picture has more pixels than that, before any is decoded.

    Raises UnprocessableEntity where it cannot be read.
    """
    try:
        shape = stack_header(file).shape[:3] if is_stack(file) else _picture_size(file)
    except MaskmillError as error:
        raise unreadable(error, file) from error
    pixels = math.prod(shape)
    if pixels > megapixels * 1e6:
        size = " × ".join(map(str, reversed(shape)))
        raise RequestEntityTooLarge(
            f"the picture has {size} pixels, {pixels / 1e6:.1f} million; this service takes {megapixels:g} million. "
            "Send parts of it, or have the service started with a larger --megapixels"
        )


def _picture_size(file: Path) -> tuple[int, int]:
    """Height and width, also of pictures larger than what is ever decoded whole."""
    if file.suffix in (".tif", ".npy"):
        width, height, *_ = image_header(file)
    else:
        with opened(file) as content, Image.open(content, formats=PILLOW_FORMATS) as image:
            width, height = image.size
    return height, width


def unreadable(error: MaskmillError, file: Path) -> UnprocessableEntity:
    """The error that says why a picture has no mask, without naming folders of this machine."""
    reason = str(getattr(error, "reason", error)).replace(f"{file.parent}/", "")
    return UnprocessableEntity(f"the picture cannot be segmented: {reason}")
