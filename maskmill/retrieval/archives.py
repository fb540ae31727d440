"""Take single files out of zip and tar archives: all that are wanted or none, and never anything else."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path
from maskmill.logs import progress

_PART = 2**20

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError),  # a zip file with a password or an unknown compression
)


def unpack_members(archive: Path, kind: str, members: Mapping[Path, str]) -> tuple[list[Path], list[Path]]:
    """Unpack files from an archive, all or none of them; which files it does not hold, and which differ from it.

    kind: "zip" or "tar" (of any compression). members: path in the archive by the file to write, whose folder is made;
    all of it may lie below further folders in the archive. A file that is there already stays. Nothing is unpacked
    where the archive does not hold a file that is not there, or holds one that is there with another content. Only
    ordinary files are read, and nothing is written but the files named here, whatever paths the archive holds. Raises
    MaskmillError where the archive is damaged, or where a file could be several of its members.
    """
    try:
        with _opened(archive, kind) as (entries, read), ExitStack() as asides:
            names = {target: _find(member, entries) for target, member in members.items()}
            missing = {target: name for target, name in names.items() if not target.exists()}
            absent = [target for target, name in missing.items() if name is None]
            differing = []
            for target in progress(sorted(names.keys() - missing.keys()), f"comparing with {archive.name}"):
                if names[target] is not None:
                    with read(entries[names[target]]) as source, open(target, "rb") as file:
                        differing += [] if _same(source, file) else [target]
            for target, name in progress([] if absent or differing else missing.items(), f"unpacking {archive.name}"):
                aside = asides.enter_context(atomic_path(target))  # gets its name when all are unpacked
                with read(entries[name]) as source, open(aside, "wb") as file:
                    shutil.copyfileobj(source, file)
    except _DAMAGED as error:
        raise MaskmillError(f"it is damaged or no {kind} archive: {error}") from error
    return absent, differing


def _same(first: IO[bytes], second: IO[bytes]) -> bool:
    """Whether two files hold the same from here to their ends."""
    while True:
        parts = first.read(_PART), second.read(_PART)
        if parts[0] != parts[1]:
            return False
        if not parts[0]:
            return True


@contextmanager
def _opened(archive: Path, kind: str) -> Iterator[tuple[dict[str, Any], Callable[[Any], IO[bytes]]]]:
    """The archive's ordinary files by name, and what opens one of them."""
    if kind == "zip":
        with zipfile.ZipFile(archive) as file:
            yield {entry.filename: entry for entry in file.infolist() if not entry.is_dir()}, file.open
    else:
        with tarfile.open(archive) as file:
            yield {entry.name: entry for entry in file if entry.isfile()}, file.extractfile


def _find(wanted: str, names: Iterable[str]) -> str | None:
    """The name of a member in the archive: its path, or the only one that ends in it."""
    safe = [name for name in names if ".." not in PurePosixPath(name).parts and not PurePosixPath(name).is_absolute()]
    if wanted in safe:
        return wanted
    found = [name for name in safe if name.endswith(f"/{wanted}")]
    if len(found) > 1:
        raise MaskmillError(f"several of its members could be {wanted}: {', '.join(sorted(found))}")
    return found[0] if found else None
