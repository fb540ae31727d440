"""Batch segmentation and `maskmill predict` give the same bytes, within the gate of the evaluated masks."""

import shutil

import numpy as np

from maskmill.cli import main
from maskmill.files import read_table
from maskmill.images import read_label_png


def test_predict_equals_batch_segmentation_and_the_evaluated_masks(project, tmp_path):
    images = project.folder / "resources/tiny/images"
    project.snakemake("--config", f"segment={{images: {images}}}", "--", "segment")

    bundle = project.results / "experiments/baseline/bundle"
    assert main(["predict", str(bundle), str(images), "-o", str(tmp_path / "masks")]) == 0

    assert read_table(project.results / "segmented/failed.csv") == []
    segmented = {
        path.relative_to(shard).as_posix(): path
        for shard in (project.results / "segmented").iterdir()
        for path in shard.rglob("*.png")
    }
    assert len(segmented) == 10
    for name, path in segmented.items():
        assert path.read_bytes() == (tmp_path / "masks" / name).read_bytes()
    evaluated = project.results / "runs/baseline/fold0-seed0/masks/test"
    for path in evaluated.rglob("*.png"):
        mask = read_label_png(segmented[path.relative_to(evaluated).as_posix()])
        assert np.mean(mask != read_label_png(path)) <= 1e-4


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
