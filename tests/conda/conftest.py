"""A host that has Snakemake alone, and a `conda` on its path."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conda.interpreters import make_interpreter, with_requirements


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory) -> Path:
    """A Python with Snakemake, what Snakemake needs, and nothing else."""
    return make_interpreter(tmp_path_factory.mktemp("bare") / "venv", with_requirements(["snakemake"]))


@pytest.fixture
def bare_snakemake(bare_python):
    """Runs Snakemake in a folder, on a host that has nothing else; its output."""

    def run(folder: Path, *arguments: str, conda: Path | None = None, check: bool = True) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        if conda:
            environment["PATH"] = os.pathsep.join([str(conda), environment["PATH"]])
        command = [bare_python, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
        output = done.stdout + done.stderr
        assert done.returncode == 0 or not check, output
        return output

    return run
