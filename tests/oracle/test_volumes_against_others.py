"""Volumes, series and windows against nibabel, pydicom, Pillow and GDAL on real files."""

import nibabel
import numpy as np
import pydicom
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window

from maskmill.imaging.images import open_windows, read_window
from maskmill.imaging.volumes import (
    is_stack,
    read_label_volume,
    read_page,
    read_volume,
    stack_header,
    write_label_volume,
)
from tests.unit.volume_data import LPS, turned_affine, write_series

pytestmark = pytest.mark.real


def test_nifti_agrees_with_nibabel(real_data):
    paths = sorted((real_data / "msd_hippocampus").rglob("*.nii.gz"))[::4] + sorted(
        (real_data / "brain_t1").rglob("*.nii.gz")
    )
    assert len(paths) > 40
    for path in paths:
        image, volume = nibabel.load(path), read_volume(path)
        array = np.asanyarray(image.dataobj)
        assert volume.pixels.dtype == array.dtype
        np.testing.assert_array_equal(volume.pixels[..., 0], array.transpose(2, 1, 0))
        np.testing.assert_array_equal(volume.affine, image.affine)
        np.testing.assert_allclose(volume.spacing, image.header.get_zooms()[::-1])
        np.testing.assert_array_equal(read_page(path, 5)[..., 0], array[:, :, 5].T)


def test_label_volumes_lie_where_nibabel_sees_the_source(real_data, tmp_path):
    paths = sorted((real_data / "msd_hippocampus" / "labels").glob("*.nii.gz"))[:5]
    for source in (*paths, real_data / "brain_t1/v3/data/labels.nii.gz"):
        image = nibabel.load(source)
        array = np.asanyarray(image.dataobj)
        write_label_volume(tmp_path / "a.nii.gz", array.transpose(2, 1, 0).astype(np.uint8), source)
        written = nibabel.load(tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(written.dataobj), array)
        np.testing.assert_array_equal(written.affine, image.affine)
        assert written.header.get_zooms() == image.header.get_zooms()
        assert written.header.get_xyzt_units()[0] == image.header.get_xyzt_units()[0]
        for field in ("qform_code", "sform_code"):
            assert written.header[field] == image.header[field]
        np.testing.assert_array_equal(read_label_volume(tmp_path / "a.nii.gz"), array.transpose(2, 1, 0))


def test_a_series_made_of_a_volume_is_that_volume(real_data, tmp_path):
    path = sorted((real_data / "msd_hippocampus" / "images").glob("*.nii.gz"))[0]
    source = read_volume(path)
    for name, affine in (("own", source.affine), ("turned", turned_affine())):
        pixels = source.pixels[..., 0].astype(np.int16)
        write_series(tmp_path / name, pixels, affine, RescaleSlope="1", RescaleIntercept="-50")
        series = read_volume(tmp_path / name)
        assert series.pixels.dtype == np.int16
        np.testing.assert_array_equal(series.pixels[..., 0], pixels - 50)
        np.testing.assert_allclose(series.affine, affine, atol=1e-5)
        np.testing.assert_allclose(series.spacing, np.linalg.norm(affine[:3, :3], axis=0)[::-1], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental")
def test_the_place_of_every_slice_agrees_with_nibabels_dicom_reader(tmp_path):
    from nibabel.nicom.dicomwrappers import wrapper_from_data

    affine = turned_affine()
    write_series(tmp_path, np.zeros((5, 6, 7), np.int16), affine, SliceThickness="2.5", SpacingBetweenSlices="2.5")
    header = stack_header(tmp_path)
    for file in tmp_path.glob("*.dcm"):
        data = pydicom.dcmread(file)
        number = int(file.stem.split("-")[1])
        theirs = LPS @ wrapper_from_data(data).affine  # voxel (row, column, 0)
        np.testing.assert_allclose(header.affine @ (3, 2, number, 1), theirs @ (2, 3, 0, 1), atol=1e-5)


def test_tiff_pages_agree_with_pillow(real_data):
    for name in ("img3d.tif", "mask3d.tif"):
        path = real_data / "stardist_samples" / "data_images" / name
        assert is_stack(path)
        assert stack_header(path).shape == (31, 61, 57, 1)
        with Image.open(path) as image:
            for number in range(31):
                image.seek(number)
                np.testing.assert_array_equal(read_page(path, number)[..., 0], np.asarray(image))
    assert not is_stack(real_data / "stardist_samples" / "data_images" / "img2d.tif")


def test_slices_of_a_real_stack_of_pictures(real_data, tmp_path):
    files = sorted((real_data / "isbi2012_membrane" / "train" / "image").glob("*.png"), key=lambda file: int(file.stem))
    slices = [Image.open(file) for file in files[:6]]
    slices[0].save(tmp_path / "a.tif", save_all=True, append_images=slices[1:], compression="tiff_lzw")
    volume = read_volume(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.pixels[..., 0], np.stack([np.asarray(image) for image in slices]))


def test_windows_agree_with_gdal(real_data, tmp_path):
    with Image.open(real_data / "stardist_samples" / "data_images" / "histo.jpg") as image:
        pixels = np.asarray(image.convert("RGB"))
    profile = {"driver": "GTiff", "height": pixels.shape[0], "width": pixels.shape[1], "count": 3, "dtype": "uint8"}
    options = {"tiled": True, "blockxsize": 128, "blockysize": 128, "photometric": "rgb"}
    transform = rasterio.Affine(0.5, 0, 10, 0, -0.5, 20)
    for compress in ("lzw", "deflate", "zstd", "jpeg"):
        path = tmp_path / f"{compress}.tif"
        with rasterio.open(
            path, "w", transform=transform, crs="EPSG:32632", compress=compress, **profile, **options
        ) as tiff:
            tiff.write(pixels.transpose(2, 0, 1))
        with rasterio.open(path) as tiff, open_windows(path) as read:
            for top, left in ((0, 0), (100, 130), (pixels.shape[0] - 60, pixels.shape[1] - 70)):
                theirs = tiff.read(window=Window(left, top, 70, 60)).transpose(1, 2, 0)
                np.testing.assert_array_equal(read(top, left, 60, 70), theirs)
        if compress != "jpeg":
            np.testing.assert_array_equal(read_window(path, 5, 6, 200, 150), pixels[5:205, 6:156])
