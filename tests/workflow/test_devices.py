"""Processes that train together when Snakemake starts the training."""

import os
import subprocess

import pytest

from tests.workflow.conftest import TINY, make_project

MEMBER = "runs/baseline/fold0-seed0"


@pytest.mark.slow
def test_snakemake_starts_a_training_of_two_processes(tmp_path):
    train = TINY["train"] | {"devices": 2, "batch_size": 2, "workers": 1}
    project = make_project(tmp_path / "project", TINY | {"train": train, "experiments": {"baseline": {}}})
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        project.command("--", f"results/tiny/{MEMBER}/model.safetensors"),
        cwd=project.folder, env=environment, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    log = (project.folder / "logs/tiny/train_model/baseline/fold0-seed0.log").read_text(encoding="utf-8")
    assert "epoch 2 of 2" in log
    assert (project.results / MEMBER / "model.safetensors").exists()


def test_several_nodes_are_refused_before_anything_runs_on_this_machine_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    train = TINY["train"] | {"nodes": 2}
    project = make_project(tmp_path / "project", TINY | {"train": train, "experiments": {"baseline": {}}})

    assert project.planned()["train_model"] == 1
    output = project.snakemake(check=False)
    assert "train.nodes is 2, but this run starts its jobs on this machine alone" in output
    assert not project.results.exists()
    assert not (project.folder / "resources").exists()


def test_what_trains_nothing_runs_on_this_machine_whatever_the_nodes(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    project = make_project(tmp_path / "project", TINY | {"train": TINY["train"] | {"nodes": 2}})

    project.snakemake("--", "results/tiny/samples.csv")
