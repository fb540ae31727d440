"""DICOM series become volumes, or say everything that keeps them from it."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from maskmill.imaging.images import ImageError, read_image
from maskmill.imaging.volumes import is_stack, read_page, read_volume, stack_files, stack_header
from tests.unit.volume_data import turned_affine, write_series

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 4000, (6, 5, 7), dtype=np.uint16)


def test_slices_are_sorted_by_place_and_keep_it(tmp_path):
    affine = turned_affine()
    volume = read_volume(write_series(tmp_path, PIXELS, affine))
    np.testing.assert_array_equal(volume.pixels[..., 0], PIXELS)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    np.testing.assert_allclose(volume.spacing, (2.5, 0.8, 0.7), atol=1e-6)
    assert volume.unit == "mm"


def test_a_left_handed_series_is_read_along_its_normal_and_keeps_its_place(tmp_path):
    mirrored = turned_affine() @ np.diag([1, 1, -1, 1])
    volume = read_volume(write_series(tmp_path, PIXELS, mirrored))
    np.testing.assert_array_equal(volume.pixels[..., 0], PIXELS[::-1])
    for number in range(6):
        np.testing.assert_allclose(volume.affine @ (2, 3, number, 1), mirrored @ (2, 3, 5 - number, 1), atol=1e-6)


def test_a_tilted_gantry_shears_the_affine(tmp_path):
    affine = np.eye(4)
    affine[1, 2] = 0.4
    volume = read_volume(write_series(tmp_path, PIXELS, affine))
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)


def test_one_slice_has_the_thickness_as_distance(tmp_path):
    header = stack_header(write_series(tmp_path / "a", PIXELS[:1], SliceThickness="3.5"))
    assert header.shape == (1, 5, 7, 1)
    assert header.spacing == (3.5, 1, 1)
    assert stack_header(write_series(tmp_path / "b", PIXELS[:1], SpacingBetweenSlices="4")).spacing == (4, 1, 1)


@pytest.mark.parametrize(
    ("pixels", "scale", "expected"),
    [
        (PIXELS, (1, 0), PIXELS),
        (PIXELS.astype(np.int16), (1, 0), PIXELS.astype(np.int16)),
        (PIXELS.astype(np.uint8), (1, 0), PIXELS.astype(np.uint8)),
        (PIXELS, (1, -1024), PIXELS.astype(np.int16) - 1024),
        (PIXELS.astype(np.int16), (2, -1024), PIXELS.astype(np.int16) * 2 - 1024),
        (PIXELS + np.uint16(60000), (1, -1024), (PIXELS + 58976.0).astype(np.float32)),
        (PIXELS, (0.5, 10), (PIXELS * 0.5 + 10).astype(np.float32)),
    ],
    ids=["uint16", "int16", "uint8", "hounsfield", "slope", "beyond-int16", "fraction"],
)
def test_values_are_rescaled_and_have_the_type_that_the_header_says(tmp_path, pixels, scale, expected):
    slope, intercept = map(str, scale)
    write_series(tmp_path, pixels, RescaleSlope=slope, RescaleIntercept=intercept)
    values = read_volume(tmp_path).pixels
    assert values.dtype == expected.dtype == stack_header(tmp_path).dtype
    np.testing.assert_array_equal(values[..., 0], expected)


def test_the_scale_of_every_slice_is_its_own(tmp_path):
    def change(number, data):
        data.RescaleSlope, data.RescaleIntercept = str(number + 1), "0"

    values = read_volume(write_series(tmp_path, PIXELS, change=change)).pixels[..., 0]
    np.testing.assert_array_equal(values, PIXELS * np.arange(1, 7)[:, None, None])


def test_one_slice_of_another_scale_among_files_that_are_no_slices(tmp_path):
    """What is read is slope times stored value plus intercept, of every slice its own."""

    def change(number, data):
        data.RescaleSlope, data.RescaleIntercept = ("0.5", "10") if number == 2 else ("1", "-1024")

    write_series(tmp_path, PIXELS, change=change)
    for name in ("notes.txt", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"no slice")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    expected = PIXELS.astype(np.float32) - 1024
    expected[2] = PIXELS[2] * 0.5 + 10
    np.testing.assert_array_equal(read_volume(tmp_path).pixels[..., 0], expected)
    for number in (1, 2):
        np.testing.assert_array_equal(read_page(tmp_path, number)[..., 0], expected[number])


def test_colours_are_channels(tmp_path):
    colours = RNG.integers(0, 255, (3, 4, 6, 3), dtype=np.uint8)
    volume = read_volume(write_series(tmp_path, colours))
    np.testing.assert_array_equal(volume.pixels, colours)


def test_a_slice_is_read_as_a_picture(tmp_path):
    write_series(tmp_path, PIXELS)
    np.testing.assert_array_equal(read_image(f"{tmp_path}#page=4")[..., 0], PIXELS[4])
    with pytest.raises(ImageError, match=r"#page=6: the stack has the slices 0 to 5"):
        read_page(tmp_path, 6)


def test_a_folder_is_a_series_if_it_holds_dicom_files(tmp_path):
    assert not is_stack(tmp_path)
    write_series(tmp_path / "a", PIXELS[:2])
    (tmp_path / "a" / "notes.txt").write_text("no slice")
    (tmp_path / "a" / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    first, second = sorted((tmp_path / "a").glob("*.dcm"))
    first.rename(tmp_path / "a" / "IM0001")
    second.rename(tmp_path / "a" / "1.2.3.4")
    assert is_stack(tmp_path / "a")
    assert [file.name for file in stack_files(tmp_path / "a")] == ["1.2.3.4", "IM0001"]
    np.testing.assert_array_equal(read_volume(tmp_path / "a").pixels[..., 0], PIXELS[:2])


def test_a_changed_series_is_read_anew(tmp_path):
    write_series(tmp_path, PIXELS)
    assert stack_header(tmp_path).depth == 6
    next(tmp_path.glob("*-005.dcm")).unlink()
    assert stack_header(tmp_path).depth == 5


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_bigendian.dcm"])
def test_compressed_and_big_endian_files(tmp_path, name):
    expected = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
    shutil.copy(get_testdata_file(name, download=False), tmp_path / "a.dcm")
    pixels = read_volume(tmp_path).pixels
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels[0, :, :, 0], expected)


def test_computed_tomography_becomes_hounsfield_units(tmp_path):
    shutil.copy(get_testdata_file("CT_small.dcm", download=False), tmp_path / "a.dcm")
    pixels = read_volume(tmp_path).pixels
    assert pixels.dtype == np.int16
    assert pixels.min() < -800


def second_series(number, data):
    if number >= 4:
        data.SeriesInstanceUID = "1.2.4"


def lacking(tag, at=2):
    def change(number, data):
        if number == at:
            del data[tag]

    return change


def setting(at=2, **values):
    def change(number, data):
        if number == at:
            for name, value in values.items():
                setattr(data, name, value)

    return change


def other_size(number, data):
    if number == 1:
        data.Rows, data.PixelData = 4, data.PixelData[: 4 * 7 * 2]


def duplicate_and_gap(number, data):
    data.ImagePositionPatient = ["0", "0", str([0, 1, 1, 2, 3, 5][number])]


BAD_SERIES = {
    "two series": (second_series, r"2 series in one folder: .*1\.2\.3 \(4 files\), 1\.2\.4 \(2 files\); put each"),
    "sizes": (other_size, r"slices of different sizes: .*7 × 4 in 7-001\.dcm"),
    "no pixels": (lacking("PixelData"), r"no pixel data in 4-002\.dcm; take"),
    "no position": (lacking("ImagePositionPatient"), r"no place in space .* in 4-002\.dcm"),
    "turned": (setting(ImageOrientationPatient=["0", "1", "0", "0", "0", "1"]), r"4-002\.dcm lie in another direction"),
    "pixel distance": (setting(PixelSpacing=["2", "2"]), r"4-002\.dcm lie in another direction, or have other pixel"),
    "uneven": (setting(ImagePositionPatient=["0", "0", "2.2"]), r"uneven: 1\.2 mm from .* to 4-002.dcm, 0\.8 mm"),
    "sideways": (setting(ImagePositionPatient=["0", "0.5", "2"]), r"uneven: 1\.118 mm from"),
    "duplicate and gap": (duplicate_and_gap, r"at the same place: 4-002.* and 7-001.*2 mm from .* 1 mm are usual"),
    "frames": (setting(NumberOfFrames=2), r"several frames in 4-002\.dcm; convert"),
    "palette": (setting(PhotometricInterpretation="PALETTE COLOR"), r"need a lookup table in 4-002\.dcm"),
    "bits": (setting(BitsAllocated=1), r"not of 8, 16 or 32 bits in 4-002\.dcm"),
    "short": (setting(PixelData=b"\0\0"), r"4-002\.dcm cannot be decoded"),
    "lacking": (lacking("BitsStored"), r"4-002\.dcm is damaged or no DICOM file \(it lacks BitsStored\)"),
}


@pytest.mark.parametrize(("change", "message"), BAD_SERIES.values(), ids=BAD_SERIES)
def test_what_keeps_a_folder_from_being_a_volume_is_said(tmp_path, change, message):
    write_series(tmp_path, PIXELS, change=change)
    with pytest.raises(ImageError, match=message):
        read_volume(tmp_path)


def test_a_missing_slice_is_found(tmp_path):
    write_series(tmp_path, PIXELS)
    next(tmp_path.glob("*-003.dcm")).unlink()
    with pytest.raises(ImageError, match=r"missing or uneven: 2 mm from 4-002\.dcm to 8-004\.dcm, where 1 mm"):
        stack_header(tmp_path)


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    def change(number, data):
        other_size(number, data)
        setting(2, NumberOfFrames=3)(number, data)
        lacking("PixelData", 3)(number, data)

    write_series(tmp_path, PIXELS, change=change)
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM file")
    with pytest.raises(ImageError, match=r"broken\.dcm is damaged.*no pixel data.*several frames.*different sizes"):
        stack_header(tmp_path)


def test_a_missing_plugin_is_named(tmp_path):
    shutil.copy(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False), tmp_path / "a.dcm")
    with pytest.raises(ImageError, match=r"compressed as JPEG-LS Lossless.*not installed \(.*pyjpegls.*\), in a\.dcm"):
        stack_header(tmp_path)


def test_many_offenders_are_counted(tmp_path):
    write_series(tmp_path, np.repeat(PIXELS, 4, axis=0), NumberOfFrames=2)
    with pytest.raises(ImageError, match=r"several frames in .*-\d+\.dcm and 16 more"):
        stack_header(tmp_path)
