"""What kind of picture or volume a file is, by its first bytes, and what decoders may take a picture for.

Decoders are told the kind, since GDAL also knows virtual ones: files that name other files and addresses, which nobody
shall be made to read by handing in a picture.
"""

import os
from contextlib import suppress

KINDS = "PNG, JPEG, TIFF, BMP, WebP, NumPy (.npy) and NIfTI (.nii, .nii.gz)"
"""The kinds that are told apart, for messages."""

LONGEST = 352
"""First bytes that are looked at."""

NPY = b"\x93NUMPY"
"""First bytes of a .npy file."""

PILLOW_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What Pillow may take a picture for: the kinds that are read, and GIF, so that animated ones are told."""

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"II+\0", ".tif"),
    (b"MM\0+", ".tif"),
    (b"BM", ".bmp"),
    (NPY, ".npy"),
    (b"\x1f\x8b", ".nii.gz"),
)
_GDAL_DRIVERS = {".png": "PNG", ".jpg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}
_NIFTI_PLACES = {344: (b"ni1\0", b"n+1\0"), 4: (b"n+2\0", b"ni2\0")}


def suffix_by_signature(start: bytes) -> str | None:
    """The suffix of a file that begins so, with `LONGEST` bytes where it has them; None where it is of no such kind."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ".webp"
    if any(start[place : place + 4] in magics for place, magics in _NIFTI_PLACES.items()):
        return ".nii"
    return next((suffix for signature, suffix in _SIGNATURES if start.startswith(signature)), None)


def gdal_driver(path: str | os.PathLike) -> str:
    """What GDAL has to take a picture for, by its first bytes; of any other file GTiff, which refuses it."""
    start = b""
    with suppress(OSError), open(path, "rb") as file:
        start = file.read(LONGEST)
    return _GDAL_DRIVERS.get(suffix_by_signature(start), "GTiff")
