"""Stacks and georeferenced pictures written for tests: DICOM series, NIfTI files, GeoTIFF files."""

from pathlib import Path

import nibabel
import numpy as np
import rasterio
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from maskmill.imaging.images import image_header, read_image, read_values
from maskmill.imaging.volumes import read_page, read_volume, stack_header

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.array([[0.62, -0.31, 0.5, -40], [0.2, 0.7, -0.9, 12.5], [0.3, 0.25, 1.4, 7], [0, 0, 0, 1]])


def turned_affine(spacing=(0.7, 0.8, 2.5), origin=(-40.0, 12.5, 7.0), angle=0.3):
    """A right-handed affine of orthogonal axes, turned about two axes."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    affine[:3, 3] = origin
    return affine


def write_nifti(path, array, affine=None, **header):
    """Write an array (i, j, k[, c]); header: fields to set."""
    image = nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine)
    for field, value in header.items():
        image.header[field] = value
    nibabel.save(image, path)
    return path


def write_series(folder, pixels, affine=None, change=None, **attributes):
    """Write pixels (D, H, W[, 3]) as a DICOM series whose voxels lie where the affine (RAS) puts them.

    The files are named in another order than they lie in. change(number, data set): edits a slice before it is written.
    """
    affine = LPS @ (np.eye(4) if affine is None else affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(pixels):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = UID(f"1.2.3.{number + 1}")
        data.SeriesInstanceUID = UID("1.2.3")
        data.Rows, data.Columns = page.shape[:2]
        data.SamplesPerPixel = 3 if page.ndim == 3 else 1
        data.PhotometricInterpretation = "RGB" if page.ndim == 3 else "MONOCHROME2"
        if page.ndim == 3:
            data.PlanarConfiguration = 0
        data.BitsAllocated = data.BitsStored = page.itemsize * 8
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(page.dtype.kind == "i")
        data.PixelSpacing = _decimals([sizes[1], sizes[0]])
        data.ImageOrientationPatient = _decimals([*affine[:3, 0] / sizes[0], *affine[:3, 1] / sizes[1]])
        data.ImagePositionPatient = _decimals(affine[:3] @ (0, 0, number, 1))
        for name, value in attributes.items():
            setattr(data, name, value)
        data.add_new("PixelData", "OB" if page.itemsize == 1 else "OW", page.tobytes() + b"\0" * (page.nbytes % 2))
        if change:
            change(number, data)
        data.save_as(Path(folder, f"{(number * 7) % 10}-{number:03}.dcm"), enforce_file_format=True)
    return folder


def _decimals(values):
    """Decimal strings of at most 16 characters."""
    return [f"{float(value):.9g}" for value in values]


def write_geotiff(path, pixels, **options):
    """Write (H, W, C) by GDAL in tiles of 16 pixels."""
    profile = {"driver": "GTiff", "width": pixels.shape[1], "height": pixels.shape[0], "count": pixels.shape[2]}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    transform = rasterio.Affine(0.1, 0, 5, 0, -0.1, 50)
    with rasterio.open(path, "w", dtype=pixels.dtype, transform=transform, **profile, **tiles, **options) as tiff:
        tiff.write(pixels.transpose(2, 0, 1))


def save_lzw(path, pages):
    first, *others = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=others, compression="tiff_lzw")


def assert_reads_stack(path, expected, raw=False):
    """The volume, its header, its slices and their headers agree with (D, H, W[, C])."""
    expected = expected.reshape(*expected.shape[:3], -1)
    header, volume = stack_header(path), read_volume(path, raw)
    assert volume.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(volume.pixels, expected)
    assert (volume.spacing, volume.unit) == (header.spacing, header.unit)
    for number in (len(expected) - 1, 0):
        page = read_page(path, number, raw)
        assert page.dtype == expected.dtype
        np.testing.assert_array_equal(page, expected[number])
        read = read_values if raw else read_image
        np.testing.assert_array_equal(read(f"{path}#page={number}"), expected[number])
    if not raw:
        assert header.shape == expected.shape
        assert header.dtype == expected.dtype
        size = expected.shape[2], expected.shape[1], expected.shape[3], header.dtype
        assert image_header(f"{path}#page=0") == size
