"""Batch segmentation through sbatch."""

import os
import shutil
import time

import pytest

from maskmill.files import read_table, sha256_file
from tests.cluster.conftest import ClusterProject
from tests.cluster.slurm import wait_for
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


# of the option and output that the plugin asks for; like sacct, it fails while nobody answers
SACCT = """#!/bin/sh
exec squeue --noheader --states=all --format="%i|%T"
"""


def test_a_controller_that_does_not_answer_for_long_delays_the_run(slurm, local, tmp_path, running, monkeypatch):
    project = ClusterProject(make_archive(tmp_path / "project", local).folder)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sacct").write_text(SACCT, encoding="utf-8")
    (tmp_path / "bin/sacct").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    blocker = slurm.run("sbatch", "--parsable", "--exclusive", "--output=/dev/null", "--wrap", "sleep 600").strip()
    # one job in the queue at a time: what would be submitted meanwhile fails
    process = running(project, "--slurm-status-command", "sacct", "--jobs", "1", "--", "segment")
    wait_for(lambda: slurm.jobs("PENDING", "segment_images"), 60)
    slurm.stop_controller()
    time.sleep(65)  # by default the plugin asks five times, of which each takes some 9 seconds
    assert process.poll() is None
    slurm.start_controller()
    slurm.run("scancel", blocker)

    assert process.wait(300) == 0, project.said()
    masks, failed = segmented(project)
    assert len(masks) == 5
    assert len(failed) == 1
