"""The record of a run, read where nothing but the package is installed; see `maskmill.provenance.record`."""

import os
from pathlib import Path
from typing import Any

from maskmill.dag.codedigest import library_digest
from maskmill.errors import MaskmillError
from maskmill.files import read_json_object
from maskmill.provenance.stability import RECORD

SCHEMA_VERSION = 2
"""Raised with what a record holds, and with the way in which code is digested: other digests would look like edits."""

KEYS = ("dataset", "maskmill", "config", "environment", "lock", "written", "runs", "sources", "jobs", "files")
"""What a record has beside its version."""

_REMEDY = "bring it back from a copy, or remove it and run `snakemake`, which writes it anew"

LOCK = "requirements/run.txt"
"""Where a workflow, or a copy of it, pins what it runs with."""


def absolute_path(results: Path) -> Path:
    """A results folder as it was called, links kept: where `results` is a link, pictures lie beside it."""
    return Path(os.path.abspath(results))  # noqa: PTH100


def read_record(results: Path) -> dict[str, Any]:
    """The record of a results folder. MaskmillError where there is none, a broken one, or one of another version."""
    file = Path(results) / RECORD
    if not file.is_file():
        raise MaskmillError(
            f"{results} is not a bundle (it has no bundle.json) and has no {RECORD}, which a plain `snakemake` "
            "writes at the end of a run. Run it, and give results/NAME, or the folder of a bundle."
        )
    content = read_json_object(file, _REMEDY)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise MaskmillError(
            f"{file} has schema version {content.get('schema_version')}, this Maskmill reads {SCHEMA_VERSION}: run "
            "`snakemake` again, or use the version of Maskmill that wrote it"
        )
    if lacking := [key for key in KEYS if key not in content]:
        raise MaskmillError(f"{file} is broken, without {', '.join(lacking)}: {_REMEDY}")
    return content


def rule_digests(code: Path) -> dict[str, str]:
    """Rule → digest of the code behind it, of a copy of the workflow."""
    scripts = sorted((code / "workflow/scripts").glob("*.py"))
    return {script.stem: library_digest(script, code, code / LOCK) for script in scripts}
