"""The record of a run, read where nothing but the package is installed; see `maskmill.provenance.record`."""

from pathlib import Path
from typing import Any

from maskmill.dag.codedigest import library_digest
from maskmill.errors import MaskmillError
from maskmill.files import read_json
from maskmill.provenance.stability import RECORD

SCHEMA_VERSION = 2
"""Raised with what a record holds, and with the way in which code is digested: other digests would look like edits."""

LOCK = "requirements/run.txt"
"""Where a workflow, or a copy of it, pins what it runs with."""


def read_record(results: Path) -> dict[str, Any]:
    """The record of a results folder. Raises MaskmillError where there is none, or one of another version."""
    file = Path(results) / RECORD
    if not file.is_file():
        raise MaskmillError(
            f"{results} is not a bundle (it has no bundle.json) and has no {RECORD}, which a plain `snakemake` "
            "writes at the end of a run. Run it, and give results/NAME, or the folder of a bundle."
        )
    content = read_json(file)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise MaskmillError(
            f"{file} has schema version {content.get('schema_version')}, this Maskmill reads {SCHEMA_VERSION}: run "
            "`snakemake` again, or use the version of Maskmill that wrote it"
        )
    return content


def rule_digests(code: Path) -> dict[str, str]:
    """Rule → digest of the code behind it, of a copy of the workflow."""
    scripts = sorted((code / "workflow/scripts").glob("*.py"))
    return {script.stem: library_digest(script, code, code / LOCK) for script in scripts}
