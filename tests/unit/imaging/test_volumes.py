"""Volumes and stacks are read with the axes, values and geometry of their files, whole and slice by slice."""

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskmill.imaging import volumes
from maskmill.imaging.images import ImageError, image_header, read_image
from maskmill.imaging.nifti import NiftiStack
from maskmill.imaging.volumes import (
    forget_stack,
    read_label_volume,
    read_page,
    read_volume,
    stack_files,
    stack_header,
    write_label_volume,
)
from tests.unit.volume_data import (
    OBLIQUE,
    assert_reads_stack,
    save_lzw,
    turned_affine,
    write_nifti,
    write_series,
)

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 65535, (6, 20, 30), dtype=np.uint16)
COLOURS = RNG.integers(0, 255, (6, 20, 30, 3), dtype=np.uint8)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=st.sampled_from(["u1", "i2", ">i2", "u2", "i4", "f4", ">f8"]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=4, max_side=5))
    ),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
)
def test_nifti_axes_are_slices_rows_and_columns(tmp_path, array, suffix):
    array = np.nan_to_num(array)
    path = write_nifti(tmp_path / f"{len(list(tmp_path.iterdir()))}{suffix}", array)
    columns, rows, depth, channels = array.shape + (1,) * (4 - array.ndim)
    expected = array.reshape(columns, rows, depth, channels).transpose(2, 1, 0, 3)
    assert_reads_stack(path, expected.astype(array.dtype.newbyteorder("=")))


def test_a_voxel_keeps_its_place(tmp_path):
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, 2, 3] = 7
    volume = read_volume(write_nifti(tmp_path / "a.nii.gz", array, OBLIQUE))
    (slice_, row, column), value = np.argwhere(volume.pixels[..., 0])[0], volume.pixels.max()
    assert value == 7
    np.testing.assert_allclose(volume.affine @ (column, row, slice_, 1), OBLIQUE @ (1, 2, 3, 1), rtol=1e-6)
    np.testing.assert_allclose(volume.spacing, np.linalg.norm(OBLIQUE[:3, :3], axis=0)[::-1], rtol=1e-6)


def test_scaled_integers_become_floats(tmp_path):
    array = RNG.integers(-999, 999, (4, 5, 6), dtype=np.int16)
    path = write_nifti(tmp_path / "a.nii", array)
    image = nibabel.load(path)
    image = nibabel.Nifti1Image(array * 0.25 - 3, image.affine)
    image.header.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "b.nii.gz")
    slope, intercept = (
        nibabel.load(tmp_path / "b.nii.gz").dataobj.slope,
        nibabel.load(tmp_path / "b.nii.gz").dataobj.inter,
    )
    assert (slope, intercept) != (1, 0)
    expected = nibabel.load(tmp_path / "b.nii.gz").get_fdata().astype(np.float32).transpose(2, 1, 0)
    assert_reads_stack(tmp_path / "b.nii.gz", expected)


def test_colours_of_nifti_are_channels(tmp_path):
    voxels = COLOURS.transpose(2, 1, 0, 3).copy()
    stored = voxels.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    assert_reads_stack(write_nifti(tmp_path / "a.nii.gz", stored), COLOURS)


@pytest.mark.parametrize(("code", "unit"), [("mm", "mm"), ("micron", "µm"), ("meter", "m"), ("unknown", "mm")])
def test_units_of_nifti(tmp_path, code, unit):
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.uint8), np.diag([0.5, 1, 2, 1]))
    image.header.set_xyzt_units(code)
    nibabel.save(image, tmp_path / "a.nii")
    header = stack_header(tmp_path / "a.nii")
    assert (header.spacing, header.unit) == ((2, 1, 0.5), unit)


def cut(path, kept=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])


def write_nan_affine(path):
    write_nifti(path, STACK)
    content = bytearray(path.read_bytes())
    content[280:284] = np.float32(np.nan).tobytes()  # srow_x
    path.write_bytes(content)


def write_zero_axis(path):
    write_nifti(path, STACK)
    content = bytearray(path.read_bytes())
    content[42:44] = b"\0\0"  # dim[1]
    path.write_bytes(content)


BAD_STACKS = {
    "missing": ("a.nii.gz", lambda path: None, "there is no such file"),
    "no nifti": ("a.nii", lambda path: path.write_bytes(b"no volume" * 99), "no NIfTI file that can be read"),
    "not packed": ("a.nii.gz", lambda path: path.write_bytes(b"no volume" * 99), "it is "),
    "empty": ("a.nii", lambda path: path.write_bytes(b""), "it is"),
    "cut": ("a.nii", lambda path: cut(write_nifti(path, STACK)), "it is damaged"),
    "cut, packed": ("a.nii.gz", lambda path: cut(write_nifti(path, STACK)), "it is damaged"),
    "no voxels": ("a.nii", write_zero_axis, "it has no voxels"),
    "affine": ("a.nii", write_nan_affine, "no valid affine"),
    "time series": ("a.nii", lambda path: write_nifti(path, np.zeros((2, 3, 4, 17), np.uint8)), "at most 16 channels"),
    "five axes": ("a.nii", lambda path: write_nifti(path, np.zeros((2, 3, 4, 2, 3), np.uint8)), "three axes and one"),
    "complex": ("a.nii", lambda path: write_nifti(path, STACK.astype(np.complex64)), "complex64; save them as"),
    "colour channels": (
        "a.nii",
        lambda path: write_nifti(path, np.zeros((2, 3, 4, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])),
        "three axes and one",
    ),
    "axes": (
        "a.tif",
        lambda path: tifffile.imwrite(path, STACK.reshape(3, 2, 20, 30), ome=True, metadata={"axes": "TZYX"}),
        "it has 3 T × 2 Z where a stack has one axis",
    ),
    "turned": (
        "a.tif",
        lambda path: tifffile.imwrite(path, STACK, metadata=None, extratags=[(274, 3, 1, 6, True)]),
        "pages are turned",
    ),
    "cut pages": (
        "a.tif",
        lambda path: (tifffile.imwrite(path, STACK, photometric="minisblack"), cut(path, 0.99)),
        "list of pages breaks off behind the page 5",
    ),
    "cut pixels": (
        "a.tif",
        lambda path: (save_lzw(path, COLOURS), cut(path, 0.5)),
        "it is damaged",
    ),
    "folder": ("a", lambda path: path.mkdir(), "it is no"),
    "text": ("a.tif", lambda path: path.write_text("no stack"), "no stack of slices"),
}


@pytest.mark.parametrize(("name", "write", "message"), BAD_STACKS.values(), ids=BAD_STACKS)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_read_says_why(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(ImageError, match=message):
        read_volume(tmp_path / name)
    with pytest.raises(ImageError, match=message):
        read_page(tmp_path / name, 1)


def test_a_volume_too_large_to_unpack_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("maskmill.imaging.nifti.MAX_PIXELS", 100)
    write_nifti(tmp_path / "a.nii", STACK)
    write_nifti(tmp_path / "a.nii.gz", STACK)
    assert stack_header(tmp_path / "a.nii").depth == 30
    with pytest.raises(ImageError, match=r"3,600 voxels, more than the 100.*unpack it to \.nii"):
        stack_header(tmp_path / "a.nii.gz")


def test_a_slice_that_is_not_there(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", STACK)
    for read in (read_image, image_header):
        with pytest.raises(ImageError, match=r"a\.nii\.gz#page=30: the stack has the slices 0 to 29"):
            read(f"{path}#page=30")
    with pytest.raises(ImageError, match=r"it is a volume"):
        read_image(path)


@pytest.fixture
def decoded(monkeypatch):
    """The volumes that were decoded, in order."""
    seen, stored = [], NiftiStack._stored
    monkeypatch.setattr(NiftiStack, "_stored", lambda stack: seen.append(stack) or stored(stack))
    return seen


def test_slices_of_packed_volumes_read_in_turn_are_decoded_once(tmp_path, decoded):
    paths = [write_nifti(tmp_path / f"{name}.nii.gz", STACK) for name in "ab"]
    for number in range(30):
        for path in paths:
            read_page(path, number)
    assert len(decoded) == 2


def test_few_bytes_are_kept(tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(volumes, "_KEPT_BYTES", 2 * STACK.nbytes)
    paths = [write_nifti(tmp_path / f"{name}.nii.gz", STACK) for name in "abc"]
    for path in paths:
        read_page(path, 0)
    assert sum(stack.kept for stack in volumes._OPEN.values()) <= 2 * STACK.nbytes
    read_page(paths[2], 1)
    assert len(decoded) == 3
    read_page(paths[0], 1)
    assert len(decoded) == 4


def test_slices_are_read_by_several_threads(tmp_path, decoded):
    arrays = [RNG.integers(0, 99, (20, 30, 8), dtype=np.uint8) for _ in range(3)]
    paths = [write_nifti(tmp_path / f"{number}.nii.gz", array) for number, array in enumerate(arrays)]
    barrier = threading.Barrier(4)

    def read(worker):
        barrier.wait()
        return [read_page(paths[(number + worker) % 3], number // 3) for number in range(24)]

    with ThreadPoolExecutor(4) as pool:
        for worker, pages in enumerate(pool.map(read, range(4))):
            for number, page in enumerate(pages):
                np.testing.assert_array_equal(page[..., 0], arrays[(number + worker) % 3][:, :, number // 3].T)


def test_a_changed_volume_is_read_anew(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", STACK)
    read_page(path, 0)
    write_nifti(path, STACK[:, :, :5] + 1)
    assert stack_header(path).depth == 5
    np.testing.assert_array_equal(read_page(path, 4)[..., 0], (STACK[:, :, 4] + 1).T)


def geometry(path):
    image = nibabel.load(path)
    header = image.header
    return (
        image.affine.tolist(),
        header.get_qform(),
        header.get_sform(),
        (int(header["qform_code"]), int(header["sform_code"])),
        header.get_zooms()[:3],
        header.get_xyzt_units()[0],
        nibabel.aff2axcodes(image.affine),
    )


def write_geometry(path, affine, qform, sform, image=nibabel.Nifti1Image, array=STACK):
    made = image(array, None)
    made.header.set_zooms((0.7, 0.8, 2.5))
    made.header.set_xyzt_units("micron")
    if qform:
        made.header.set_qform(affine, qform)
    if sform:
        made.header.set_sform(affine, sform)
    nibabel.save(made, path)
    return path


GEOMETRIES = {
    "both": (turned_affine(), 1, 1),
    "turned, qform alone": (turned_affine(), 1, 0),
    "sheared, sform alone": (OBLIQUE, 0, 2),
    "mirrored": (turned_affine() @ np.diag([-1, 1, 1, 1]), 1, 4),
    "none": (None, 0, 0),
}


@pytest.mark.parametrize(("affine", "qform", "sform"), GEOMETRIES.values(), ids=GEOMETRIES)
@pytest.mark.parametrize("image", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_labels_lie_exactly_where_their_volume_does(tmp_path, affine, qform, sform, image, suffix):
    source = write_geometry(tmp_path / f"a{suffix}", affine, qform, sform, image)
    labels = (STACK.transpose(2, 1, 0) % 3).astype(np.uint8)
    write_label_volume(tmp_path / "labels" / "a.nii.gz", labels, source)
    np.testing.assert_array_equal(read_label_volume(tmp_path / "labels" / "a.nii.gz"), labels)
    np.testing.assert_array_equal(np.asarray(nibabel.load(tmp_path / "labels" / "a.nii.gz").dataobj), STACK % 3)
    for ours, theirs in zip(geometry(tmp_path / "labels" / "a.nii.gz"), geometry(source), strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_labels_of_a_series_and_of_a_microscopy_stack_have_their_geometry(tmp_path):
    affine = turned_affine()
    write_series(tmp_path / "series", STACK, affine)
    labels = (STACK % 3).astype(np.uint8)
    write_label_volume(tmp_path / "s.nii.gz", labels, tmp_path / "series")
    written = nibabel.load(tmp_path / "s.nii.gz")
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    np.testing.assert_allclose(written.header.get_qform(), affine, atol=1e-5)
    assert written.header.get_xyzt_units()[0] == "mm"
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 2, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    tifffile.imwrite(tmp_path / "m.tif", STACK, ome=True, metadata=metadata)
    write_label_volume(tmp_path / "m.nii.gz", labels, tmp_path / "m.tif")
    written = nibabel.load(tmp_path / "m.nii.gz")
    assert written.header.get_zooms() == (0.25, 0.5, 2)
    assert written.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_array_equal(read_label_volume(tmp_path / "m.nii.gz"), labels)


def test_equal_labels_give_equal_bytes_without_name_or_time(tmp_path, monkeypatch):
    source = write_nifti(tmp_path / "source.nii", STACK, descrip=b"of a patient")
    labels = np.zeros((30, 20, 6), np.uint8)
    write_label_volume(tmp_path / "a.nii.gz", labels, source)
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_label_volume(tmp_path / "other.nii.gz", labels, source)
    content = (tmp_path / "a.nii.gz").read_bytes()
    assert content == (tmp_path / "other.nii.gz").read_bytes()
    assert content[3:8] == b"\0" * 5  # no flags, hence no name; no time
    assert b"patient" not in gzip.decompress(content)


def test_labels_of_another_size_or_type_are_refused(tmp_path):
    source = write_nifti(tmp_path / "source.nii", STACK)
    for labels in (np.zeros((6, 20, 30), np.uint8), np.zeros((30, 20, 6), np.int64)):
        with pytest.raises(ValueError, match=r"labels must be uint8 \(30, 20, 6\)"):
            write_label_volume(tmp_path / "a.nii.gz", labels, source)
    with pytest.raises(ImageError, match=r"1 × uint16 a voxel where a class index"):
        read_label_volume(source)


def test_the_file_of_a_stack(tmp_path):
    assert stack_files(tmp_path / "a.nii") == [tmp_path / "a.nii"]


def test_a_stack_is_forgotten_and_the_others_kept(tmp_path):
    paths = [write_nifti(tmp_path / name, STACK) for name in ("a.nii.gz", "b.nii.gz")]
    for path in paths:
        read_page(path, 0)

    forget_stack(paths[0])
    forget_stack(tmp_path / "never read.nii.gz")

    kept = {path for path, _ in volumes._OPEN}
    assert str(paths[0]) not in kept
    assert str(paths[1]) in kept
