"""NIfTI label maps: values and geometry are checked against the volume they belong to."""

import nibabel
import numpy as np
import pytest
import tifffile

from maskmill.annotations.formats import LabelOptions, read_annotation
from maskmill.annotations.nifti import read
from maskmill.annotations.shapes import AnnotationError
from tests.unit.volume_data import turned_affine, write_nifti, write_series

SHAPE = (4, 5, 6)
LABELS = np.arange(120, dtype=np.uint8).reshape(SHAPE) % 3
AFFINE = turned_affine()
OPTIONS = LabelOptions(["anterior", "posterior"])


@pytest.fixture
def image(tmp_path):
    return write_nifti(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16), AFFINE)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u2", "f4", ">f8"])
def test_values_are_class_indices(tmp_path, image, dtype):
    path = write_nifti(tmp_path / "a.nii", LABELS.astype(dtype), AFFINE)
    annotation = read(path, image, OPTIONS)
    assert annotation.label_values.dtype == np.uint8
    np.testing.assert_array_equal(annotation.label_values, LABELS.transpose(2, 1, 0))
    assert (annotation.height, annotation.width) == (5, 4)


def test_a_slice_belongs_to_a_slice(tmp_path, image):
    path = write_nifti(tmp_path / "a.nii.gz", LABELS.astype(np.float32), AFFINE)
    annotation = read(f"{path}#page=2", f"{image}#page=2", OPTIONS)
    np.testing.assert_array_equal(annotation.label_values, LABELS[:, :, 2].T)


def test_ignore_is_kept_and_colours_mean_nothing(tmp_path, image):
    labels = LABELS.copy()
    labels[0, 0, 0] = 255
    path = write_nifti(tmp_path / "a.nii", labels, AFFINE)
    options = LabelOptions({"anterior": "#ff0000", "posterior": "#00ff00"}, background=["#000000"])
    assert read(path, image, options).label_values[0, 0, 0] == 255


def test_scaled_labels_are_read_by_their_meaning(tmp_path, image):
    scaled = nibabel.Nifti1Image(LABELS * 2, AFFINE)
    scaled.header.set_slope_inter(0.5, 0)
    scaled.to_filename(tmp_path / "a.nii")
    stored = nibabel.load(tmp_path / "a.nii").dataobj
    assert (stored.slope, stored.inter) == (0.5, 0)
    np.testing.assert_array_equal(
        read(tmp_path / "a.nii", image, OPTIONS).label_values, np.asarray(stored).transpose(2, 1, 0)
    )


def test_formats_reach_the_reader(tmp_path, image):
    path = write_nifti(tmp_path / "a.nii.gz", LABELS, AFFINE)
    row = {"format": "nifti", "annotation": str(path), "entry": "", "image": str(image)}
    np.testing.assert_array_equal(read_annotation(row, OPTIONS).label_values, LABELS.transpose(2, 1, 0))


def test_labels_of_a_series_and_of_a_microscopy_stack(tmp_path):
    affine = np.diag([0.7, 0.8, 2.5, 1])
    write_series(tmp_path / "series", np.zeros(SHAPE[::-1], np.uint16), affine)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(SHAPE[::-1], np.uint16), photometric="minisblack")
    path = write_nifti(tmp_path / "a.nii.gz", LABELS, affine)
    for image in (tmp_path / "series", tmp_path / "a.tif"):
        np.testing.assert_array_equal(read(path, image, OPTIONS).label_values, LABELS.transpose(2, 1, 0))


@pytest.mark.parametrize(("shift", "agrees"), [(0.0004, True), (0.0015, False)])
def test_corners_may_lie_a_thousandth_of_a_millimetre_apart(tmp_path, image, shift, agrees):
    moved = AFFINE.copy()
    moved[0, 3] += shift
    path = write_nifti(tmp_path / "a.nii", LABELS, moved)
    if agrees:
        read(path, image, OPTIONS)
    else:
        with pytest.raises(AnnotationError, match=r"lies elsewhere than its volume, by up to 0\.001\d+ mm"):
            read(path, image, OPTIONS)


def with_value(value, dtype=np.float32):
    labels = LABELS.astype(dtype)
    labels[1, 1, 1] = value
    return labels


def other_place(*moves):
    affine = AFFINE.copy()
    affine[:3, 3] += moves
    return affine


BAD_LABELS = {
    "fraction": (with_value(0.5), AFFINE, ["unexpected_value"], "1 value, none a whole number: 0.5"),
    "nan": (with_value(np.nan), AFFINE, ["unexpected_value"], "none a whole number: nan"),
    "infinite": (with_value(-np.inf), AFFINE, ["unexpected_value"], "none a whole number: -inf"),
    "huge": (with_value(1e20), AFFINE, ["unexpected_value"], r"none a whole number: 1e\+20"),
    "unlisted": (with_value(7), AFFINE, ["unexpected_value"], r"no class index: 7 \(1 px\)"),
    "negative": (with_value(-1, np.int16), AFFINE, ["unexpected_value"], r"no class index: -1"),
    "large": (with_value(300, np.int32), AFFINE, ["unexpected_value"], r"no class index: 300"),
    "black and white": ((LABELS > 0) * np.uint8(255), AFFINE, ["unexpected_value"], "a 0/255 mask"),
    "channels": (np.stack([LABELS, LABELS + 1], axis=-1), AFFINE, ["unexpected_value"], "2 channels of uint8"),
    "size": (LABELS[:, :, :5], AFFINE, ["size_mismatch"], "4 × 5 × 5 voxels, but the volume has 4 × 5 × 6"),
    "moved": (LABELS, other_place(0, 3, 4), ["affine_mismatch"], "by up to 5 mm"),
    "spacing": (LABELS, turned_affine((0.7, 0.8, 2)), ["affine_mismatch"], "0.7 × 0.8 × 2 mm.*0.7 × 0.8 × 2.5 mm"),
    "mirrored": (LABELS, AFFINE @ np.diag([-1, 1, 1, 1]), ["affine_mismatch"], r"\(LAS\).*\(RAS\)"),
    "turned axes": (LABELS, AFFINE[:, [1, 0, 2, 3]], ["affine_mismatch"], r"\(ARS\).*\(RAS\)"),
    "everything": (
        with_value(0.5)[:, :, :5],
        other_place(1, 0, 0),
        ["size_mismatch", "affine_mismatch", "unexpected_value"],
        "whole number",
    ),
}


@pytest.mark.parametrize("name", ["black and white", "unlisted", "channels"])
def test_the_remedy_is_one_for_label_maps(tmp_path, image, name):
    path = write_nifti(tmp_path / "a.nii.gz", *BAD_LABELS[name][:2])
    with pytest.raises(AnnotationError) as error:
        read(path, image, OPTIONS)
    assert error.value.findings[0].remedy.startswith("list all classes in dataset.classes in the order")
    assert "colour" not in error.value.findings[0].remedy


@pytest.mark.parametrize(("labels", "affine", "kinds", "message"), BAD_LABELS.values(), ids=BAD_LABELS)
@pytest.mark.parametrize("page", ["", "#page=1"])
def test_what_does_not_fit_the_volume_is_said(tmp_path, image, labels, affine, kinds, message, page):
    path = write_nifti(tmp_path / "a.nii.gz", labels, affine)
    with pytest.raises(AnnotationError, match=message) as error:
        read(f"{path}{page}", f"{image}{page}", OPTIONS)
    assert [finding.kind for finding in error.value.findings] == kinds
    assert all(finding.remedy for finding in error.value.findings)


def test_broken_and_missing_files(tmp_path, image):
    path = write_nifti(tmp_path / "a.nii.gz", LABELS, AFFINE)
    with pytest.raises(AnnotationError, match="cannot be read: there is no such file") as error:
        read(path, tmp_path / "none.nii.gz", OPTIONS)
    assert error.value.findings[0].kind == "missing_picture"
    path.write_bytes(path.read_bytes()[:100])
    for broken in (path, tmp_path / "none.nii"):
        with pytest.raises(AnnotationError) as error:
            read(broken, image, OPTIONS)
        assert error.value.findings[0].kind == "broken_annotation"


@pytest.mark.real
def test_every_hippocampus_fits_its_volume(real_data):
    folder = real_data / "msd_hippocampus"
    paths = sorted((folder / "labels").glob("*.nii.gz"))
    assert len(paths) == 80
    for path in paths:
        labels = read(path, folder / "images" / path.name, OPTIONS).label_values
        assert set(np.unique(labels)) == {0, 1, 2}
        page = read(f"{path}#page=9", folder / "images" / f"{path.name}#page=9", OPTIONS).label_values
        np.testing.assert_array_equal(page, labels[9])


@pytest.mark.real
def test_a_label_map_on_another_grid_is_refused(real_data):
    folder = real_data / "brain_t1"
    with pytest.raises(AnnotationError) as error:
        read(folder / "v3/data/labels.nii.gz", folder / "public/t1_crop.nii.gz", LabelOptions(["grey", "white"]))
    (finding,) = error.value.findings
    assert finding.kind == "affine_mismatch"
    assert "by up to 17.37 mm" in finding.detail
    assert "(127, -145.5, 147) (LIA), but those of the volume 1 × 1 × 1 mm, (127.6, -133.48, 134.48)" in finding.detail
    assert "resample the label map to the grid of the volume" in finding.remedy
