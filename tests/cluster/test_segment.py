"""Batch segmentation through sbatch."""

import shutil

import pytest

from maskmill.files import read_table, sha256_file
from tests.cluster.conftest import ClusterProject
from tests.workflow.conftest import Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

CONFIG = {"segment": {"images": "new", "bundle": "model"}}


def make_archive(folder, local) -> Project:
    """A project that segments the local project's pictures, and one that is broken, with its bundle."""
    project = make_project(folder, CONFIG)
    shutil.copytree(local.results / "experiments/baseline/bundle", folder / "model")
    shutil.copytree(local.folder / "resources/tiny/images", folder / "new")
    (folder / "new/broken.png").write_bytes(b"no picture")
    return project


def segmented(project) -> tuple[dict[str, str], list[dict[str, str]]]:
    """SHA-256 of every mask, and the table of the pictures that failed."""
    (folder,) = project.folder.glob("results/*/segmented")
    masks = {str(file.relative_to(folder)): sha256_file(file) for file in (folder / "masks").rglob("*.png")}
    return masks, read_table(folder / "failed.csv")


def test_shards_through_sbatch_give_the_masks_of_a_run_without_it(slurm, local, tmp_path):
    expected = make_archive(tmp_path / "expected", local)
    expected.snakemake("--", "segment")
    project = ClusterProject(make_archive(tmp_path / "project", local).folder)
    before = len(slurm.states())

    output = project.snakemake("--", "segment")

    assert "1 picture has none" in output
    states = slurm.states()[before:]
    assert states == ["COMPLETED"] * (len(slurm.jobs("all", "segment_images")) + 1)
    assert len(states) > 2
    masks, failed = segmented(project)
    assert (masks, failed) == segmented(expected)
    assert len(masks) == 5
    assert [row["file"].rpartition("/")[2] for row in failed] == ["broken.png"]
    assert "Nothing to be done" in project.snakemake("--", "segment")
