"""What rules and profile ask for is what SLURM is asked for, and several processes train in one job."""

import shutil

import pytest

from maskmill.files import sha256_file
from tests.cluster.conftest import CONFIG, MODEL, untrained_copy
from tests.cluster.slurm import wait_for
from tests.workflow.conftest import Project

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

WANTED = ("gpu=2", "slurm_partition=training", "constraint=fast", "runtime=33", "mem_mb=1234")


def test_sbatch_is_asked_for_what_a_rule_is_given(slurm, untrained, running):
    running(untrained, "--set-resources", *(f"train_model:{resource}" for resource in WANTED), "--", MODEL)
    wait_for(lambda: slurm.jobs("RUNNING", "train_model"), 120)

    shown = slurm.show(slurm.jobs("RUNNING", "train_model")[0])
    assert shown["Partition"] == "training"
    assert shown["Features"] == "fast"
    assert shown["TimeLimit"] == "00:33:00"
    assert shown["MinMemoryNode"] == "1234M"
    assert shown["TresPerJob"] == "gres:gpu:2"
    assert shown["NumNodes"] == "1"
    assert "slurm_logs/rule_train_model" in shown["StdOut"]


def test_two_processes_train_in_one_job(slurm, local, tmp_path, running):
    config = CONFIG | {"train": CONFIG["train"] | {"epochs": 4, "devices": 2, "batch_size": 2}}
    alone = Project(shutil.copytree(local.folder, tmp_path / "alone", symlinks=True))
    alone.write_config(config)
    alone.snakemake("--", MODEL)
    together = untrained_copy(alone, tmp_path / "together")
    process = running(together, "--", MODEL)
    wait_for(lambda: slurm.jobs("RUNNING", "train_model"), 120)

    job = slurm.show(slurm.jobs("RUNNING", "train_model")[0])
    assert (job["NumTasks"], job["CPUs/Task"], job["NumNodes"]) == ("1", "2", "1")
    assert process.wait(120) == 0, together.said()
    assert together.epochs() == [1, 2, 3, 4]
    assert sha256_file(together.folder / MODEL) == sha256_file(alone.folder / MODEL)
    assert sha256_file(alone.folder / MODEL) != sha256_file(local.folder / MODEL)
