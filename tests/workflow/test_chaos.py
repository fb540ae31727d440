"""A run that is disturbed and started again ends in the artifacts of one that was not."""

import random

import numpy as np
import pytest
from PIL import Image

from tests.workflow.chaos import DisturbedRun, artifacts, random_kills, tracked, unlock
from tests.workflow.conftest import TINY, Project, make_project

TARGETS = ("all", "segment")
CONFIG = TINY | {
    "demo": {"groups": 5, "scenes_per_group": 1, "size": 128, "seed": 0},
    "train": TINY["train"] | {"epochs": 4, "workers": 1},
    "experiments": {"baseline": {}},
    "segment": {"images": "new"},
    "tracking": {"registry": "tiny"},
}
"""Every stage, in less than a minute on two cores."""

ONE_RUN = {("baseline/fold0-seed0", "FINISHED", (1, 2, 3, 4)): 1}
SESSIONS, KILLS = 5, 4


def make_chaos(folder) -> Project:
    """A project with `CONFIG` and a folder of new pictures."""
    project = make_project(folder, CONFIG)
    (project.folder / "new").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(project.folder / "new/noise.png")
    return project


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nobody disturbed."""
    project = make_chaos(tmp_path_factory.mktemp("undisturbed") / "project")
    project.snakemake("--", *TARGETS)
    assert tracked(project) == ONE_RUN
    return project


def assert_equal(project: Project, undisturbed: Project) -> None:
    """File by file the same artifacts, and one MLflow run; then there is nothing more to do."""
    expected, found = artifacts(undisturbed.folder / "results"), artifacts(project.folder / "results")
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    assert artifacts(project.folder / "resources") == artifacts(undisturbed.folder / "resources")
    assert tracked(project) == ONE_RUN
    assert "Nothing to be done" in project.snakemake("--", *TARGETS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SESSIONS))
def test_killed_at_random_points(tmp_path, undisturbed, seed):
    rng = random.Random(seed)
    project = make_chaos(tmp_path / "project")
    for kill in random_kills(seed, KILLS):
        print(f"seed {seed}: {kill}", flush=True)
        assert DisturbedRun(project, *TARGETS).disturb(kill, rng), "the run ended before"
        unlock(project)

    project.snakemake("--", *TARGETS)

    assert_equal(project, undisturbed)
