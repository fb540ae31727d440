"""What kind of picture or volume a file is, by its first bytes."""

KINDS = "PNG, JPEG, TIFF, BMP, WebP and NIfTI (.nii, .nii.gz)"
"""The kinds that are told apart, for messages."""

LONGEST = 352
"""First bytes that are looked at."""

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


def suffix_by_signature(start: bytes) -> str | None:
    """The suffix of a file that begins so, with `LONGEST` bytes where it has them; None where it is of no such kind."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return ".webp"
    if any(start[place : place + 4] in magics for place, magics in _NIFTI_PLACES.items()):
        return ".nii"
    return next((suffix for signature, suffix in _SIGNATURES if start.startswith(signature)), None)
