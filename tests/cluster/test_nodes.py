"""One training on two nodes: the bytes of two processes on one node, whatever happens to a node."""

import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from maskmill.files import sha256_file
from tests.cluster.conftest import CONFIG, LOG, MODEL, ClusterProject, untrained_copy
from tests.cluster.slurm import wait_for
from tests.workflow.conftest import Project, make_project

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

PAIR = CONFIG | {"train": CONFIG["train"] | {"batch_size": 2, "devices": 2}}
SPREAD = PAIR | {"train": PAIR["train"] | {"devices": 1, "nodes": 2}}
BOTH = ("--set-resources", "train_model:slurm_partition=both", "train_model:gres=gpu:1", "--", MODEL)


@pytest.fixture(scope="module")
def one_node(tmp_path_factory) -> Project:
    """A project whose training took two processes on this machine, without SLURM."""
    project = make_project(tmp_path_factory.mktemp("one_node") / "project", PAIR)
    project.snakemake("--", MODEL)
    return project


@pytest.fixture
def spread(one_node, tmp_path) -> ClusterProject:
    """A copy of it, to be trained on two nodes."""
    project = untrained_copy(one_node, tmp_path / "project")
    project.write_config(SPREAD)
    return project


def processes_on(node: str) -> list[int]:
    """Numbers of the processes that train there beside the leading one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:  # it has ended
            continue
        if b"assist()" in command and f"SLURMD_NODENAME={node}".encode() in environment.split(b"\0"):
            found.append(int(folder.name))
    return found


def in_the_middle(slurm, project) -> str:
    """Number of the job that trains, once it is in the middle."""
    wait_for(lambda: max(project.epochs(), default=0) >= 3, 120)
    (job,) = slurm.jobs("RUNNING", "train_model")
    return job


def check_end(process, project, one_node) -> None:
    """The run ends well, with the weights of the undisturbed one on one node."""
    assert process.wait(360) == 0, project.said()  # SLURM waits two minutes before it starts a lost job again
    assert sha256_file(project.folder / MODEL) == sha256_file(one_node.folder / MODEL)
    assert not processes_on("node2")


def test_two_nodes_give_the_bytes_of_one(slurm, one_node, spread, running):
    process = running(spread, *BOTH)
    job = slurm.show(in_the_middle(slurm, spread))

    assert (job["NumNodes"], job["NodeList"], job["NumTasks"], job["CPUs/Task"]) == ("2", "node[1-2]", "2", "1")
    assert job["TresPerNode"] == "gres:gpu:1"
    assert len(processes_on("node2")) == 1
    assert not processes_on("node1")
    check_end(process, spread, one_node)
    assert spread.epochs() == list(range(1, 41))


def test_a_process_killed_on_the_other_node_ends_the_job_which_goes_on(slurm, one_node, spread, running):
    process = running(spread, *BOTH)
    job = in_the_middle(slurm, spread)
    (other,) = processes_on("node2")
    os.kill(other, signal.SIGKILL)
    wait_for(lambda: slurm.show(job)["JobState"] == "FAILED", 60)

    check_end(process, spread, one_node)
    assert re.search("the process of device 0 of node node2 failed: it was killed", spread.said())
    assert 1 not in spread.epochs()


def test_the_other_node_lost_puts_the_job_back_into_the_queue(slurm, one_node, spread, running):
    process = running(spread, *BOTH)
    job = in_the_middle(slurm, spread)
    for state in ("DRAIN", "DOWN"):  # down alone it would come back by itself
        slurm.set_node(state, "node2")
    wait_for(lambda: slurm.show(job)["JobState"] == "PENDING", 60)
    wait_for(lambda: not processes_on("node2"), 60)
    slurm.set_node("RESUME", "node2")

    check_end(process, spread, one_node)
    shown = slurm.show(job)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1")
    assert 1 not in spread.epochs()


def test_snakemake_itself_may_be_a_job_of_two_nodes(slurm, one_node, spread):
    command = shlex.join(Project(spread.folder).command("--", MODEL))
    log = spread.folder / "batch.log"
    asked = ("--partition=both", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--mem=4000")
    environment = f"--export=ALL,PYTHONPATH={spread.folder}"

    job = slurm.run(
        "sbatch", "--parsable", *asked, environment, f"--chdir={spread.folder}", f"--output={log}", f"--wrap={command}"
    ).strip()  # fmt: skip

    wait_for(lambda: slurm.show(job)["JobState"] not in ("PENDING", "RUNNING"), 180)
    assert slurm.show(job)["JobState"] == "COMPLETED", log.read_text()
    assert sha256_file(spread.folder / MODEL) == sha256_file(one_node.folder / MODEL)


def test_a_job_with_one_node_too_few_says_so(slurm, spread, running):
    process = running(
        spread, "--retries", "0", "--set-resources", "train_model:nodes=1", "train_model:tasks=1", "--", MODEL
    )

    assert process.wait(120) == 1
    assert re.search(r"train\.nodes is 2, but SLURM's job \d+ has 1: node1", (spread.folder / LOG).read_text())
