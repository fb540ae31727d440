"""Whether the files of a bundle are those that were packed."""

import logging
from pathlib import Path

from maskmill.errors import MaskmillError

logger = logging.getLogger(__name__)


def verify_bundle(folder: Path) -> int:
    """Number of files of a bundle, all of which are as recorded.

    Raises MaskmillError if it is no bundle, or that names each file which is missing or another.
    """
    from maskmill.deployment.bundle import find_faults, read_card  # with all that prediction needs

    card = read_card(folder)
    faults = [f"{name}: {fault}" for name, fault in find_faults(folder, card["files"])]
    known = {"bundle.json", ".snakemake_timestamp", *card["files"]}  # Snakemake's own, in folders that are outputs
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    for extra in sorted(found - known):
        logger.warning("%s is not part of the bundle", folder / extra)
    if faults:
        lines = "\n".join(f"  - {line}" for line in faults)
        raise MaskmillError(f"{folder} is not the bundle that was packed; copy or pack it again:\n{lines}")
    return len(card["files"])
