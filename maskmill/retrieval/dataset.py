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
from maskmill.files import atomic_path
from maskmill.logs import progress
from maskmill.retrieval.archives import unpack_members
from maskmill.retrieval.download import DownloadError, Patience, download
from maskmill.retrieval.inventory import INVENTORY, Failure, Inventory, Wanted, examine, put_right, verify

AT_ONCE = 4
"""Files that are fetched or verified at the same time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """An archive, "zip" or "tar", and which of its members are wanted: path in the archive by path of the file."""

    file: Wanted
    kind: str
    members: Mapping[str, str]

    def origin(self, path: str) -> str:
        """Where an unpacked file is from."""
        return f"{self.file.urls[0] if self.file.urls else self.file.path}#{self.members[path]}"


def retrieve_dataset(
    folder: Path, options: Mapping[str, Any], complete: Path, patience: Patience | None = None
) -> None:
    """Bring the data set that `options` (the config's section `retrieve`) describes to `folder`.

    What is there already is verified and kept; the rest is fetched. LICENCE.txt and CITATION.txt are written before
    anything is fetched. inventory.csv lists path, size in bytes, sha256 and url of every file (none if it was put there
    by hand); it outlives failures, and a file that has no checksum in the config must stay what it first was.
    An archive that was unpacked is in the inventory too, and may be deleted. `complete`, one line of text, is written
    when everything is there.

    Raises MaskmillError that lists everything that is missing or wrong, with the reasons and what to do.
    """
    complete.unlink(missing_ok=True)
    patience = replace(patience or Patience(), stop=threading.Event())
    inventory = Inventory(folder)
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
    unpacked = [archive.file.path for archive in archives]
    count, size = inventory.keep([file.path for file in [*files, *members]], unpacked)
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
    folder: Path, indexes: Iterable[Mapping[str, Any]], inventory: Inventory, patience: Patience
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
            files = f"{len(links)} {'file that matches' if len(links) == 1 else 'files that match'}"
            reason = f"it links to {files} {pattern}, expected {count}"
        except DownloadError as error:
            links, reason = {}, str(error)
        if len(links) == count:
            found += [Wanted(f"{place}/{name}", (url,)) for name, url in sorted(links.items())]
        else:
            remedy = f"put the files ({count}) by hand into {folder / place}, where there are {len(there)} now"
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


def _fetch(file: Wanted, folder: Path, inventory: Inventory, patience: Patience) -> Failure | None:
    """See that one file is there, is the right one and is in the inventory."""
    if (folder / file.path).exists():
        return verify(file, folder, inventory)
    url, failure = _download(file, folder, inventory, patience)
    return failure or verify(file, folder, inventory, url)


def _download(file: Wanted, folder: Path, inventory: Inventory, patience: Patience) -> tuple[str, Failure | None]:
    """Fetch a file from the first address that delivers it; that address, or why there is none."""
    target, known = folder / file.path, None if file.sha256 else inventory.sha256(file.path)
    reasons = []
    for url in file.urls:
        try:
            download(url, target, file.sha256 or known, file.size, patience)
        except (DownloadError, OSError) as error:
            reasons.append(f"{url}: {error}")
        else:
            return url, None
    reasons = reasons or ["there is no address to fetch it from"]
    remedy = f"put the file there by hand: {target}"
    if known:
        remedy += f"; if it is another one than it first was, take its line out of {inventory.path}"
    return "", Failure(str(target), tuple(reasons), remedy)


def _see_to_members(archives: list[Archive], folder: Path, inventory: Inventory, patience: Patience) -> list[Failure]:
    """Unpack the archives whose members are not all there, and verify all members."""
    origins = {path: archive.origin(path) for archive in archives for path in _missing(folder, archive)}
    failures = _each(
        lambda archive: _see_to_archive(archive, folder, inventory, patience), archives, "archives", patience
    )
    there = [Wanted(path) for archive in archives for path in archive.members if (folder / path).exists()]
    return failures + _each(
        lambda file: verify(file, folder, inventory, origins.get(file.path)), there, "unpacked files", patience
    )


def _missing(folder: Path, archive: Archive) -> list[str]:
    return [path for path in archive.members if not (folder / path).exists()]


def _see_to_archive(archive: Archive, folder: Path, inventory: Inventory, patience: Patience) -> Failure | None:
    """Unpack what is not there yet from an archive, which is fetched first if it is not there itself, and note it."""
    target, missing = folder / archive.file.path, [folder / path for path in _missing(folder, archive)]
    url = inventory.url(archive.file.path)
    if not target.exists():
        if not missing:
            return None
        url, failure = _download(archive.file, folder, inventory, patience)
        if failure:
            return _by_hand(failure, missing)
    size, digest, failure = examine(archive.file, folder, inventory)
    if failure:
        return _by_hand(failure, missing)
    members = {folder / path: member for path, member in archive.members.items()}
    if inventory.sha256(archive.file.path) == digest:  # what was unpacked from it before is in the inventory
        members = {file: members[file] for file in missing}
    failure = _unpack(target, archive.kind, members, inventory)
    if failure is None:
        inventory.record(archive.file.path, size, digest, url)
    return failure


def _unpack(archive: Path, kind: str, members: Mapping[Path, str], inventory: Inventory) -> Failure | None:
    """Unpack the files that are not there yet; or nothing, and why. Those that are there must be as in the archive."""
    try:
        absent, differing = unpack_members(archive, kind, members)
    except MaskmillError as error:
        missing = [file for file in members if not file.exists()]
        return _by_hand(Failure(str(archive), (str(error),), put_right(archive)), missing)
    reasons = [f"it does not hold {members[file]}" for file in absent]
    reasons += [f"its {members[file]} is not the same as {file}" for file in differing]
    remedy = f"nothing was unpacked; {put_right(archive)}"
    if differing:
        remedy += (
            f"\n    or take the files that differ away, and their lines out of {inventory.path}, to unpack them anew"
        )
    return _by_hand(Failure(str(archive), tuple(reasons), remedy), absent) if reasons else None


def _by_hand(failure: Failure, missing: list[Path]) -> Failure:
    """A failure of an archive, with the places of the files that are missing for it."""
    if not missing:
        return failure
    places = "".join(f"\n      {file}" for file in missing)
    return replace(failure, remedy=f"{failure.remedy}\n    or put the files there that are wanted from it:{places}")


def _report(folder: Path, failures: list[Failure], manual: str) -> str:
    lines = [
        f"{folder} is not complete. What is there stays; run the same command again to get the rest. Missing or wrong:",
        *map(str, failures),
    ]
    return "\n".join([*lines, *(["How to get the data:", manual.strip()] if manual else [])])
