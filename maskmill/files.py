"""Small files that appear complete or not at all: CSV tables, JSON, digests."""

import csv
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskmill.errors import MaskmillError

METADATA = "maskmill"
"""Key of the metadata in weights and ONNX files; a single one, because safetensors writes several in random order."""

_MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]
"""Stands in the names of unfinished files: whether their process lives is known on its own machine only."""


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to (file or folder); it takes the place of `path` only if the block succeeds.

    The yielded path does not exist yet and keeps the suffix of `path`, so that writers which look at it agree. It stays
    where the process is killed: see `remove_leftovers`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}.{_MACHINE}-{os.getpid()}{path.suffix}")
    _remove(aside)
    try:
        yield aside
        if aside.is_dir():
            _remove(path)
        os.replace(aside, path)
    finally:
        _remove(aside)


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove what `atomic_path` yielded for `path` to processes of this machine that were killed since."""
    path = Path(path)
    if not path.parent.is_dir():
        return
    unfinished = re.compile(rf"\.{re.escape(path.stem)}\.{_MACHINE}-(\d+){re.escape(path.suffix)}")
    for entry in path.parent.iterdir():
        found = unfinished.fullmatch(entry.name)
        if found and not is_running(int(found[1])):
            _remove(entry)


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def link_file(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Give a file a second name, which must be free; a copy where the file system cannot. Makes folders."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def read_table(path: str | os.PathLike) -> list[dict[str, str]]:
    """Read a UTF-8 CSV file with a header line; every value is a string, an empty cell is ""."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: str | os.PathLike, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as a UTF-8 CSV file with these columns; None becomes an empty cell, floats keep 6 digits."""
    with atomic_path(path) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value


def read_json(path: str | os.PathLike) -> Any:
    """Read a UTF-8 JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_json_object(path: str | os.PathLike, remedy: str) -> dict[str, Any]:
    """Read a UTF-8 JSON file that has to hold an object. Raises MaskmillError with the remedy where it does not."""
    try:
        content = read_json(path)
    except ValueError as error:
        raise MaskmillError(f"{path} is broken, {error}: {remedy}") from error
    if not isinstance(content, dict):
        raise MaskmillError(f"{path} is broken, a {type(content).__name__}: {remedy}")
    return content


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON with sorted keys, so that equal content gives equal bytes. NaN and infinity are refused.

    A mapping comes back in the order of its keys: where another order matters, write a list.
    """
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as aside:
        aside.write_text(text + "\n", encoding="utf-8")


def sha256_file(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(content: Any) -> str:
    """Hexadecimal SHA-256 of a JSON-serialisable value, independent of key order."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
