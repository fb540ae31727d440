"""A run that is disturbed and started again ends in the artifacts of one that was not."""

import random
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from tests.workflow.chaos import DisturbedRun, Kill, artifacts, random_kills, registered, tracked, unlock
from tests.workflow.conftest import TINY, Project, make_project
from tests.workflow.disks import fill, read_only, small_disk

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
    """File by file the same artifacts, one run and one model of MLflow; then there is nothing more to do."""
    expected, found = artifacts(undisturbed.folder / "results"), artifacts(project.folder / "results")
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    assert artifacts(project.folder / "resources") == artifacts(undisturbed.folder / "resources")
    assert tracked(project) == ONE_RUN
    assert registered(project) == 1
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


SHORT = TINY | {"train": TINY["train"] | {"workers": 1}, "experiments": {"baseline": {}}}


def test_killed_in_the_cache_in_training_and_while_packing(project, finished):
    project.write_config(SHORT)
    for name in ("cache", "runs/baseline", "experiments/baseline/export", "experiments/baseline/bundle"):
        shutil.rmtree(project.results / name)
    trained_before = tracked(project)
    rng = random.Random(0)

    for kill in (
        Kill("everything", signal.SIGKILL, during="cache_samples"),
        Kill("snakemake", signal.SIGKILL, during="train_model", seconds=2),
        Kill("job", signal.SIGTERM, during="pack_bundle", seconds=0.5),
    ):
        assert DisturbedRun(project).disturb(kill, rng), f"the run ended before {kill}"
        unlock(project)
    project.snakemake()

    expected, found = artifacts(finished.folder / "results"), artifacts(project.folder / "results")
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} <= {
        "tiny/comparison.csv"
    }  # of both experiments
    assert tracked(project) - trained_before == {("baseline/fold0-seed0", "FINISHED", (1, 2)): 1}


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(tmp_path, undisturbed):
    project = make_chaos(tmp_path / "project")
    first = DisturbedRun(project, *TARGETS)
    first.wait_for_jobs(4)

    second = DisturbedRun(project, *TARGETS)

    assert second.end() != 0
    assert "Directory cannot be locked" in second.output
    assert "Finished jobid" not in second.output
    assert first.end() == 0, first.output
    assert_equal(project, undisturbed)


@pytest.mark.slow
def test_two_runs_over_the_same_pictures_and_the_same_mlflow_store(tmp_path, undisturbed):
    sources = undisturbed.folder / "resources/tiny"
    config = CONFIG | {
        "dataset": CONFIG["dataset"]
        | {"source": {"format": "labelme", "images": f"{sources}/images", "annotations": f"{sources}/annotations"}},
        "segment": {"images": f"{undisturbed.folder}/new"},
        "tracking": {"uri": f"sqlite:///{tmp_path}/results/mlflow.db", "registry": "tiny"},
    }
    del config["demo"]
    projects = [make_project(tmp_path / name, config) for name in ("one", "two")]

    with read_only(undisturbed.folder):
        runs = [DisturbedRun(project, *TARGETS) for project in projects]
        assert [run.end(580) for run in runs] == [0, 0], "".join(run.output for run in runs)

    one, two = (artifacts(project.folder / "results") for project in projects)
    expected = artifacts(undisturbed.folder / "results")
    assert one == two
    assert one.keys() == expected.keys()
    elsewhere = {name for name in expected if one[name] != expected[name]}
    assert {name for name in elsewhere if not name.endswith(".csv")} == set()  # tables that name the pictures
    assert tracked(Project(tmp_path)) == dict.fromkeys(ONE_RUN, 2)
    assert registered(Project(tmp_path)) == 1


@pytest.mark.slow
def test_a_full_disk_again_and_again(tmp_path, undisturbed):
    rng = random.Random(0)
    with small_disk(tmp_path / "disk"):
        project = make_chaos(tmp_path / "disk/project")
        for jobs in (1, 4, 7, 8, 6, 6):
            left = rng.choice((0, 4096, 16384, 65536))
            print(f"full after {jobs} jobs but for {left} bytes", flush=True)
            run = DisturbedRun(project, *TARGETS)
            run.wait_for_jobs(jobs)
            ballast = fill(tmp_path / "disk", left)
            assert run.end() != 0
            assert "No space left on device" in run.output or "disk is full" in run.output
            ballast.unlink()
            unlock(project)

        project.snakemake("--", *TARGETS)

        assert_equal(project, undisturbed)


@pytest.mark.slow
def test_folders_that_cannot_be_written_for_a_while(tmp_path, undisturbed):
    project = make_chaos(tmp_path / "project")
    training = "results/tiny/runs/baseline/fold0-seed0"
    for name, jobs in ((".snakemake", 3), ("results", 5), ("logs", 5), (training, 0)):
        print(f"{name} read-only after {jobs} jobs", flush=True)
        run, folder = DisturbedRun(project, *TARGETS), project.folder / name
        run.wait_for_jobs(jobs)
        run.wait_for(folder.is_dir)
        with read_only(folder):
            assert run.end() != 0
            assert "Read-only file system" in run.output or "Permission denied" in run.output
            assert DisturbedRun(project, *TARGETS).end() != 0
        unlock(project)

    project.snakemake("--", *TARGETS)

    assert_equal(project, undisturbed)
