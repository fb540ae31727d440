"""A SLURM cluster of this machine, and a small project whose local run tells what must come of it there."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from maskmill.files import sha256_file
from tests.cluster.slurm import NODES, Slurm, missing, wait_for
from tests.workflow.conftest import TINY, Project, make_project

CONFIG = TINY | {
    "demo": {"groups": 5, "scenes_per_group": 1, "size": 128, "seed": 0},
    "train": TINY["train"] | {"epochs": 40},
    "experiments": {"baseline": {}},
}
"""Enough epochs for a training to be hit in the middle."""

# what docs/reproducibility.md calls stable
STABLE = (
    "labels", "cache", "splits.csv", "fingerprint.json",
    *(f"runs/baseline/fold0-seed0/{name}" for name in (
        "model.safetensors", "operating_point.json", "probabilities", "masks", "metrics",
    )),
    "experiments/baseline/export/model.onnx", "experiments/baseline/bundle/model.onnx",
    "experiments/baseline/bundle/model.safetensors",
)  # fmt: skip
MODEL = "results/tiny/runs/baseline/fold0-seed0/model.safetensors"
LOG = "logs/tiny/train_model/baseline/fold0-seed0.log"

QUICK = (
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1",
    "--seconds-between-status-checks", "1", "--max-status-checks-per-second", "1", "--latency-wait", "15",
    "--cores", "2", "--max-threads", "2",
)  # fmt: skip
"""The test's cluster has two cores, no accounts and no network file system, and minutes count."""


@dataclass(frozen=True)
class ClusterProject(Project):
    """A project that runs through sbatch, by the profile that ships."""

    def command(self, *arguments: str) -> list[str]:
        """A Snakemake command line on this project's config."""
        given = ["--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml", *QUICK, *arguments]
        return [sys.executable, "-m", "snakemake", *given]

    def start(self, *arguments: str) -> subprocess.Popen:
        """Snakemake in a process group of its own, its output in the file snakemake.out."""
        with (self.folder / "snakemake.out").open("ab") as output:
            return subprocess.Popen(
                self.command(*arguments), cwd=self.folder, env=os.environ | {"PYTHONPATH": str(self.folder)},
                start_new_session=True, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def said(self) -> str:
        """What Snakemake said since `start`."""
        return (self.folder / "snakemake.out").read_text(encoding="utf-8")

    def epochs(self) -> list[int]:
        """Epochs that the training's log tells of."""
        log = self.folder / LOG
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return [int(number) for number in re.findall(r" epoch (\d+) of \d+: ", text)]


def digests(project: Project) -> dict[str, str]:
    """SHA-256 of every artifact that is promised to be stable."""
    roots = [project.results / name for name in STABLE]
    files = [file for root in roots for file in ([root] if root.is_file() else sorted(root.rglob("*.*")))]
    return {
        str(file.relative_to(project.results)): sha256_file(file)
        for file in files
        if file.is_file() and file.name != ".snakemake_timestamp"
    }


def untrained_copy(project: Project, folder: Path) -> ClusterProject:
    """A copy of a project without what its training made."""
    copy = ClusterProject(shutil.copytree(project.folder, folder, symlinks=True))
    shutil.rmtree(copy.results / "runs")
    (folder / LOG).unlink()
    return copy


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The cluster, for the whole session; skips where there cannot be one."""
    reason = missing()
    if not reason and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        reason = "Snakemake's SLURM plugin is missing; pip install -r requirements/slurm.txt"
    if reason:
        pytest.skip(reason)
    cluster = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def slurm(cluster):
    """The cluster, without jobs before and after a test."""
    yield cluster
    cluster.cancel_all()
    for node in NODES:
        if cluster.node_state(node).startswith(("drain", "down")):
            cluster.set_node("RESUME", node)
    wait_for(cluster.is_up, 30)


@pytest.fixture(scope="session")
def local(tmp_path_factory) -> Project:
    """A project whose whole DAG has run on this machine, without SLURM."""
    project = make_project(tmp_path_factory.mktemp("local") / "project", CONFIG)
    project.snakemake()
    return project


@pytest.fixture
def untrained(local, tmp_path) -> ClusterProject:
    """A copy of the finished project, of which only the training is left to do."""
    return untrained_copy(local, tmp_path / "project")


@pytest.fixture
def running(slurm):
    """Start a project's Snakemake; what is left of it is killed at the end."""
    started = []

    def start(project: ClusterProject, *arguments: str) -> subprocess.Popen:
        started.append(project.start(*arguments))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
