"""`pip install .` brings what `maskmill predict` imports. That it runs with that alone is tested in test_cli.py."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

from maskmill.dag.codedigest import imported_modules

ROOT = Path(__file__).parents[2]
COMMAND = ROOT / "maskmill/cli.py"

RUNTIMES = {"torch", "safetensors", "openvino", "cuda"}
"""Of runtimes that bundles can do without."""

SERVICE = dict.fromkeys(("flask", "gunicorn", "prometheus_client", "werkzeug"), "the service, `maskmill[serve]`")
LEFT_OUT = SERVICE | {
    "torch": "PyTorch's runtime, which bundles are not run with",
    "safetensors": "PyTorch's weights",
    "openvino": "a runtime of its own; it says so where it is missing",
    "streamlit": "the page, `maskmill[app]`; `maskmill app` says so where it is missing",
    "cuda": "CUDA's bindings, of machines with a GPU; engines say so where they are missing",
    "mlflow": "what `maskmill track` sends to; it says so where it is missing",
}
"""Packages that modules of the command import where it does not come, or can do without."""


def imported_packages(source: Path) -> set[str]:
    """Top-level packages that a module imports, in its functions too, but for Python's own and this one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"maskmill"}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared_distributions(*extras: str) -> set[str]:
    """Normalised names of the dependencies in pyproject.toml, and of those that extras bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return {normalised(Requirement(line).name) for lines in lists for line in lines}


def installed_with(distributions: set[str]) -> set[str]:
    """The distributions and all that they need, as far as they are installed here."""
    found, pending = set(), set(distributions)
    while pending:
        name = pending.pop()
        found.add(name)
        try:
            needed = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            continue
        pending |= {normalised(one.name) for one in needed if not one.marker or one.marker.evaluate()} - found
    return found


def packages_of(distributions: set[str]) -> set[str]:
    """Top-level packages that the distributions bring."""
    return {
        package
        for package, names in packages_distributions().items()
        if not distributions.isdisjoint(map(normalised, names))
    }


def imports_of(start: Path) -> dict[str, Path]:
    """Packages that a module and those that it imports need, each with one of them."""
    modules = {start, *imported_modules(start, ROOT)}
    return {package: module for module in modules for package in imported_packages(module)}


def test_predicting_imports_declared_packages_alone():
    imported = imports_of(COMMAND)

    assert {"numpy", "onnxruntime", "cv2", "PIL"} <= imported.keys()
    missing = imported.keys() - packages_of(declared_distributions()) - LEFT_OUT.keys()
    assert not {package: imported[package].name for package in missing}


def test_the_service_imports_what_its_extra_declares():
    imported = imports_of(ROOT / "maskmill/serving/api.py") | imports_of(ROOT / "maskmill/serving/server.py")

    assert {"flask", "gunicorn", "numpy"} <= imported.keys()
    missing = imported.keys() - packages_of(declared_distributions("serve")) - RUNTIMES
    assert not {package: imported[package].name for package in missing}


def test_the_page_imports_what_its_extra_declares():
    imported = imports_of(ROOT / "maskmill/serving/webapp.py")

    assert {"streamlit", "numpy"} <= imported.keys()
    missing = imported.keys() - packages_of(declared_distributions("app")) - RUNTIMES
    assert not {package: imported[package].name for package in missing}
