"""Options of trials as files: what a trial tries, what a search found."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from maskmill.dag.searches import nested
from maskmill.files import atomic_path


def write_options(path: str | PathLike, values: Mapping[str, Any]) -> None:
    """Write options, such as `train.lr` → 0.001, as the sections of a config."""
    with atomic_path(path) as aside:
        aside.write_text(yaml.safe_dump(nested(values), allow_unicode=True, sort_keys=False), encoding="utf-8")


def apply_searched(
    options: Mapping[str, Mapping[str, Any]], files: Sequence[str | PathLike]
) -> dict[str, dict[str, Any]]:
    """Sections of options with those of the files that `write_options` wrote in place of their own.

    Sections of a file that are not asked for are left out.
    """
    applied = {section: dict(content) for section, content in options.items()}
    for file in files:
        found = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        for section in applied.keys() & found.keys():
            applied[section] |= found[section]
    return applied
