"""Maskmill as a module of another workflow, from another folder, and from a path with spaces and umlauts."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from maskmill.provenance.jobs import read_jobs
from tests.workflow.conftest import ROOT, TINY, make_project, planned_jobs

LIGHT = TINY | {"demo": TINY["demo"] | {"scenes_per_group": 1}}

OTHER = """
configfile: "other.yaml"

module maskmill:
    snakefile: {snakefile!r}
    config: config["maskmill"]

use rule * from maskmill as maskmill_*

rule all:
    default_target: True
    input:
        "counted.txt",

rule count:
    input:
        splits="results/tiny/splits.csv",
    output:
        "counted.txt",
    shell:
        "wc -l < {{input.splits:q}} > {{output}}"
"""


def snakemake(folder: Path, *arguments: str, check: bool = True) -> str:
    """Run Snakemake in a folder, without the package on the path; its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0 or not check, output
    return output


def write_other(folder: Path, snakefile: Path, config: dict) -> Path:
    """Another workflow, which uses Maskmill's as a module."""
    folder.mkdir(parents=True)
    (folder / "Snakefile").write_text(OTHER.format(snakefile=str(snakefile)), encoding="utf-8")
    (folder / "other.yaml").write_text(yaml.safe_dump({"maskmill": config}, sort_keys=False), encoding="utf-8")
    return folder


def test_another_workflow_plans_all_of_maskmill(tmp_path):
    other = write_other(tmp_path / "other", ROOT / "Snakefile", TINY)

    planned = planned_jobs(snakemake(other, "--dry-run", "--", "maskmill_all"))

    assert planned["maskmill_train_model"] == 2
    assert planned["maskmill_pack_bundle"] == 2


def test_nothing_of_the_demo_leaks_into_another_workflow(tmp_path):
    config = {"dataset": TINY["dataset"]}
    other = write_other(tmp_path / "other", ROOT / "Snakefile", config)
    (other / "Snakefile").write_text(
        (other / "Snakefile").read_text().replace('configfile: "other.yaml"', f"config['maskmill'] = {config!r}")
    )

    output = snakemake(other, "--dry-run")

    assert planned_jobs(output)["maskmill_index_samples"] == 1
    assert "generate_demo" not in output


def test_another_workflow_changes_single_rules(tmp_path):
    other = write_other(tmp_path / "other", ROOT / "Snakefile", TINY)
    changed = 'use rule {0} from maskmill as maskmill_{0} with:\n    message: "My {0}"\n'
    with open(other / "Snakefile", "a", encoding="utf-8") as snakefile:
        for rule in ("train_model", "cache_samples", "pack_bundle"):  # input functions of theirs ask checkpoints
            snakefile.write(f"\n{changed.format(rule)}")

    output = snakemake(other, "--dry-run", "--", "maskmill_all")

    assert planned_jobs(output)["maskmill_train_model"] == 2
    assert output.count(": My train_model\n") == output.count(": My pack_bundle\n") == 2
    assert "localrules directive" not in output


@pytest.mark.parametrize("moved", ['prefix: "own"', 'pathvars: results="own"', 'replace_prefix: {"results/": "own/"}'])
def test_folders_that_another_workflow_moves_are_refused(tmp_path, moved):
    other = write_other(tmp_path / "other", ROOT / "Snakefile", TINY)
    text = (other / "Snakefile").read_text(encoding="utf-8")
    (other / "Snakefile").write_text(text.replace("    config:", f"    {moved}\n    config:"), encoding="utf-8")

    output = snakemake(other, "--dry-run", check=False)

    assert re.search("Maskmill would write to own\\S* instead of results/tiny: take `prefix`", output)


def test_pathvars_of_another_workflow_are_its_own_where_the_module_names_those_of_maskmill(tmp_path):
    other = write_other(tmp_path / "other", ROOT / "Snakefile", TINY)
    (other / "other.yaml").write_text(yaml.safe_dump({"maskmill": TINY, "pathvars": {"results": "own"}}))
    refused = snakemake(other, "--dry-run", check=False)
    text = (other / "Snakefile").read_text(encoding="utf-8")
    (other / "Snakefile").write_text(
        text.replace("    config:", '    pathvars:\n        results="results/tiny",\n    config:'), encoding="utf-8"
    )

    assert "instead of results/tiny" in refused
    assert planned_jobs(snakemake(other, "--dry-run"))["maskmill_split_samples"] == 1


def test_two_data_sets_in_one_workflow(tmp_path):
    other = write_other(tmp_path / "other", ROOT / "Snakefile", TINY)
    second = TINY | {"dataset": TINY["dataset"] | {"name": "second"}, "experiments": {"other": {}}}
    del second["demo"]
    (other / "other.yaml").write_text(yaml.safe_dump({"maskmill": TINY, "second": second}, sort_keys=False))
    snakefile = (other / "Snakefile").read_text(encoding="utf-8")
    module = snakefile.partition("module")[2].partition("rule all")[0].replace("maskmill", "second")
    (other / "Snakefile").write_text(f"{snakefile}\nmodule{module}", encoding="utf-8")

    planned = planned_jobs(snakemake(other, "--dry-run", "--", "maskmill_all", "second_all"))

    assert planned["maskmill_train_model"] == 2
    assert planned["second_train_model"] == planned["second_index_samples"] == 1


def test_mistakes_in_the_config_of_a_module_are_told(tmp_path):
    other = write_other(tmp_path / "other", ROOT / "Snakefile", TINY | {"trian": {}})

    output = snakemake(other, "--dry-run", check=False)

    assert "unknown key `trian`; did you mean `train`?" in output
    assert "Traceback" not in output


def test_a_snakefile_without_the_package_beside_it_says_what_to_do(tmp_path):
    project = make_project(tmp_path / "project")
    (project.folder / "maskmill").rename(tmp_path / "maskmill_elsewhere")

    output = snakemake(project.folder, "--dry-run", check=False)

    assert f"which is not in {project.folder}; clone the repository" in output


def test_values_within_a_section_on_the_command_line_are_told_to_be_text(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    command = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "tiny.yaml", "--dry-run")

    nested = snakemake(tmp_path, *command, "--config", "train={epochs: 3}", check=False)
    plain = snakemake(tmp_path, *command, "--config", "preset=cel", check=False)

    hint = "Values within {} and [] that follow --config arrive as text: write them in a config file."
    assert f'train.epochs: "3" is text; write 3, without quotes\n{hint}' in nested
    assert "did you mean `cell`?" in plain
    assert hint not in plain


@pytest.mark.slow
def test_another_workflow_runs_maskmill_and_goes_on_from_its_files(tmp_path):
    project = make_project(tmp_path / "a pröject")
    other = write_other(tmp_path / "an other", project.folder / "Snakefile", LIGHT)

    snakemake(other)

    assert (other / "counted.txt").read_text().strip() == "6"  # a line for each scene, and the header
    assert not (project.folder / "results").exists()
    noted = {job.rule for job in read_jobs(other / ".snakemake/metadata", Path("logs/tiny"))}
    assert noted - {"count"} < {script.stem for script in (ROOT / "workflow/scripts").glob("*.py")}
    assert not planned_jobs(snakemake(other, "--dry-run"))


def test_the_snakefile_that_catalogs_look_for_plans_everything(tmp_path):
    project = make_project(tmp_path / "project")
    run = ("--configfile", "tiny.yaml", "--dry-run")

    planned = planned_jobs(snakemake(project.folder, "--snakefile", "workflow/Snakefile", *run))

    assert planned["everything"] == 1
    assert planned["pack_bundle"] == planned["train_model"] == 2
    assert planned["render_report"] == 1


@pytest.mark.slow
def test_the_workflow_runs_from_a_path_with_spaces_and_umlauts_in_another_folder(tmp_path):
    project = make_project(tmp_path / "a pröject 模型")
    elsewhere = tmp_path / "an öther folder"
    elsewhere.mkdir()
    config = elsewhere / "light config.yaml"
    config.write_text(yaml.safe_dump(LIGHT), encoding="utf-8")

    output = snakemake(project.folder, "--directory", str(elsewhere), "--configfile", str(config), "--", "labels")

    for name in ("quality/audit.html", "splits.csv"):
        place = elsewhere / "results/tiny" / name
        assert place.is_file()
        assert str(place) in output
    assert not (project.folder / "results").exists()
