"""NIfTI volumes (NIfTI-1 and -2, .nii and .nii.gz): reading them in part or whole, and the geometry of label volumes.

Reference: Cox et al. (2004), "A (sort of) new image data format standard: NIfTI-1"; the fields are those of nifti1.h.
"""

import os
from threading import Lock

import nibabel
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from maskmill.errors import MaskmillError
from maskmill.imaging.images import MAX_PIXELS
from maskmill.imaging.volumes import StackHeader, is_nifti

MAX_CHANNELS = 16

_UNITS = {"unknown": "mm", "mm": "mm", "micron": "µm", "meter": "m"}
_COLOURS = ("R", "G", "B")
_PLACEMENT = (
    "pixdim",
    "xyzt_units",
    "qform_code",
    "sform_code",
    *(f"quatern_{letter}" for letter in "bcd"),
    *(f"qoffset_{letter}" for letter in "xyz"),
    *(f"srow_{letter}" for letter in "xyz"),
)
"""Header fields that say where the voxels lie."""


class NiftiStack:
    """A NIfTI file as a stack of slices along its third axis. A compressed one is decoded once, at its first slice."""

    def __init__(self, path: str | os.PathLike) -> None:
        self._image = _load(path)
        self._packed = os.fspath(path).lower().endswith(".gz")
        self._stored_values: np.ndarray | None = None
        self._lock = Lock()
        self.kept = 0
        shape, self._dtype = _shape(self._image), self._image.get_data_dtype()
        if np.prod(shape, dtype=np.int64) > MAX_PIXELS and self._packed:
            raise MaskmillError(
                f"it has {np.prod(shape, dtype=np.int64):,} voxels, more than the {MAX_PIXELS:,} that are decoded at "
                "once; unpack it to .nii, which is read slice by slice"
            )
        slope, intercept = self._image.dataobj.slope, self._image.dataobj.inter
        self._scale = None if (slope, intercept) == (1, 0) else (slope, intercept)
        columns, rows, depth, channels = shape
        affine = self._image.affine
        x, y, z = (float(size) for size in voxel_sizes(affine))
        if not np.isfinite(affine).all() or 0 in (x, y, z):
            raise MaskmillError(f"its header gives no valid affine: {affine.tolist()}")
        self._shape, value_dtype = shape, _value_dtype(self._dtype)
        self._read_dtype = np.dtype(np.float32) if self._scale else value_dtype
        unit = _UNITS[self._image.header.get_xyzt_units()[0]]
        self.header = StackHeader(depth, rows, columns, channels, self._read_dtype.name, (z, y, x), unit, affine)

    def page(self, number: int, raw: bool = False) -> np.ndarray:
        """Values (H, W, C) of a slice."""
        if not self._packed:
            return self._values(self._stored()[:, :, number]).transpose(1, 0, 2).copy()
        with self._lock:
            if self._stored_values is None:
                self._stored_values = self._stored()
                self.kept = self._stored_values.nbytes
        return self._values(self._stored_values[:, :, number]).transpose(1, 0, 2).copy()

    def pixels(self, raw: bool = False) -> np.ndarray:
        """Values (D, H, W, C)."""
        stored = self._stored()
        pixels = np.empty(self.header.shape, self._read_dtype)
        for number in range(self.header.depth):
            pixels[number] = self._values(stored[:, :, number]).transpose(1, 0, 2)
        return pixels

    def _stored(self) -> np.ndarray:
        """Stored values (i, j, k, c), mapped into memory if the file is not compressed."""
        stored = self._image.dataobj.get_unscaled()
        if self._dtype.fields:
            stored = np.stack([stored[name] for name in _COLOURS], axis=-1)
        return stored.reshape(self._shape, order="F")

    def _values(self, stored: np.ndarray) -> np.ndarray:
        if self._scale:
            slope, intercept = self._scale
            stored = stored.astype(np.float64) * slope + intercept
        return stored.astype(self._read_dtype, copy=False)


def label_image(labels: np.ndarray, header: StackHeader, like: str | os.PathLike) -> nibabel.Nifti1Image:
    """The NIfTI image of label values (D, H, W) that lies where the stack `like`, with this header, does."""
    data = labels.transpose(2, 1, 0)
    if is_nifti(like):
        source = _load(like)
        image = type(source)(data, None)
        for field in _PLACEMENT:
            image.header[field] = source.header[field]
        return image
    image = nibabel.Nifti1Image(data, header.affine)
    image.header.set_zooms(header.spacing[::-1])
    image.header.set_xyzt_units({"mm": "mm", "µm": "micron"}.get(header.unit, "unknown"))
    if header.affine is not None:
        image.set_sform(header.affine, "scanner")
        image.set_qform(header.affine, "scanner")
    return image


def _load(path: str | os.PathLike) -> nibabel.Nifti1Image:
    try:
        image = nibabel.load(path)
    except (ImageFileError, HeaderDataError) as error:
        raise MaskmillError(f"it is no NIfTI file that can be read: {error}") from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise MaskmillError(f"it is no NIfTI volume but a {type(image).__name__}; save it as NIfTI-1")
    return image


def _shape(image: nibabel.Nifti1Image) -> tuple[int, int, int, int]:
    """Sizes (i, j, k, channels); axes of length 1 behind the third have no meaning."""
    shape = image.shape + (1,) * (3 - len(image.shape))
    more = [size for size in shape[3:] if size != 1]
    colours = len(_COLOURS) if image.get_data_dtype().fields else 1
    if 0 in shape:
        raise MaskmillError(f"it has no voxels: its shape is {shape}")
    if len(more) + (colours > 1) > 1 or (more and more[0] > MAX_CHANNELS):
        raise MaskmillError(
            f"its shape is {shape}, where three axes and one of at most {MAX_CHANNELS} channels can be read; save each "
            "point in time as a volume of its own"
        )
    return (*shape[:3], more[0] if more else colours)


def _value_dtype(stored: np.dtype) -> np.dtype:
    """The type in which values without a scale are read: the stored one, in the machine's byte order."""
    if stored.fields and set(_COLOURS) <= stored.fields.keys():
        return np.dtype(np.uint8)
    if stored.kind not in "iuf" or stored.itemsize > 8:
        raise MaskmillError(f"its values are {stored}; save them as integers or as floats of 32 or 64 bits")
    return stored.newbyteorder("=")
