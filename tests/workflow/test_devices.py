"""Two processes that train together when Snakemake starts the training."""

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
