"""Batch segmentation and `maskmill predict` give the same bytes, within the gate of the evaluated masks."""

import shutil

import numpy as np

from maskmill.cli import main
from maskmill.files import read_table
from maskmill.imaging.images import read_label_png
from maskmill.imaging.volumes import read_label_volume, stack_header
from tests.unit.volume_data import turned_affine, write_nifti, write_series


def test_predict_equals_batch_segmentation_and_the_evaluated_masks(project, tmp_path):
    images = project.folder / "resources/tiny/images"
    project.snakemake("--config", f"segment={{images: {images}}}", "--", "segment")

    bundle = project.results / "experiments/baseline/bundle"
    assert main(["predict", str(bundle), str(images), "-o", str(tmp_path / "masks"), "--uncertainty"]) == 0

    listed = project.results / "segmented/uncertainty.csv"
    assert listed.read_bytes() == (tmp_path / "masks/uncertainty.csv").read_bytes()
    assert len(read_table(listed)) == 10
    assert read_table(project.results / "segmented/failed.csv") == []
    masks = project.results / "segmented/masks"
    segmented = {path.relative_to(masks).as_posix(): path for path in masks.rglob("*.png")}
    assert len(segmented) == 10
    for name, path in segmented.items():
        assert path.read_bytes() == (tmp_path / "masks" / name).read_bytes()
    evaluated = project.results / "runs/baseline/fold0-seed0/masks/test"
    for path in evaluated.rglob("*.png"):
        mask = read_label_png(segmented[path.relative_to(evaluated).as_posix()])
        assert np.mean(mask != read_label_png(path)) <= 1e-4


def test_volumes_are_segmented_slice_by_slice_where_they_are(project, tmp_path):
    pixels, affine = np.random.default_rng(0).integers(0, 256, (5, 40, 36)).astype(np.uint8), turned_affine()
    (project.folder / "scans").mkdir()
    write_nifti(project.folder / "scans/mr.nii.gz", pixels.transpose(2, 1, 0), affine)
    write_series(project.folder / "scans/patient/ct", pixels, affine)

    project.snakemake("--config", "segment={images: scans}", "--", "segment")

    bundle = project.results / "experiments/baseline/bundle"
    assert main(["predict", str(bundle), str(project.folder / "scans"), "-o", str(tmp_path)]) == 0
    made = {path.name: path for path in (project.results / "segmented/masks").rglob("*.nii.gz")}
    assert set(made) == {"mr.nii.gz", "ct.nii.gz"}
    for path in (tmp_path / "mr.nii.gz", tmp_path / "patient/ct.nii.gz"):
        assert path.read_bytes() == made[path.name].read_bytes()
        np.testing.assert_allclose(stack_header(path).affine, affine, atol=1e-5)
    np.testing.assert_array_equal(*(read_label_volume(path) for path in made.values()))


def test_a_further_picture_is_one_further_shard(project):
    images = project.folder / "archive"
    shutil.copytree(project.folder / "resources/tiny/images", images)
    config = ("--config", "segment={images: archive}", "--", "segment")
    project.snakemake(*config)
    (images / "new.jpg").write_bytes(sorted(images.rglob("*.jpg"))[0].read_bytes())

    output = project.snakemake(*config)

    assert output.count("Segment the new pictures of shard") == 1


def test_without_pictures_the_target_says_what_to_do(project):
    output = project.snakemake("--", "segment", check=False)

    assert "--config 'segment={images: FOLDER}'" in output
