"""Committed files that are generated are in step with their sources."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

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


@pytest.mark.parametrize("name", ["imaging", "labelme", "tensorrt", "training", "training-cpu"])
def test_environments_hold_the_very_pins_of_the_locks(name):
    writer = load("write_environments")
    chosen = writer.ENVIRONMENTS[name]
    locked = {*writer.read_pins(chosen.lock).values(), *writer.read_pins("gpu").values()}

    text = (ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8")
    assert text == writer.environment(name), "run `make docs`"
    pip = yaml.safe_load(text)["dependencies"][-1]["pip"]
    assert {pin.replace("+cpu", "").removesuffix(" ; sys_platform == 'darwin'") for pin in pip} <= locked | {
        f"{pin} ; sys_platform != 'darwin'" for pin in locked
    }
    direct = map(canonicalize_name, chosen.packages or writer.read_pins(chosen.lock))
    assert set(direct) <= {canonicalize_name(pin.partition("==")[0]) for pin in pip}


def test_environments_differ_in_torch_alone_where_that_is_what_they_are_for():
    pins = {name: set(load("write_environments").pins_of(name)) for name in ("training", "training-cpu", "tensorrt")}

    assert {pin.partition("==")[0] for pin in pins["training-cpu"] - pins["training"]} == {"torch"}
    cuda = {pin.partition("==")[0] for pin in pins["training"] - pins["training-cpu"]}
    assert {"torch", "nvidia-cudnn-cu13", "triton"} <= cuda
    assert all(name in ("torch", "triton") or name.startswith(("cuda-", "nvidia-")) for name in cuda)
    assert pins["tensorrt"] > pins["training"]
    assert {pin.partition("==")[0] for pin in pins["tensorrt"] - pins["training"]} == {
        f"tensorrt-cu13{part}" for part in ("", "-bindings", "-libs")
    }


def test_the_lock_for_gpus_agrees_with_the_lock_of_a_run():
    pins = {name: load("write_environments").read_pins(name) for name in ("run", "gpu")}

    common = pins["run"].keys() & pins["gpu"].keys()
    assert "torch" in common
    assert {pins["gpu"][name].partition(" ;")[0] for name in common} == {
        pins["run"][name].partition(" ;")[0] for name in common
    }


def test_the_lock_has_every_direct_dependency_at_its_version():
    lock = set((ROOT / "requirements/run.txt").read_text(encoding="utf-8").lower().splitlines())
    direct = [
        line.lower()
        for line in (ROOT / "requirements/run.in").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]

    assert direct
    assert not [line for line in direct if line not in lock]
