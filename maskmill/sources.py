"""The files of a source folder: their list, and a digest that changes whenever one is added, removed or edited.

Read while the workflow is being planned, hence the standard library alone.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


def list_files(root: str | os.PathLike) -> list[str]:
    """POSIX paths, relative to `root`, of all files below it, sorted.

    Hidden files and folders (a leading dot) are left out; links to folders are followed, each folder is read once.
    Empty if `root` is missing.
    """
    return sorted(path for path, _ in _walk(root))


def source_digest(source: Mapping[str, str]) -> str:
    """Hexadecimal SHA-256 over path, size and modification time of every file below `images` and `annotations`.

    `source` is the `dataset.source` option. File contents are not read; a missing folder has a digest too.
    """
    digest = hashlib.sha256()
    for root in (source["images"], source["annotations"]):
        if not Path(root).is_dir():
            digest.update(b"missing\n")
            continue
        for path, state in sorted(_walk(root), key=lambda file: file[0]):
            digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        digest.update(b"end\n")
    return digest.hexdigest()


def _walk(root: str | os.PathLike) -> Iterator[tuple[str, os.stat_result]]:
    """Relative path and state of every file below `root`, in no particular order."""
    folders, seen = [("", str(root))], set()
    while folders:
        prefix, folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen or not Path(folder).is_dir():
            continue
        seen.add(real)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append((f"{prefix}{entry.name}/", entry.path))
                elif entry.is_file():
                    yield prefix + entry.name, entry.stat()
