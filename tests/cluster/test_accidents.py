"""What goes wrong on clusters, each provoked for real: the weights are those of a run that nothing happened to."""

import os
import re
import signal

import pytest

from maskmill.files import sha256_file
from tests.cluster.conftest import MODEL
from tests.cluster.slurm import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def hit_in_the_middle(slurm, project):
    """Number of the job that trains, once it is in the middle."""
    wait_for(lambda: max(project.epochs(), default=0) >= 3, 120)
    (job,) = slurm.jobs("RUNNING", "train_model")
    return job


def check_end(process, project, local):
    """The run ends well, with the weights of the undisturbed one."""
    assert process.wait(240) == 0, project.said()
    assert sha256_file(project.folder / MODEL) == sha256_file(local.folder / MODEL)


def check_went_on(project):
    """The last job of the training went on where another one was."""
    assert project.epochs()
    assert 1 not in project.epochs()


def test_a_cancelled_training_goes_on_in_another_job(slurm, local, untrained, running):
    process = running(untrained, "--", MODEL)
    job = hit_in_the_middle(slurm, untrained)
    slurm.run("scancel", job)

    check_end(process, untrained, local)
    assert slurm.show(job)["JobState"] == "CANCELLED"
    check_went_on(untrained)


def test_a_job_out_of_memory_is_given_more(slurm, local, untrained, running):
    process = running(untrained, "--set-resources", "train_model:mem_mb=attempt*700", "--", MODEL)

    check_end(process, untrained, local)
    first, second = slurm.jobs("all", "train_model")[-2:]
    assert slurm.show(second)["JobState"] == "COMPLETED"
    assert slurm.show(second)["MinMemoryNode"] == "1400M"
    assert slurm.show(first)["MinMemoryNode"] == "700M"
    assert re.search(rf"{first}.* exceeded memory limit", slurm.node_log())


def test_a_drained_node_delays_and_a_dead_one_repeats(slurm, local, untrained, running):
    process = running(untrained, "--", MODEL)
    job = hit_in_the_middle(slurm, untrained)
    slurm.set_node("DRAIN")
    assert slurm.node_state() in ("draining", "drained")
    slurm.set_node("DOWN")
    wait_for(lambda: slurm.show(job)["JobState"] == "PENDING", 60)
    assert process.poll() is None
    slurm.set_node("RESUME")

    check_end(process, untrained, local)
    shown = slurm.show(job)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1")
    check_went_on(untrained)


def test_snakemake_killed_while_its_jobs_live_on(slurm, local, untrained, running):
    process = running(untrained, "--", MODEL)
    job = hit_in_the_middle(slurm, untrained)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert slurm.show(job)["JobState"] == "RUNNING"

    untrained.snakemake("--unlock")
    check_end(running(untrained, "--", MODEL), untrained, local)
    jobs = {job, slurm.jobs("all", "train_model")[-1]}  # the older one may end a little after the run
    wait_for(lambda: [slurm.show(number)["JobState"] for number in jobs] == ["COMPLETED"] * len(jobs), 60)
