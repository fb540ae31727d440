"""What was retrieved to a data set's folder, and whether it is still what it first was."""

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from maskmill.files import read_table, sha256_file, write_table

INVENTORY = "inventory.csv"
COLUMNS = ["path", "size", "sha256", "url"]


@dataclass(frozen=True)
class Wanted:
    """A file: its path below the data set's folder and the addresses to get it from, the first one first.

    sha256 and size (in bytes) are those of the right file, where the config knows them.
    """

    path: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Failure:
    """What is missing or wrong, why (one line each), and what to do."""

    what: str
    reasons: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        return "\n".join([f"  - {self.what}", *(f"      {reason}" for reason in self.reasons), f"    {self.remedy}"])


class Inventory:
    """Table of the files retrieved so far, written anew whenever one is added. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / INVENTORY
        self.rows = {row["path"]: row for row in read_table(self.path)} if self.path.exists() else {}
        self.lock = threading.Lock()

    def sha256(self, path: str) -> str | None:
        return self.rows[path]["sha256"] if path in self.rows else None

    def url(self, path: str) -> str:
        return self.rows[path]["url"] if path in self.rows else ""

    def record(self, path: str, size: int, sha256: str, url: str) -> None:
        with self.lock:
            row = {"path": path, "size": str(size), "sha256": sha256, "url": url}
            if self.rows.get(path) != row:
                self.rows[path] = row
                self._write()

    def keep(self, paths: Collection[str], others: Iterable[str]) -> tuple[int, int]:
        """Drop all rows but those of `paths` and of `others`; number and sum of the sizes in bytes of `paths`."""
        kept = {path: self.rows[path] for path in paths}
        self.rows = kept | {path: self.rows[path] for path in others if path in self.rows}
        self._write()
        return len(kept), sum(int(row["size"]) for row in kept.values())

    def _write(self) -> None:
        write_table(self.path, [self.rows[path] for path in sorted(self.rows)], COLUMNS)


def verify(file: Wanted, folder: Path, inventory: Inventory, url: str | None = None) -> Failure | None:
    """Compare a file that is there with the config, or else with what it first was, and note it. url: its origin."""
    size, digest, failure = examine(file, folder, inventory)
    if failure is None:
        inventory.record(file.path, size, digest, inventory.url(file.path) if url is None else url)
    return failure


def examine(file: Wanted, folder: Path, inventory: Inventory) -> tuple[int, str, Failure | None]:
    """Size and SHA-256 of a file that is there, and how it differs from the config or else from what it first was."""
    target = folder / file.path
    size, digest, known = target.stat().st_size, sha256_file(target), inventory.sha256(file.path)
    flaws, remedy = _flaws(file, size, digest), put_right(target)
    if not flaws and not file.sha256 and known not in (None, digest):
        flaws = (f"its SHA-256 is {digest}, but was {known} when it was first retrieved",)
        remedy += f"; if it is right, take its line out of {inventory.path}"
    return size, digest, Failure(str(target), flaws, remedy) if flaws else None


def _flaws(file: Wanted, size: int, digest: str) -> tuple[str, ...]:
    """How a file differs from what the config knows of it."""
    flaws = [f"it has {size} bytes, expected {file.size}"] if file.size not in (None, size) else []
    flaws += [f"its SHA-256 is {digest}, expected {file.sha256}"] if file.sha256 not in (None, digest) else []
    return tuple(flaws)


def put_right(target: Path) -> str:
    """What to do about a file that is not the right one."""
    return f"take {target} away, or put the right one there"
