"""Read pictures of any common format the right way up, whole or in windows; write and read label images."""

import base64
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from maskmill.classes import Classes
from maskmill.errors import MaskmillError
from maskmill.imaging.npy import is_npy_path, npy_header, read_npy
from maskmill.imaging.signatures import PILLOW_FORMATS


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
_PAGE = re.compile(r"#page=(\d+)$")
_BAND_BYTES = 1 << 26
_BAND_STEP = 512  # rows: a multiple of the usual heights of tiles, so that none is decoded twice

DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What decoders raise on damaged files."""

MAX_PIXELS = 1_000_000_000
"""Greatest number of pixels of a picture (voxels of a volume) that has to be decoded whole."""

MAX_OBJECTS = 65535
"""Greatest number of an object that a 16-bit object image holds."""


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as (H, W, C) in the stored dtype, upright (EXIF orientation applied).

    Grey has C = 1; palettes and CMYK become RGB; alpha is dropped; bilevel becomes 0/255; 16 bits and floats are kept.
    Of a TIFF file with several pages the first is read. A ".json" file is a labelme file with the picture embedded.
    "#page=N" behind the path names a slice, from 0, of a stack (`maskmill.imaging.volumes`). A .npy file holds an array
    (H, W) or (H, W, C), see `maskmill.imaging.npy`.

    Raises ImageError where the file is missing, truncated, animated or no picture, or, where it is no TIFF file, has
    more than `MAX_PIXELS` pixels.
    """
    return _read(path, raw=False)


def read_values(path: str | os.PathLike) -> np.ndarray:
    """Read a picture like `read_image`, but palette and bilevel pictures as the values stored: (H, W, 1)."""
    return _read(path, raw=True)


def image_header(path: str | os.PathLike) -> tuple[int, int, int, str]:
    """Width, height, channels and dtype name of what `read_image` gives, without decoding the pixels.

    Raises ImageError where the file is missing or no picture; a truncated one may go unnoticed.
    """
    stack, page = split_page(path)
    if page is not None:
        from maskmill.imaging.volumes import page_header

        header = page_header(stack, page)
        return header.width, header.height, header.channels, header.dtype
    if is_npy_path(path):
        with explained(path):
            height, width, channels, dtype = npy_header(path)
        return width, height, channels, dtype.name
    with opened(path) as file:
        if is_tiff(file):
            from maskmill.imaging.tiff import tiff_layout

            layout = tiff_layout(file)
            width, height, channels, dtype = layout.width, layout.height, layout.channels, layout.dtype
            orientation = layout.orientation
        else:
            deep = _deep_png_channels(file)
            with Image.open(file, formats=PILLOW_FORMATS) as image:
                _check(image)
                # the getexif of PNG decodes the pixels, to reach what may stand behind them
                exif = image.getexif() if _has_trailing_metadata(file) else Image.Image.getexif(image)
                width, height, orientation = *image.size, exif.get(_EXIF_ORIENTATION, 1)
                mode = _target_mode(image.mode, raw=False)
            channels = deep or (3 if mode == "RGB" else 1)
            dtype = np.dtype(np.uint16) if deep else _mode_dtype(mode)
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return width, height, channels, np.dtype(dtype).name


def split_page(path: str | os.PathLike) -> tuple[str, int | None]:
    """The file (or folder) and the slice that a picture's path names: ("a.nii.gz", 12) of "a.nii.gz#page=12".

    The slice is None where the path names none.
    """
    path = os.fspath(path)
    page = _PAGE.search(path)
    return (path[: page.start()], int(page[1])) if page else (path, None)


def read_window(path: str | os.PathLike, top: int, left: int, height: int, width: int) -> np.ndarray:
    """Read a part of a picture: what `read_image` gives, cut to (height, width, C). See `open_windows`.

    Raises ImageError as `read_image` does, ValueError where the window does not lie in the picture.
    """
    with open_windows(path) as read:
        return read(top, left, height, width)


def read_bands(path: str | os.PathLike) -> Iterator[np.ndarray]:
    """Read a picture in bands of rows (h, W, C), from the top: of some 64 MB, a smaller picture in one.

    The bands below one another are what `read_image` gives, and as soon as a picture is damaged ImageError is raised.
    """
    width, height, channels, dtype = image_header(path)
    rows = _BAND_BYTES // (width * channels * np.dtype(dtype).itemsize)
    if rows >= height:
        yield read_image(path)
        return
    rows = max(rows // _BAND_STEP, 1) * _BAND_STEP
    with open_windows(path) as read:
        for top in range(0, height, rows):
            yield read(top, 0, min(rows, height - top), width)


@contextmanager
def open_windows(path: str | os.PathLike) -> Iterator[Callable[[int, int, int, int], np.ndarray]]:
    """Yield a function as `read_window` (top, left, height, width) that keeps the picture's file open.

    Of TIFF files no more is decoded than the tiles or strips that the window touches, but of turned and CMYK ones, and
    .npy files are mapped; any other picture is decoded whole once. The function is to be used by one thread at a time.
    """
    windowed, size, whole = None, image_header(path)[1::-1], None

    def read(top: int, left: int, height: int, width: int) -> np.ndarray:
        nonlocal whole
        if min(top, left) < 0 or min(height, width) < 1 or top + height > size[0] or left + width > size[1]:
            raise ValueError(f"the window {(top, left, height, width)} does not lie in the picture, {size}")
        if windowed:
            with explained(path):
                return windowed((top, left, height, width))
        whole = read_image(path) if whole is None else whole
        return whole[top : top + height, left : left + width].copy()

    with ExitStack() as stack:
        if _is_tiff_path(path):
            from maskmill.imaging.tiff import tiff_windows

            with explained(path):
                windowed = stack.enter_context(tiff_windows(path))
        elif is_npy_path(path):

            def windowed(window: tuple[int, int, int, int]) -> np.ndarray:
                return read_npy(path, window=window)

        yield read


def write_label_png(path: str | os.PathLike, labels: np.ndarray, classes: Classes) -> None:
    """Write class indices (H, W) uint8 as a palette PNG in the classes' colours. Makes folders."""
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise ValueError(f"labels must be uint8 (H, W), not {labels.dtype} {labels.shape}")
    image = Image.fromarray(labels)
    image.putpalette(classes.palette())
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.save(path, format="PNG")


def write_jpeg(path: str | os.PathLike, picture: np.ndarray, quality: int) -> None:
    """Write a picture, RGB uint8 (H, W, 3), as JPEG. Raises OSError where the disk is full.

    Pillow on its own hands the bytes to the system in parts and does not look whether all of the last were taken.
    """
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format="JPEG", quality=quality)
    Path(path).write_bytes(encoded.getbuffer())


def read_label_png(path: str | os.PathLike) -> np.ndarray:
    """Read a label image as (H, W) uint8 class indices: 0 background, 255 ignore. ImageError where it is not one."""
    with opened(path) as file, Image.open(file, formats=PILLOW_FORMATS) as image:
        if image.mode not in ("P", "L"):
            raise MaskmillError(f"it has colours ({image.mode}) where a label image has one class index a pixel")
        labels = np.empty(image.size[::-1], np.uint8)
        for top in range(0, image.height, _BAND_STEP):  # Pillow copies what becomes an array twice
            labels[top : top + _BAND_STEP] = image.crop((0, top, image.width, min(top + _BAND_STEP, image.height)))
        return labels


def write_instance_png(path: str | os.PathLike, objects: np.ndarray) -> None:
    """Write object numbers (H, W), integers from 0 (none), as a 16-bit grey PNG. Makes folders.

    Raises MaskmillError where a number is greater than 65,535.
    """
    if objects.dtype.kind not in "iu" or objects.ndim != 2 or objects.min(initial=0) < 0:
        raise ValueError(f"objects must be integers (H, W) from 0 on, not {objects.dtype} {objects.shape}")
    if (most := int(objects.max(initial=0))) > MAX_OBJECTS:
        raise MaskmillError(
            f"{path}: the picture has {most:,} objects, and an object image holds {MAX_OBJECTS:,} at most; "
            "cut the picture into smaller ones, or tell no objects apart: of masks, leave split_touching out of "
            "postprocess.steps; of labels, set dataset.instances: false"
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(objects.astype(np.uint16)).save(path, format="PNG")


def read_instance_png(path: str | os.PathLike) -> np.ndarray:
    """Read an object image as (H, W) int32 object numbers, 0 where there is none. ImageError where it is not one."""
    with opened(path) as file, Image.open(file, formats=PILLOW_FORMATS) as image:
        if image.mode not in ("I;16", "L"):
            raise MaskmillError(f"it is of mode {image.mode} where an object image has one number a pixel")
        return np.array(image, dtype=np.int32)


def _read(path: str | os.PathLike, raw: bool) -> np.ndarray:
    stack, page = split_page(path)
    if page is not None:
        from maskmill.imaging.volumes import read_page

        return read_page(stack, page, raw)
    if is_npy_path(path):
        with explained(path):
            return read_npy(path, raw)
    with opened(path) as file:
        if is_tiff(file):
            from maskmill.imaging.tiff import read_tiff

            pixels, orientation = read_tiff(file, raw)
        else:
            pixels, orientation = _by_pillow(file, raw)
        return _upright(pixels, orientation)


def _by_pillow(file: BinaryIO, raw: bool) -> tuple[np.ndarray, int]:
    deep = _deep_png_channels(file)
    with Image.open(file, formats=PILLOW_FORMATS) as image:
        _check(image)
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


def _check(image: Image.Image) -> None:
    """Refuse what is several pictures, or has so many pixels that decoding them may exhaust the memory."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MaskmillError(
            f"it has {width:,} × {height:,} pixels, more than the {MAX_PIXELS:,} that are decoded at once; convert it "
            "to a tiled TIFF, which is read in parts"
        )
    if image.format in ("GIF", "PNG", "WEBP") and getattr(image, "is_animated", False):
        raise MaskmillError(f"it is animated ({image.n_frames} pictures); save the one that is meant as PNG")


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
        raise OSError("its data are damaged or truncated, or wider than the 1,048,576 pixels that OpenCV reads")
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


def is_tiff(file: BinaryIO) -> bool:
    """Whether a file that stands at its beginning is a TIFF file, by its first bytes."""
    magic = file.read(4)
    file.seek(0)
    return magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _is_tiff_path(path: str | os.PathLike) -> bool:
    if split_page(path)[1] is not None or Path(path).suffix.lower() == ".json":
        return False
    with open(path, "rb") as file:
        return is_tiff(file)


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """The file's picture bytes for reading; whatever goes wrong with them becomes an ImageError."""
    with explained(path), _picture_file(path) as file:
        yield file


@contextmanager
def explained(path: str | os.PathLike) -> Iterator[None]:
    """Whatever goes wrong while the picture's file is read becomes an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(path, "there is no such file") from error
    except MaskmillError as error:
        raise ImageError(path, str(error)) from error
    except MemoryError as error:
        raise ImageError(path, "it does not fit into memory") from error
    except DAMAGE as error:
        raise ImageError(path, _reason(path, error)) from error


def _reason(path: str | os.PathLike, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        volume = os.fspath(path).lower().endswith((".nii", ".nii.gz"))
        return (
            'it is a volume; "#page=N" behind its name is a slice of it'
            if volume
            else "it is no picture in a known format"
        )
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
