"""What goes wrong on clusters, each provoked for real: the weights are those of a run that nothing happened to."""

import os
import signal

import pytest

from maskmill.files import sha256_file
from tests.cluster.conftest import MODEL
from tests.cluster.slurm import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

EPOCHS = 30


def in_the_middle(project):
    """Whether the training is."""
    return 3 <= max(project.epochs(), default=0) <= EPOCHS - 5


def check_end(process, project, local):
    """The run ends well, with the weights of the undisturbed one."""
    assert process.wait(240) == 0, project.said()
    assert sha256_file(project.folder / MODEL) == sha256_file(local.folder / MODEL)
    assert project.epochs()[-1] == EPOCHS


def test_a_cancelled_training_goes_on_in_another_job(slurm, local, untrained, running):
    process = running(untrained, "--", MODEL)
    wait_for(lambda: in_the_middle(untrained), 120)
    (job,) = slurm.jobs("RUNNING", "train_model")
    slurm.run("scancel", job)

    check_end(process, untrained, local)
    assert slurm.show(job)["JobState"] == "CANCELLED"
    assert 1 not in untrained.epochs(), "it went on, rather than beginning again"
    assert "Trying to restart job" in untrained.said()


def test_a_job_out_of_memory_is_given_more(slurm, local, untrained, running):
    before = len(slurm.states())
    process = running(untrained, "--set-resources", "train_model:mem_mb='attempt * 350'", "--", MODEL)

    check_end(process, untrained, local)
    states = slurm.states()[before:]
    assert states[-1] == "COMPLETED"
    assert states[0] in ("OUT_OF_MEMORY", "CANCELLED", "FAILED")
    assert f"memory limit ({350 * 2**20}" in slurm.node_log() or "exceeded memory limit" in slurm.node_log()


def test_a_drained_node_delays_and_a_dead_one_repeats(slurm, local, untrained, running):
    process = running(untrained, "--", MODEL)
    wait_for(lambda: in_the_middle(untrained), 120)
    (job,) = slurm.jobs("RUNNING", "train_model")
    slurm.set_node("DRAIN")
    assert slurm.node_state() in ("draining", "drained")
    slurm.set_node("DOWN")
    wait_for(lambda: slurm.show(job)["JobState"] == "PENDING", 60)
    assert process.poll() is None
    slurm.set_node("RESUME")

    check_end(process, untrained, local)
    shown = slurm.show(job)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1")


def test_snakemake_killed_while_its_jobs_live_on(slurm, local, untrained, running):
    process = running(untrained, "--", MODEL)
    wait_for(lambda: in_the_middle(untrained), 120)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert slurm.jobs("RUNNING", "train_model")

    untrained.snakemake("--unlock")
    check_end(running(untrained, "--", MODEL), untrained, local)
    states = [slurm.show(job)["JobState"] for job in slurm.jobs("all", "train_model")[-2:]]
    assert states == ["COMPLETED", "COMPLETED"]
