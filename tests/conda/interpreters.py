"""Virtual environments that hold named packages alone, made in a moment of links to what is installed here."""

import os
import re
import venv
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement


def normalised(name: str) -> str:
    """Name of a distribution as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def with_requirements(names: Iterable[str]) -> set[str]:
    """The distributions and all that they need on this machine, as far as it is installed; normalised names."""
    found: set[str] = set()
    pending = {normalised(name) for name in names}
    while pending:
        name = pending.pop()
        try:
            needed = [Requirement(line) for line in distribution(name).requires or []]
        except PackageNotFoundError:
            continue
        found.add(name)
        pending |= {normalised(one.name) for one in needed if not one.marker or one.marker.evaluate()} - found
    return found


def make_interpreter(folder: Path, distributions: Iterable[str]) -> Path:
    """Make a virtual environment with these installed distributions and nothing else; its Python.

    Folders of a package are links, but for those that several distributions share (google, jaraco), whose files are.
    """
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    shared = {name for name, owners in packages_distributions().items() if len(set(owners)) > 1}
    for name in distributions:
        package = distribution(name)
        for file in package.files or []:
            parts = file.parts[:1] if file.parts[0] not in shared else file.parts
            place = site.joinpath(*parts)
            if ".." not in file.parts and not os.path.lexists(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(package.locate_file(Path(*parts)))
    return folder / "bin/python"
