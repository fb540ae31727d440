"""`maskmill verify`: whether the files of a bundle, or of a results folder, are those that were made."""

import argparse
import logging
from pathlib import Path

import maskmill
from maskmill.deployment.verification import verify_bundle
from maskmill.errors import MaskmillError
from maskmill.files import sha256_file
from maskmill.provenance.stability import RECORD
from maskmill.wording import count_of

_REMEDY = """Bring the files back from a copy. Or remove those that rules made, and run `snakemake` with the same
options: it makes them, and writes the record anew. What was never recorded is of other options or from elsewhere."""

logger = logging.getLogger(__name__)


def add_verify_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `verify` to the command line."""
    parser = commands.add_parser(
        "verify", help="check every file of a results folder or a bundle", description=_verify.__doc__
    )
    parser.add_argument(
        "path", type=Path, help="results/NAME, or results/NAME/experiments/EXPERIMENT/bundle, or a copy of that"
    )
    parser.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    """Say which files of a results folder or of a bundle are missing or differ from what was recorded.

    Of a results folder also which were never recorded, and whether pictures, annotations, code, lock, run ids and
    seeds are those of the record. Exit status 1 if any. Files that a bundle does not list change nothing.
    """
    path: Path = arguments.path
    if (path / "bundle.json").exists() or not path.is_dir():
        count = verify_bundle(path)
        digest = sha256_file(path / "bundle.json")
        logger.info("%s: all %d files are as they were packed; SHA-256 of bundle.json: %s", path, count, digest)
        return 0
    from maskmill.provenance.verification import verify_results  # with all that the record needs

    found = verify_results(path, own=Path(maskmill.__file__).parents[1])
    for note in found.notes:
        logger.warning("%s", note)
    if found.faults:
        lines = "\n".join(f"  - {fault}" for fault in found.faults)
        raise MaskmillError(
            f"{path} is not what was recorded ({count_of(len(found.faults), 'fault')}):\n{lines}\n{_REMEDY}"
        )
    digest = sha256_file(path / RECORD)
    logger.info("%s: all %d files are as recorded; SHA-256 of %s: %s", path, found.checked, RECORD, digest)
    return 0
