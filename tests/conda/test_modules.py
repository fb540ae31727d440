"""Maskmill as a module of another workflow, its rules in their environments, at paths with blanks and umlauts."""

import sys
from pathlib import Path

import pytest

from tests.conda.stand_in import install
from tests.workflow.conftest import make_project
from tests.workflow.test_module import LIGHT, write_other


@pytest.mark.slow
def test_rules_of_a_module_run_in_their_environments(bare_snakemake, tmp_path):
    project = make_project(tmp_path / "a pröject")
    other = write_other(tmp_path / "an öther", project.folder / "Snakefile", LIGHT)
    conda = install(tmp_path / "conda", Path(sys.executable), "links")

    bare_snakemake(other, "--use-conda", "--", "maskmill_index_samples", conda=conda)

    first = (other / "logs/tiny/index_samples.log").read_text(encoding="utf-8").splitlines()[0]
    assert f" in {other}/.snakemake/conda/" in first
