"""The files of a source folder: their list, and a digest that changes whenever one is added, removed or edited.

Read while the workflow is being planned, hence the standard library alone.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

LABEL_LISTS = ("labelmap.txt", "class_names.txt", "autosave_label.txt")
"""Lists of labels and their colours, which some tools write up to two folders above the masks."""


def list_files(root: str | os.PathLike) -> list[str]:
    """POSIX paths, relative to `root`, of all files below it, sorted.

    Hidden files and folders (a leading dot) are left out; links to folders are followed, each folder is read once.
    Empty if `root` is missing.
    """
    return sorted(path for path, _ in _walk(root))


def source_digest(source: Mapping[str, str]) -> str:
    """Hexadecimal SHA-256 over path, size and modification time of every file below `images` and `annotations`.

    `source` is the `dataset.source` option, whose annotations may be one file. File contents are not read; a missing
    folder has a digest too.
    """
    digest = hashlib.sha256()
    for root in (source["images"], source["annotations"]):
        if not Path(root).exists():
            digest.update(b"missing\n")
            continue
        files = [("", Path(root).stat())] if Path(root).is_file() else _walk(root)
        for path, state in sorted(files, key=lambda file: file[0]):
            digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        digest.update(b"end\n")
    for folder in list(Path(source["annotations"]).absolute().parents)[:2]:
        for file in filter(os.path.exists, (folder / name for name in LABEL_LISTS)):
            digest.update(f"{file.name}\0{file.stat().st_size}\0{file.stat().st_mtime_ns}\n".encode())
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
