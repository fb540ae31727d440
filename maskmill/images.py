"""Read pictures of any common format the right way up, and write and read label images."""

import base64
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from maskmill.classes import Classes
from maskmill.errors import MaskmillError


class ImageError(MaskmillError):
    """A picture that cannot be read, and why: `reason` says it without the file's name."""

    def __init__(self, path: str | os.PathLike, reason: str) -> None:
        super().__init__(f"{path}: {reason}; replace the file, or take it and its annotation away")
        self.reason = reason


# Aerial pictures and slides are larger than Pillow's guard against decompression bombs allows.
Image.MAX_IMAGE_PIXELS = None

_GREY = {"1": "L", "LA": "L", "La": "L"}
_COLOUR = ("P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_EXIF_ORIENTATION = 0x0112


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as (H, W, C) in the stored dtype, upright (EXIF orientation applied).

    Grey has C = 1; palettes and CMYK become RGB; alpha is dropped; bilevel becomes 0/255; 16 bits and floats are kept.
    Of a TIFF file with several pages the first is read. A ".json" file is a labelme file with the picture embedded.

    Raises ImageError where the file is missing, truncated or no picture.
    """
    return _read(path, raw=False)


def read_values(path: str | os.PathLike) -> np.ndarray:
    """Read a picture like `read_image`, but palette and bilevel pictures as the values stored: (H, W, 1)."""
    return _read(path, raw=True)


def image_header(path: str | os.PathLike) -> tuple[int, int, int, str]:
    """Width, height, channels and dtype name of what `read_image` gives, without decoding the pixels.

    Raises ImageError where the file is missing or no picture; a truncated one may go unnoticed.
    """
    with _opened(path) as file:
        if _is_tiff(file):
            from maskmill.tiff import tiff_header

            height, width, channels, dtype, orientation = tiff_header(file)
        else:
            deep = _deep_png_channels(file)
            with Image.open(file) as image:
                # the getexif of PNG decodes the pixels, to reach what may stand behind them
                exif = image.getexif() if _has_trailing_metadata(file) else Image.Image.getexif(image)
                width, height, orientation = *image.size, exif.get(_EXIF_ORIENTATION, 1)
                mode = _target_mode(image.mode, raw=False)
            channels = deep or (3 if mode == "RGB" else 1)
            dtype = np.dtype(np.uint16) if deep else _mode_dtype(mode)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return width, height, channels, np.dtype(dtype).name


def write_label_png(path: str | os.PathLike, labels: np.ndarray, classes: Classes) -> None:
    """Write class indices (H, W) uint8 as a palette PNG in the classes' colours. Makes folders."""
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise ValueError(f"labels must be uint8 (H, W), not {labels.dtype} {labels.shape}")
    image = Image.fromarray(labels)
    image.putpalette(classes.palette())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")


def read_label_png(path: str | os.PathLike) -> np.ndarray:
    """Read a label image as (H, W) uint8 class indices: 0 background, 255 ignore. ImageError where it is not one."""
    with _opened(path) as file, Image.open(file) as image:
        if image.mode not in ("P", "L"):
            raise MaskmillError(f"it has colours ({image.mode}) where a label image has one class index a pixel")
        return np.asarray(image)


def _read(path: str | os.PathLike, raw: bool) -> np.ndarray:
    with _opened(path) as file:
        if _is_tiff(file):
            from maskmill.tiff import read_tiff

            pixels, orientation = read_tiff(file, raw)
        else:
            pixels, orientation = _by_pillow(file, raw)
        return _upright(pixels, orientation)


def _by_pillow(file: BinaryIO, raw: bool) -> tuple[np.ndarray, int]:
    deep = _deep_png_channels(file)
    with Image.open(file) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        if deep:
            pixels = _deep_png(file, deep)
        else:
            mode = _target_mode(image.mode, raw)
            if mode != image.mode and image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")
            pixels = np.array(image if mode == image.mode else image.convert(mode))
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1), orientation


def _target_mode(mode: str, raw: bool) -> str:
    """The Pillow mode in which a picture of this mode is read."""
    if raw and mode in ("1", "P"):
        return mode
    return "RGB" if mode in _COLOUR else _GREY.get(mode, mode)


def _mode_dtype(mode: str) -> np.dtype:
    if mode.startswith("I;16"):
        return np.dtype(np.uint16)
    return np.dtype({"I": np.int32, "F": np.float32}.get(mode, np.uint8))


def _deep_png_channels(file: BinaryIO) -> int:
    """Channels (1 or 3, alpha left out) of a 16-bit PNG that Pillow would cut to 8 bits; 0 for any other file."""
    head = file.read(26)
    file.seek(0)
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26 or head[24] != 16:
        return 0
    return {2: 3, 4: 1, 6: 3}.get(head[25], 0)


def _has_trailing_metadata(file: BinaryIO) -> bool:
    """Whether a PNG has a chunk that may hold an orientation behind its pixels; False for any other file."""
    position, pixels, found = file.tell(), False, False
    file.seek(0)
    if file.read(8) == b"\x89PNG\r\n\x1a\n":
        while len(head := file.read(8)) == 8 and not found:
            length, kind = struct.unpack(">I4s", head)
            pixels |= kind == b"IDAT"
            found = pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
            file.seek(length + 4, io.SEEK_CUR)
    file.seek(position)
    return found


def _deep_png(file: BinaryIO, channels: int) -> np.ndarray:
    """Decode a 16-bit PNG with OpenCV, in the order RGB."""
    import cv2

    file.seek(0)
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise OSError("its data are damaged or truncated")
    return np.ascontiguousarray(pixels[:, :, [2, 1, 0][:channels]])


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the EXIF orientation (CIPA DC-008, tag 274) of a picture (H, W, C)."""
    turned = {
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.transpose(1, 0, 2),
        6: lambda: np.rot90(pixels, -1),
        7: lambda: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: lambda: np.rot90(pixels, 1),
    }
    return np.ascontiguousarray(turned[orientation]()) if orientation in turned else pixels


def _is_tiff(file: BinaryIO) -> bool:
    magic = file.read(4)
    file.seek(0)
    return magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """The file's picture bytes for reading; whatever goes wrong with them becomes an ImageError."""
    try:
        with _picture_file(path) as file:
            yield file
    except FileNotFoundError as error:
        raise ImageError(path, "there is no such file") from error
    except MaskmillError as error:
        raise ImageError(path, str(error)) from error
    except (OSError, SyntaxError, ValueError, KeyError, IndexError, EOFError, struct.error, zlib.error) as error:
        raise ImageError(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture in a known format"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be opened: {error.strerror}"
    return f"it is damaged: {error}"


def _picture_file(path: str | os.PathLike) -> BinaryIO:
    if Path(path).suffix.lower() != ".json":
        return open(path, "rb")
    content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    data = content.get("imageData") if isinstance(content, dict) else None
    if not isinstance(data, str):
        raise MaskmillError("no picture is embedded in it")
    return io.BytesIO(base64.b64decode(data))
