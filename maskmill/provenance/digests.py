"""Digests of many files: streamed, so that no file is held in memory, several at once."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from maskmill.files import sha256_file
from maskmill.provenance.stability import is_private


def files_below(root: Path, place: str = "") -> Iterator[str]:
    """POSIX paths, relative to `root`, of the artifacts at `root`/`place`: itself if it is a file, else what is below.

    root: a results folder, or one of pictures. Nothing where there is nothing. See `is_private` for what is left out.
    Of a link to a folder the link alone: what is behind it may be endless.
    """
    start = root / place
    if start.is_file():
        yield place
        return
    for folder, folders, names in os.walk(start):
        for name in [*names, *(name for name in folders if Path(folder, name).is_symlink())]:
            found = Path(folder, name).relative_to(root).as_posix()
            if not is_private(found):
                yield found


def digest_files(root: Path, names: Iterable[str], threads: int) -> dict[str, dict[str, str | int]]:
    """Name → {"sha256", "bytes"} of files below `root`, in the order of their names. None may be missing."""
    ordered: Sequence[str] = sorted(set(names))
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(ordered, pool.map(lambda name: _digest(root / name), ordered), strict=True))


def find_changed(root: Path, recorded: Mapping[str, Mapping[str, Any]], threads: int) -> Iterator[tuple[str, str]]:
    """Names of the files below `root` that are not as recorded ("sha256" of each), each with what is wrong."""
    readable = [name for name in recorded if (root / name).is_file() and os.access(root / name, os.R_OK)]
    digests = digest_files(root, readable, threads)
    for name, entry in recorded.items():
        if name not in digests:
            yield name, "is no file that can be read" if os.path.lexists(root / name) else "missing"
        elif digests[name]["sha256"] != entry["sha256"]:
            yield name, "differs from its record"


def _digest(file: Path) -> dict[str, str | int]:
    return {"sha256": sha256_file(file), "bytes": file.stat().st_size}
