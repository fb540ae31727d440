"""From an upload to a picture on disk, or to the reason why there is none."""

from pathlib import Path

from PIL import Image
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge, UnprocessableEntity, UnsupportedMediaType

from maskmill.errors import MaskmillError
from maskmill.imaging.images import image_header, opened
from maskmill.imaging.volumes import is_stack, stack_header

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"II+\0", ".tif"),
    (b"MM\0+", ".tif"),
    (b"BM", ".bmp"),
    (b"\x1f\x8b", ".nii.gz"),
)
_NIFTI_PLACES = {344: (b"ni1\0", b"n+1\0"), 4: (b"n+2\0", b"ni2\0")}
KINDS = "PNG, JPEG, TIFF, BMP, WebP and NIfTI (.nii, .nii.gz)"


def store_upload(upload: FileStorage, folder: Path) -> Path:
    """Write an upload to a file in `folder` that is named by what it holds, whatever the client calls it.

    Raises UnsupportedMediaType where it begins like no picture that is read, UnprocessableEntity where it is empty.
    """
    start = upload.stream.read(352)
    if not start:
        raise UnprocessableEntity("the upload `image` is empty; send the bytes of a picture")
    suffix = _suffix(start)
    if suffix is None:
        raise UnsupportedMediaType(f"the upload is no picture of a kind that is read; send {KINDS}")
    upload.stream.seek(0)
    file = folder / f"image{suffix}"
    upload.save(file)
    return file


def _suffix(start: bytes) -> str | None:
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ".webp"
    if any(start[place : place + 4] in magics for place, magics in _NIFTI_PLACES.items()):
        return ".nii"
    return next((suffix for signature, suffix in _SIGNATURES if start.startswith(signature)), None)


def require_size(file: Path, megapixels: float) -> None:
    """Raise RequestEntityTooLarge where a picture has more pixels than that, before any is decoded.

    Raises UnprocessableEntity where it cannot be read.
    """
    try:
        shape = stack_header(file).shape[:3] if is_stack(file) else _picture_size(file)
    except MaskmillError as error:
        raise unreadable(error, file) from error
    pixels = 1
    for side in shape:
        pixels *= side
    if pixels > megapixels * 1e6:
        size = " × ".join(map(str, reversed(shape)))
        raise RequestEntityTooLarge(
            f"the picture has {size} pixels, {pixels / 1e6:.1f} million; this service takes {megapixels:g} million. "
            "Send parts of it, or have the service started with a larger --megapixels"
        )


def _picture_size(file: Path) -> tuple[int, int]:
    """Height and width, also of pictures larger than what is ever decoded whole."""
    if file.suffix == ".tif":
        width, height, *_ = image_header(file)
    else:
        with opened(file) as content, Image.open(content) as image:
            width, height = image.size
    return height, width


def unreadable(error: MaskmillError, file: Path) -> UnprocessableEntity:
    """The error that says why a picture has no mask, without naming folders of this machine."""
    reason = str(getattr(error, "reason", error)).replace(f"{file.parent}/", "")
    return UnprocessableEntity(f"the picture cannot be segmented: {reason}")
