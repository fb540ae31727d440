"""Committed files that are generated are in step with their sources."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def load(name):
    """A script of dev/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"dev/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_option_table_is_in_step_with_the_schema():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")

    assert text == load("write_config_readme").render(), "run `make docs`"


@pytest.mark.parametrize("name", ["imaging", "labelme", "training"])
def test_environments_hold_the_very_pins_of_the_lock(name):
    writer = load("write_environments")
    _, lock, packages = writer.ENVIRONMENTS[name]
    pins = writer.read_pins(lock)

    text = (ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8")
    assert text == writer.environment(name), "run `make docs`"
    pip = yaml.safe_load(text)["dependencies"][-1]["pip"]
    assert set(pip) <= set(pins.values())
    assert {pins[package.lower().replace("_", "-")] for package in packages or pins} <= set(pip)


def test_the_lock_has_every_direct_dependency_at_its_version():
    lock = set((ROOT / "requirements/run.txt").read_text(encoding="utf-8").lower().splitlines())
    direct = [
        line.lower()
        for line in (ROOT / "requirements/run.in").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]

    assert direct
    assert not [line for line in direct if line not in lock]
