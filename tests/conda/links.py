"""`conda env create` out of the packages that are installed here: the pins of an environment file, and no more."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml
from interpreters import make_interpreter
from packaging.requirements import Requirement

GPU = Path(__file__).parents[2].joinpath("requirements/gpu.txt").read_text(encoding="utf-8")
"""What a build of torch for processors does without."""


def create(root: Path, file: Path, prefix: Path) -> None:
    """Make the environment of `file` at `prefix`. RuntimeError where a pin is not what is installed here."""
    pins = yaml.safe_load(file.read_text())["dependencies"][-1]["pip"]
    wanted = []
    for pin, one in zip(pins, map(Requirement, pins), strict=True):
        if one.marker is None or one.marker.evaluate():
            found = _installed(one.name)
            if found is not None and one.specifier.contains(found):
                wanted.append(one.name)
            elif found is not None or pin not in GPU:
                raise RuntimeError(f"{file} wants {pin}, here is {found}; make install-dev")
    make_interpreter(prefix, wanted)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
