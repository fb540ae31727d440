"""The SLURM profile and pins beside the others; needs no cluster."""

import yaml

from tests.workflow.conftest import ROOT


def read(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text(encoding="utf-8"))


def test_what_makes_jobs_run_again_is_the_same_on_a_cluster():
    slurm, default = read("slurm"), read("default")

    for key in ("scheduler", "rerun-incomplete", "rerun-triggers", "keep-going"):
        assert slurm[key] == default[key], key


def test_the_plugin_is_installed_beside_what_a_run_needs_without_changing_it():
    run, slurm = (
        dict(line.partition(" ;")[0].split("==") for line in lines if "==" in line)
        for lines in ((ROOT / f"requirements/{name}.txt").read_text().splitlines() for name in ("run", "slurm"))
    )

    assert slurm["snakemake-executor-plugin-slurm"]
    shared = slurm.keys() & run.keys()
    assert {"numpy", "snakemake-interface-executor-plugins"} <= shared
    assert {name: slurm[name] for name in shared} == {name: run[name] for name in shared}
