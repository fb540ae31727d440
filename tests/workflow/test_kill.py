"""A run that is killed and started again ends in the artifacts of one that was not."""

import hashlib
import os
import re
import signal
import subprocess
import time

import pytest

from tests.workflow.conftest import TINY, Project, make_project

STABLE = ("labels", "cache", "splits.csv", "fingerprint.json", "samples.csv")
STABLE_OF_RUNS = ("model.safetensors", "operating_point.json", "masks", "metrics", "probabilities")
CONFIG = TINY | {"train": TINY["train"] | {"epochs": 12}, "experiments": {"baseline": {}}}


def digests(project: Project) -> dict[str, str]:
    """SHA-256 of every artifact that is promised to be stable."""
    results = project.results
    roots = [results / name for name in STABLE]
    roots += [results / "runs/baseline/fold0-seed0" / name for name in STABLE_OF_RUNS]
    roots += [results / "experiments/baseline/export/model.onnx"]
    files = [file for root in roots for file in ([root] if root.is_file() else root.rglob("*.*"))]
    return {
        str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file() and file.name != ".snakemake_timestamp"
    }


def start(project: Project) -> subprocess.Popen:
    """Snakemake in a process group of its own."""
    environment = os.environ | {"PYTHONPATH": str(project.folder)}
    return subprocess.Popen(
        project.command(), cwd=project.folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait_for(condition, seconds=180):
    """Wait until `condition()` holds; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Digests of a run that nobody killed."""
    project = make_project(tmp_path_factory.mktemp("undisturbed") / "project", CONFIG)
    project.snakemake()
    return digests(project)


def training_epochs(project: Project) -> int:
    """Epochs that the training's log has told of."""
    log = project.folder / "logs/tiny/train_model/baseline/fold0-seed0.log"
    return len(re.findall(r" epoch \d+ of \d+: ", log.read_text(encoding="utf-8"))) if log.exists() else 0


@pytest.mark.slow
def test_snakemake_and_the_training_killed_together(tmp_path, undisturbed):
    project = make_project(tmp_path / "project", CONFIG)
    running = start(project)
    wait_for(lambda: training_epochs(project) >= 3)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (project.results / "runs/baseline/fold0-seed0/model.safetensors").exists()

    project.snakemake("--unlock")
    output = project.snakemake()

    assert "epoch 1 of 12" not in output
    assert digests(project) == undisturbed


@pytest.mark.slow
def test_snakemake_killed_alone_while_its_training_goes_on(tmp_path, undisturbed):
    project = make_project(tmp_path / "project", CONFIG)
    running = start(project)
    wait_for(lambda: training_epochs(project) >= 1)
    running.kill()
    running.wait()

    project.snakemake("--unlock")
    project.snakemake()

    assert digests(project) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [4, 12])
def test_killed_at_some_moment(tmp_path, undisturbed, seconds):
    project = make_project(tmp_path / "project", CONFIG)
    running = start(project)
    time.sleep(seconds)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()

    project.snakemake("--unlock")
    project.snakemake()

    assert digests(project) == undisturbed
