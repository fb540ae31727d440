"""`maskmill verify`: whether the files of a bundle are those that were packed."""

import argparse
import logging
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.files import sha256_file

logger = logging.getLogger(__name__)


def add_verify_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `verify` to the command line."""
    parser = commands.add_parser(
        "verify", help="check every file of a bundle against its digest", description=_verify.__doc__
    )
    parser.add_argument("bundle", type=Path, help="results/NAME/experiments/EXPERIMENT/bundle, or a copy of it")
    parser.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    """Say which files of a bundle are missing or differ from their recorded SHA-256.

    Exit status 1 if any. Files that the bundle does not list are named too, and change nothing.
    """
    count = verify_bundle(arguments.bundle)
    digest = sha256_file(arguments.bundle / "bundle.json")
    logger.info("%s: all %d files are as they were packed; SHA-256 of bundle.json: %s", arguments.bundle, count, digest)
    return 0


def verify_bundle(folder: Path) -> int:
    """Number of files of a bundle, all of which are as recorded.

    Raises MaskmillError if it is no bundle, or that names each file which is missing or another.
    """
    from maskmill.deployment.bundle import find_faults, read_card  # with all that prediction needs

    card = read_card(folder)
    faults = [f"{name}: {fault}" for name, fault in find_faults(folder, card["files"])]
    known = {"bundle.json", *card["files"]}
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    for extra in sorted(found - known):
        logger.warning("%s is not part of the bundle", folder / extra)
    if faults:
        lines = "\n".join(f"  - {line}" for line in faults)
        raise MaskmillError(f"{folder} is not the bundle that was packed; copy or pack it again:\n{lines}")
    return len(card["files"])
