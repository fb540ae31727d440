"""DICOM series: a folder of slices as one volume.

References: DICOM PS3.3, C.7.6.2 (image plane), C.7.6.3 (image pixel) and C.11.1 (modality LUT). DICOM's coordinates
(left, posterior, superior) become those of NIfTI (right, anterior, superior).
"""

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID

from maskmill.dag.pictures import dicom_files
from maskmill.errors import MaskmillError
from maskmill.imaging.images import DAMAGE
from maskmill.imaging.volumes import StackHeader
from maskmill.wording import count_of

_IMAGE_TAGS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation")
_PLACE_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_OTHER_TAGS = (
    "SeriesInstanceUID",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "SpacingBetweenSlices",
    "SliceThickness",
    "PixelData",
)
_BROKEN = (*DAMAGE, BytesLengthException, InvalidDicomError)
_DEFERRED_BYTES = 1024
_LISTED = 8
_SAME_DIRECTION = 1e-3
_SAME_PLACE = 1e-3  # mm
_UNEVEN = 0.05
"""Greatest deviation of the way from slice to slice, as a part of the usual one."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """What stands in the header of a DICOM file. place: position (3), directions of row and column (6), spacing (2)."""

    path: Path
    series: str
    syntax: UID
    rows: int = 0
    columns: int = 0
    samples: int = 0
    bits: int = 0
    bits_stored: int = 0
    signed: bool = False
    frames: int = 1
    needs_table: bool = False
    scale: tuple[float, float] = (1.0, 0.0)
    distance: float = 1.0
    place: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    @property
    def has_pixels(self) -> bool:
        return self.rows > 0 and self.columns > 0

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the image plane (LPS)."""
        return np.cross(self.place[1][:3], self.place[1][3:])


class DicomSeries:
    """The slices of one series, in the order of their places along the normal of the image plane.

    Raises MaskmillError that lists everything that keeps the folder from being one regular volume.
    """

    kept = 0

    def __init__(self, folder: str | os.PathLike) -> None:
        slices, defects = _read_headers(dicom_files(folder))
        pictures = [part for part in slices if part.has_pixels]
        defects += _file_defects(slices) + _series_defects(pictures)
        if not defects:
            normal = pictures[0].normal
            pictures.sort(key=lambda part: float(part.place[0] @ normal))
            defects = _distance_defects(pictures)
        if defects:
            raise MaskmillError("it is no series that can be read as a volume: " + "; ".join(defects))
        self._slices, first = pictures, pictures[0]
        affine = _affine(pictures)
        x, y, z = (float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
        size = (len(pictures), first.rows, first.columns, first.samples)
        self.header = StackHeader(*size, _value_dtype(pictures).name, (z, y, x), "mm", affine)

    def page(self, number: int, raw: bool = False) -> np.ndarray:
        """Rescaled values (H, W, C) of a slice."""
        part = self._slices[number]
        values = _rescaled(_stored(part), part.scale, np.dtype(self.header.dtype))
        if values is None:
            raise MaskmillError(f"{part.path.name} has values beyond the {part.bits_stored} bits that it states")
        return values

    def pixels(self, raw: bool = False) -> np.ndarray:
        """Rescaled values (D, H, W, C)."""
        pixels = np.empty(self.header.shape, self.header.dtype)
        for number in range(self.header.depth):
            pixels[number] = self.page(number)
        return pixels


def _read_headers(paths: Sequence[Path]) -> tuple[list[_Slice], list[str]]:
    slices, broken = [], {}
    for path in paths:
        try:
            slices.append(_read_header(path))
        except _BROKEN as error:
            broken[path] = str(error).split("\n")[0]
    defects = [f"{path.name} is damaged or no DICOM file ({reason})" for path, reason in list(broken.items())[:_LISTED]]
    if len(broken) > _LISTED:
        defects.append(f"{len(broken) - _LISTED} more files are damaged")
    return slices, defects


def _read_header(path: Path) -> _Slice:
    tags = [*_IMAGE_TAGS, *_PLACE_TAGS, *_OTHER_TAGS]
    header = pydicom.dcmread(path, defer_size=_DEFERRED_BYTES, specific_tags=tags)
    part = _Slice(path, str(header.get("SeriesInstanceUID", "")), header.file_meta.TransferSyntaxUID)
    if "PixelData" not in header or "Rows" not in header:
        return part
    if lacking := [tag for tag in _IMAGE_TAGS if tag not in header]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    numbers = [int(header[tag].value) for tag in _IMAGE_TAGS]
    place = None
    if all(header.get(tag) for tag in _PLACE_TAGS):
        place = tuple(np.array(header[tag].value, dtype=np.float64) for tag in _PLACE_TAGS)
    table = header.get("PhotometricInterpretation") == "PALETTE COLOR" or bool(header.get("ModalityLUTSequence"))
    return _Slice(
        path,
        part.series,
        part.syntax,
        *numbers[:5],
        signed=numbers[5] == 1,
        frames=int(header.get("NumberOfFrames") or 1),
        needs_table=table,
        scale=(_number(header, "RescaleSlope", 1), _number(header, "RescaleIntercept", 0)),
        distance=abs(_number(header, "SpacingBetweenSlices", 0)) or _number(header, "SliceThickness", 1) or 1.0,
        place=place,
    )


def _number(header: pydicom.Dataset, tag: str, default: float) -> float:
    value = header.get(tag)
    return default if value is None else float(value)


def _file_defects(slices: Sequence[_Slice]) -> list[str]:
    """What is wrong with single files, each kind with the files it is found in."""
    undecodable = defaultdict(list)
    for part in slices:
        if part.has_pixels and (missing := _missing_decoder(part.syntax)):
            undecodable[missing].append(part)
    kinds = {
        "no pixel data in {}; take these files out of the folder": lambda part: not part.has_pixels,
        "several frames in {}; convert the series to NIfTI, for example with dcm2niix": lambda part: part.frames > 1,
        "values that need a lookup table in {}; convert the series to NIfTI": lambda part: part.needs_table,
        "pixels that are not of 8, 16 or 32 bits in {}": lambda part: part.has_pixels and part.bits not in (8, 16, 32),
    }
    found = [(text, [part for part in slices if wrong(part)]) for text, wrong in kinds.items()]
    return [text.format(_names(parts)) for text, parts in [*found, *undecodable.items()] if parts]


def _missing_decoder(syntax: UID) -> str | None:
    """What keeps pixels of a transfer syntax from being decoded, with {} for the files, or None."""
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"pixels compressed as {syntax.name}, which cannot be decoded, in {{}}; convert the series to NIfTI"
    if decoder.is_available:
        return None
    plugins = " or ".join(dict.fromkeys(text.split(" - ")[0] for text in decoder.missing_dependencies))
    return (
        f"pixels compressed as {syntax.name}, which takes a plugin that is not installed ({plugins}), in {{}}; install "
        "it, or decompress the files, for example with gdcmconv --raw"
    )


def _series_defects(slices: Sequence[_Slice]) -> list[str]:
    """What keeps pictures from being parts of one volume."""
    if len(series := _grouped(slices, lambda part: part.series)) > 1:
        found = ", ".join(
            f"{uid or 'one without a number'} ({count_of(len(parts), 'file')})" for uid, parts in series.items()
        )
        return [f"{len(series)} series in one folder: {found}; put each into a folder of its own"]
    defects = []
    if len(sizes := _grouped(slices, lambda part: (part.rows, part.columns, part.samples))) > 1:
        found = ", ".join(f"{size[1]} × {size[0]} in {_names(parts)}" for size, parts in sizes.items())
        defects.append(f"slices of different sizes: {found}; take those of another size out of the folder")
    if lost := [part for part in slices if part.place is None]:
        defects.append(f"no place in space ({', '.join(_PLACE_TAGS)}) in {_names(lost)}; take them out of the folder")
    placed = [part for part in slices if part.place is not None]
    if turned := [part for part in placed if not _parallel(part, placed[0])]:
        defects.append(
            f"{_names(turned)} lie in another direction, or have other pixel distances, than {placed[0].path.name}; "
            "put them into a folder of their own"
        )
    return defects or ([] if slices else ["no picture in it"])


def _parallel(part: _Slice, other: _Slice) -> bool:
    return all(
        mine.shape == their.shape and np.allclose(mine, their, rtol=0, atol=_SAME_DIRECTION)
        for mine, their in zip(part.place[1:], other.place[1:], strict=True)
    )


def _distance_defects(slices: Sequence[_Slice]) -> list[str]:
    """Slices at one place, and those that are not the usual way from the one before."""
    ways = np.diff([part.place[0] for part in slices], axis=0)
    lengths = ways @ slices[0].normal if len(ways) else np.zeros(0)
    apart = lengths > _SAME_PLACE
    if not apart.any():
        return ["all slices lie at one place; they are no volume"] if len(ways) else []
    usual = np.median(ways[apart], axis=0)
    uneven = apart & (np.linalg.norm(ways - usual, axis=1) > _UNEVEN * np.linalg.norm(usual))
    defects = []
    if not apart.all():
        found = [f"{slices[i].path.name} and {slices[i + 1].path.name}" for i in np.flatnonzero(~apart)]
        defects.append(f"slices at the same place: {_listing(found)}; put repeated ones into a folder of their own")
    if uneven.any():
        found = [
            f"{np.linalg.norm(ways[i]):.4g} mm from {slices[i].path.name} to {slices[i + 1].path.name}"
            for i in np.flatnonzero(uneven)
        ]
        defects.append(
            f"slices are missing or uneven: {_listing(found)}, where {np.linalg.norm(usual):.4g} mm are usual; "
            "bring the missing files, or resample the series to even distances"
        )
    return defects


def _affine(slices: Sequence[_Slice]) -> np.ndarray:
    """4 × 4, from (column, row, slice) to millimetres (RAS)."""
    position, directions, (row_distance, column_distance) = slices[0].place
    step = slices[0].normal * slices[0].distance
    if len(slices) > 1:
        step = (slices[-1].place[0] - position) / (len(slices) - 1)
    affine = np.eye(4)
    affine[:3] = np.stack([directions[:3] * column_distance, directions[3:] * row_distance, step, position], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _value_dtype(slices: Sequence[_Slice]) -> np.dtype:
    """The type of the rescaled values: the stored one without a scale, int16 if it holds them all exactly, or float32.

    Where the stated bits leave it open, the values themselves decide.
    """
    if all(part.scale == (1, 0) for part in slices):
        return np.result_type(*{f"{'i' if part.signed else 'u'}{part.bits // 8}" for part in slices})
    if not all(number.is_integer() for part in slices for number in part.scale):
        return np.dtype(np.float32)
    if all(_fits(_stated_range(part), part.scale) for part in slices):
        return np.dtype(np.int16)
    exact = all(_rescaled(_stored(part), part.scale, np.dtype(np.int16)) is not None for part in slices)
    return np.dtype(np.int16 if exact else np.float32)


def _stated_range(part: _Slice) -> np.ndarray:
    least = -(2 ** (part.bits_stored - 1)) if part.signed else 0
    return np.array([least, least + 2**part.bits_stored - 1])


def _fits(values: np.ndarray, scale: tuple[float, float]) -> bool:
    return _rescaled(values, scale, np.dtype(np.int16)) is not None


def _rescaled(values: np.ndarray, scale: tuple[float, float], dtype: np.dtype) -> np.ndarray | None:
    """Slope times stored values plus intercept; None where they do not fit into the integers asked for."""
    if scale == (1, 0):
        return values.astype(dtype, copy=False)
    slope, intercept = scale
    scaled = values.astype(np.float64) * slope + intercept
    if dtype.kind == "i" and (scaled.min() < np.iinfo(dtype).min or scaled.max() > np.iinfo(dtype).max):
        return None
    return scaled.astype(dtype)


def _stored(part: _Slice) -> np.ndarray:
    """Values (H, W, C) as stored, in RGB where they are colours."""
    try:
        return pixel_array(part.path).reshape(part.rows, part.columns, part.samples)
    except _BROKEN as error:
        raise MaskmillError(f"{part.path.name} cannot be decoded: {str(error).splitlines()[-1].strip()}") from error


def _grouped(slices: Sequence[_Slice], key: Callable[[_Slice], Hashable]) -> dict[Hashable, list[_Slice]]:
    groups = defaultdict(list)
    for part in slices:
        groups[key(part)].append(part)
    return dict(groups)


def _names(slices: Sequence[_Slice]) -> str:
    return _listing([part.path.name for part in slices])


def _listing(found: Sequence[str]) -> str:
    return ", ".join(found[:_LISTED]) + (f" and {len(found) - _LISTED} more" if len(found) > _LISTED else "")
