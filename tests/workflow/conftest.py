"""A finished run of a tiny project, made once, and copies of it to break."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "maskmill", "config", "envs", "profiles", "requirements")

TINY = {
    "preset": "satellite",
    "demo": {"groups": 5, "scenes_per_group": 2, "size": 128, "seed": 0},
    "dataset": {
        "name": "tiny",
        "source": {
            "format": "labelme",
            "images": "resources/tiny/images",
            "annotations": "resources/tiny/annotations",
        },
        "classes": ["road", "building"],  # not in the order of the alphabet
    },
    "model": {"width": 4, "depth": 2},
    "train": {
        "epochs": 2,
        "batch_size": 4,
        "patch": 64,
        "patches_per_epoch": 16,
        "threads": 1,
        "workers": 0,
        "lr": 0.01,
    },
    "predict": {"tile": 64},
    "experiments": {"baseline": {}, "cbam": {"model": {"attention": "cbam"}}},
}


@dataclass(frozen=True)
class Project:
    """A checkout of the workflow in a folder of its own, with a config file."""

    folder: Path

    @property
    def results(self) -> Path:
        """Folder of the artifacts."""
        return self.folder / "results/tiny"

    def command(self, *arguments: str) -> list[str]:
        """A Snakemake command line on this project's config."""
        return [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "tiny.yaml", *arguments]

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Run Snakemake; its output. AssertionError with that output where it fails and `check` is set."""
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=environment, text=True, capture_output=True, check=False
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0 or not check, output
        return output

    def planned(self, *arguments: str) -> Counter:
        """Rule → number of jobs that a dry run would execute; `all` left out."""
        return planned_jobs(self.snakemake("--dry-run", *arguments))

    def write_config(self, config: dict) -> None:
        """Replace the project's config file."""
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the project, which must hold it."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} not in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")


def planned_jobs(output: str) -> Counter:
    """Jobs in the table "Job stats" of Snakemake's output."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return Counter({rule: int(count) for rule, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.M) if rule != "all"})


def make_project(folder: Path, config: dict = TINY) -> Project:
    """Copy the workflow into `folder` and write its config."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / part)
    project = Project(folder)
    project.write_config(config)
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project whose whole DAG has run. Not to be changed: take `project` for that."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project")
    project.snakemake()
    return project


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A copy of the finished project, times of files kept, to be changed at will."""
    copy = tmp_path / "project"
    shutil.copytree(finished.folder, copy, symlinks=True)
    return Project(copy)
