"""Bring a public data set in: download, verify, unpack, and say exactly what is missing and where to put it."""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import product
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_table, sha256_file, write_table
from maskmill.logs import progress
from maskmill.retrieval.archives import unpack_members
from maskmill.retrieval.download import DownloadError, Patience, download

AT_ONCE = 4
"""Files that are fetched or verified at the same time."""
INVENTORY = "inventory.csv"
COLUMNS = ["path", "size", "sha256", "url"]

logger = logging.getLogger(__name__)


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
class Archive:
    """An archive, "zip" or "tar", and which of its members are wanted: path in the archive by path of the file."""

    file: Wanted
    kind: str
    members: Mapping[str, str]

    def origin(self, path: str) -> str:
        """Where an unpacked file is from."""
        return f"{self.file.urls[0] if self.file.urls else self.file.path}#{self.members[path]}"


@dataclass(frozen=True)
class Failure:
    """What is missing or wrong, why (one line each), and what to do."""

    what: str
    reasons: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        return "\n".join([f"  - {self.what}", *(f"      {reason}" for reason in self.reasons), f"    {self.remedy}"])


def retrieve_dataset(
    folder: Path, options: Mapping[str, Any], complete: Path, patience: Patience | None = None
) -> None:
    """Bring the data set that `options` (the config's section `retrieve`) describes to `folder`.

    What is there already is verified and kept; the rest is fetched. LICENCE.txt and CITATION.txt are written before
    anything is fetched. inventory.csv lists path, size in bytes, sha256 and url of every file (none if it was put there
    by hand); it outlives failures, and a file that has no checksum in the config must stay what it first was.
    `complete`, one line of text, is written when everything is there.

    Raises MaskmillError that lists everything that is missing or wrong, with the reasons and what to do.
    """
    complete.unlink(missing_ok=True)
    patience = replace(patience or Patience(), stop=threading.Event())
    inventory = _Inventory(folder)
    files, archives = _named_files(options)
    _announce(folder, options)
    listed, failures = _list_indexes(folder, options["indexes"], inventory, patience)
    files += listed
    members = [Wanted(path) for archive in archives for path in archive.members]
    _check_paths([*files, *members, *(archive.file for archive in archives)])
    failures += _each(lambda file: _fetch(file, folder, inventory, patience), files, "files", patience)
    failures += _see_to_members(archives, folder, inventory, patience)
    if failures:
        raise MaskmillError(_report(folder, failures, options["manual"]))
    count, size = inventory.keep(file.path for file in [*files, *members])
    with atomic_path(complete) as aside:
        aside.write_text(f"{count} files, {size} bytes, listed in {INVENTORY}\n", encoding="utf-8")
    logger.info("%s is complete: %d files, %.1f MiB", folder, count, size / 2**20)


def expand_braces(text: str) -> list[str]:
    """All texts that a text with alternatives in braces stands for, as in a shell: "a{1,3..5}" is a1, a3, a4, a5.

    Numbers of a range are padded with zeros to the width of its first. Raises MaskmillError for a range backwards.
    """
    parts = re.split(r"\{([^{}]*)\}", text)
    choices = [list(_alternatives(part)) if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def _alternatives(text: str) -> Iterator[str]:
    for item in text.split(","):
        if not (match := re.fullmatch(r"(\d+)\.\.(\d+)", item)):
            yield item
            continue
        first, last = match.groups()
        if int(first) > int(last):
            raise MaskmillError(f'the range "{item}" in "{{{text}}}" runs backwards; write the smaller number first')
        yield from (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))


class _Inventory:
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

    def keep(self, paths: Iterable[str]) -> tuple[int, int]:
        """Drop all rows but these; number of the files and sum of their sizes in bytes."""
        self.rows = {path: self.rows[path] for path in paths}
        self._write()
        return len(self.rows), sum(int(row["size"]) for row in self.rows.values())

    def _write(self) -> None:
        write_table(self.path, [self.rows[path] for path in sorted(self.rows)], COLUMNS)


def _named_files(options: Mapping[str, Any]) -> tuple[list[Wanted], list[Archive]]:
    """The single files and the archives that the config names."""
    files, archives = [], []
    for entry in options["files"]:
        urls = entry.get("url", [])
        urls = (urls,) if isinstance(urls, str) else tuple(urls)
        file = Wanted(entry["path"], urls, entry.get("sha256"), entry.get("size"))
        if "unpack" in entry:
            members = {}
            for place, names in entry["contents"].items():
                for member in (member for name in names for member in expand_braces(name)):
                    members[(PurePosixPath(place) / PurePosixPath(member).name).as_posix()] = member
            archives.append(Archive(file, entry["unpack"], members))
        else:
            files.append(file)
    return files, archives


def _check_paths(files: Iterable[Wanted]) -> None:
    """Every file needs a place of its own below the folder. Raises MaskmillError with all that have none."""
    wrong, seen = [], set()
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts:
            wrong.append(f"{file.path} is outside of the data set's folder")
        elif path in seen:
            wrong.append(f"{file.path} is wanted twice")
        seen.add(path)
    if wrong:
        raise MaskmillError("The section retrieve has mistakes:\n" + "\n".join(f"  - {line}" for line in wrong))


def _announce(folder: Path, options: Mapping[str, Any]) -> None:
    """Say and write down, before anything is fetched, under which licence the data are and what to cite."""
    licence, citation, homepage = (options[key].strip() for key in ("licence", "citation", "homepage"))
    logger.info("Licence: %s", licence)
    logger.info("Please cite: %s", citation)
    logger.info("Homepage: %s", homepage)
    for name, text in (("LICENCE.txt", f"{licence}\n\n{homepage}\n"), ("CITATION.txt", f"{citation}\n")):
        with atomic_path(folder / name) as aside:
            aside.write_text(text, encoding="utf-8")


class _Links(HTMLParser):
    """Collects the addresses that an HTML page links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            self.addresses.append(urljoin(self.page, target))


def _list_indexes(
    folder: Path, indexes: Iterable[Mapping[str, Any]], inventory: _Inventory, patience: Patience
) -> tuple[list[Wanted], list[Failure]]:
    """The files that the index pages list. A page is not asked again where all of its files are there."""
    found, failures = [], []
    for index in indexes:
        place, pattern, count = index["folder"], index["pattern"], index["count"]
        there = _matching(folder / place, pattern)
        if len(there) == count:
            paths = [f"{place}/{name}" for name in there]
            found += [Wanted(path, (inventory.url(path),) if inventory.url(path) else ()) for path in paths]
            continue
        try:
            links = _read_index(index["url"], pattern, patience)
            reason = f"it links to {len(links)} files that match {pattern}, expected {count}"
        except DownloadError as error:
            links, reason = {}, str(error)
        if len(links) == count:
            found += [Wanted(f"{place}/{name}", (url,)) for name, url in sorted(links.items())]
        else:
            remedy = f"put the {count} files by hand into {folder / place}, where {len(there)} are now"
            failures.append(Failure(index["url"], (reason,), remedy))
    return found, failures


def _matching(folder: Path, pattern: str) -> list[str]:
    """Sorted names of the files in a folder that match a regular expression."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if _matches(name, pattern))


def _matches(name: str, pattern: str) -> bool:
    """Whether a file's name is a plain one and matches; what is being downloaded does not."""
    return bool(re.fullmatch(pattern, name)) and not name.startswith(".") and not name.endswith((".part", ".part.json"))


def _read_index(url: str, pattern: str, patience: Patience) -> dict[str, str]:
    """Address of every file that a page links to, by the file's name. Raises DownloadError."""
    with TemporaryDirectory() as folder:
        page = Path(folder) / "index.html"
        download(url, page, patience=patience)
        links = _Links(url)
        links.feed(page.read_text(encoding="utf-8", errors="replace"))
    by_name = {PurePosixPath(unquote(urlsplit(link).path)).name: link for link in links.addresses}
    by_name.pop("", None)
    return {name: address for name, address in by_name.items() if _matches(name, pattern)}


def _each(see_to: Callable[[Any], Failure | None], things: list, what: str, patience: Patience) -> list[Failure]:
    """What failed when each of the things was seen to, a few at the same time; in the order of the things."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(see_to, thing) for thing in things]
        try:
            for job in progress(as_completed(jobs), f"retrieving and verifying {what}", total=len(jobs)):
                job.result()
        except BaseException:
            patience.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [failure for job in jobs if (failure := job.result())]


def _fetch(file: Wanted, folder: Path, inventory: _Inventory, patience: Patience) -> Failure | None:
    """See that one file is there, is the right one and is in the inventory."""
    if (folder / file.path).exists():
        return _verify(file, folder, inventory)
    known = None if file.sha256 else inventory.sha256(file.path)
    url, failure = _download(replace(file, sha256=file.sha256 or known), folder, patience)
    if failure is None:
        return _verify(file, folder, inventory, url)
    if known:
        remedy = f"{failure.remedy}; if it is another one than it first was, take its line out of {inventory.path}"
        return replace(failure, remedy=remedy)
    return failure


def _download(file: Wanted, folder: Path, patience: Patience) -> tuple[str, Failure | None]:
    """Fetch a file from the first address that delivers it; that address, or why there is none."""
    target = folder / file.path
    reasons = []
    for url in file.urls:
        try:
            download(url, target, file.sha256, file.size, patience)
        except (DownloadError, OSError) as error:
            reasons.append(f"{url}: {error}")
        else:
            return url, None
    reasons = reasons or ["there is no address to fetch it from"]
    return "", Failure(str(target), tuple(reasons), f"put the file there by hand: {target}")


def _verify(file: Wanted, folder: Path, inventory: _Inventory, url: str | None = None) -> Failure | None:
    """Compare a file that is there with the config, or else with what it first was, and note it. url: its origin."""
    target = folder / file.path
    size, digest, known = target.stat().st_size, sha256_file(target), inventory.sha256(file.path)
    flaws, remedy = _flaws(file, size, digest), _put_right(target)
    if not flaws and not file.sha256 and known not in (None, digest):
        flaws = (f"its SHA-256 is {digest}, but was {known} when it was first retrieved",)
        remedy += f"; if it is right, take its line out of {inventory.path}"
    if flaws:
        return Failure(str(target), flaws, remedy)
    inventory.record(file.path, size, digest, inventory.url(file.path) if url is None else url)
    return None


def _flaws(file: Wanted, size: int, digest: str) -> tuple[str, ...]:
    """How a file differs from what the config knows of it."""
    flaws = [f"it has {size} bytes, expected {file.size}"] if file.size not in (None, size) else []
    flaws += [f"its SHA-256 is {digest}, expected {file.sha256}"] if file.sha256 not in (None, digest) else []
    return tuple(flaws)


def _put_right(target: Path) -> str:
    return f"take {target} away, or put the right one there"


def _see_to_members(archives: list[Archive], folder: Path, inventory: _Inventory, patience: Patience) -> list[Failure]:
    """Unpack the archives whose members are not all there, and verify all members."""
    wanting = [archive for archive in archives if _missing(folder, archive)]
    origins = {path: archive.origin(path) for archive in wanting for path in _missing(folder, archive)}
    failures = _each(lambda archive: _fetch_members(archive, folder, patience), wanting, "archives", patience)
    there = [Wanted(path) for archive in archives for path in archive.members if (folder / path).exists()]
    return failures + _each(
        lambda file: _verify(file, folder, inventory, origins.get(file.path)), there, "unpacked files", patience
    )


def _missing(folder: Path, archive: Archive) -> list[str]:
    return [path for path in archive.members if not (folder / path).exists()]


def _fetch_members(archive: Archive, folder: Path, patience: Patience) -> Failure | None:
    """Unpack what is not there yet from an archive, which is fetched first if it is not there itself."""
    target, missing = folder / archive.file.path, _missing(folder, archive)
    if target.exists():
        reasons, remedy = _flaws(archive.file, target.stat().st_size, sha256_file(target)), _put_right(target)
    else:
        failure = _download(archive.file, folder, patience)[1]
        reasons, remedy = (failure.reasons, failure.remedy) if failure else ((), _put_right(target))
    if not reasons:
        try:
            absent = unpack_members(target, archive.kind, {folder / path: archive.members[path] for path in missing})
            reasons = tuple(f"it does not hold {member}" for member in absent)
        except MaskmillError as error:
            reasons = (str(error),)
        missing = _missing(folder, archive)
    if not reasons:
        return None
    by_hand = "".join(f"\n      {folder / path}" for path in missing)
    return Failure(str(target), reasons, f"{remedy}\n    or put the files there that are wanted from it:{by_hand}")


def _report(folder: Path, failures: list[Failure], manual: str) -> str:
    lines = [
        f"{folder} is not complete. What is there stays; run the same command again to get the rest. Missing or wrong:",
        *map(str, failures),
    ]
    return "\n".join([*lines, *(["How to get the data:", manual.strip()] if manual else [])])
