"""The whole pipeline through sbatch."""

import re

import pytest

from tests.cluster.conftest import CONFIG, ClusterProject, digests
from tests.workflow.conftest import make_project

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_the_whole_pipeline_makes_the_same_bytes_as_without_slurm(slurm, local, tmp_path):
    project = ClusterProject(make_project(tmp_path / "project", CONFIG).folder)
    before = len(slurm.states())

    output = project.snakemake()

    steps = int(re.search(r"(\d+) of \1 steps \(100%\) done", output)[1])
    assert slurm.states()[before:] == ["COMPLETED"] * (steps - 1)  # all but the target itself
    expected = digests(local)
    assert len(expected) > 20
    assert digests(project) == expected
    assert "Nothing to be done" in project.snakemake()
