"""Finding picture files by name. Standard library alone, since the DAG layer imports this while planning."""

import glob
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from maskmill.errors import MaskmillError
from maskmill.wording import count_of

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
ARRAY_SUFFIXES = (".npy",)
VOLUME_SUFFIXES = (".nii", ".nii.gz")


def strip_suffix(path: str) -> str:
    """A file's path without its suffix, of which ".nii.gz" is one."""
    path = path[: -len(".gz")] if path.lower().endswith(".nii.gz") else path
    return PurePosixPath(path).with_suffix("").as_posix()


def find_pictures(places: Iterable[str | os.PathLike], output: str | os.PathLike | None = None) -> dict[str, Path]:
    """Pictures and volumes named, or found in folders with their subfolders: name of the mask without suffix → file.

    A place may also be a pattern with `*`, `?`, `[…]` or `**`, which stands for folders of any depth. What is found in
    a folder is named by its path below it, what a pattern finds by its path below the folders that the pattern spells
    out. A folder that holds DICOM files is a volume; named itself, it has its own name. Pictures whose names differ in
    the suffix alone keep it: the masks of a.jpg and a.tif are called "a.jpg" and "a.tif". What is found twice counts
    once. Linked folders are looked into. Of what a folder or pattern finds, that in `output`, the folder that masks are
    written to, is left out as masks of another run, unless the folder itself lies in there. Raises MaskmillError that
    lists every place that does not exist or holds no picture, every picture whose mask would have the same name as
    another's, and names that are not UTF-8.
    """
    found: dict[tuple[str, Path], None] = {}
    wrong: list[str] = []
    known = ", ".join((*IMAGE_SUFFIXES, *ARRAY_SUFFIXES, *VOLUME_SUFFIXES))
    for place in map(Path, places):
        if place.is_file():
            found[strip_suffix(place.name), place] = None
        elif place.is_dir() or is_pattern(place):
            inside = sorted(set(_pictures_below(place) if place.is_dir() else _pictures_like(place)))
            root = place if place.is_dir() else _spelled_out(place)
            if output is not None and not _lies_below(root, output):
                inside = _outside(inside, output)
            found |= dict.fromkeys(inside)
            none = "a folder without pictures" if place.is_dir() else "a pattern that no picture has"
            wrong += [] if inside else [f"{place}: {none} ({known}, DICOM files)"]
        else:
            wrong.append(f"{place}: no such file or folder")
    found = _told_apart(found)
    counts = Counter(name for name, _ in found)
    wrong += [f"{file}: several masks would be called {name}" for name, file in found if counts[name] > 1]
    wrong += [f"{os.fsencode(file)!r}: a name that is not UTF-8; rename it" for _, file in found if not _is_utf8(file)]
    if wrong:
        raise MaskmillError("Some pictures cannot be segmented:\n" + "\n".join(f"  - {line}" for line in wrong))
    return dict(found)


def _told_apart(found: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Pictures by name, those of one name by the whole names of their files where these differ."""
    alike: dict[str, list[Path]] = {}
    for name, file in found:
        alike.setdefault(name, []).append(file)
    told_apart = []
    for name, files in alike.items():
        distinct = len(files) > 1 and len({file.name for file in files} - {""}) == len(files)
        told_apart += [
            (PurePosixPath(name).with_name(file.name).as_posix() if distinct else name, file) for file in files
        ]
    return told_apart


def _is_utf8(file: Path) -> bool:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_pattern(place: str | os.PathLike) -> bool:
    """Whether a place is no file or folder itself, but a pattern for the names of some."""
    return glob.has_magic(str(place)) and not Path(place).exists()


def _pictures_like(pattern: Path) -> Iterator[tuple[str, Path]]:
    """Pictures that a pattern finds, and what is in folders that it finds, named below the folders it spells out."""
    root = _spelled_out(pattern)
    pattern = Path(glob.escape(str(root)), *pattern.parts[len(root.parts) :])
    for match in map(Path, glob.glob(str(pattern), recursive=True)):  # noqa: PTH207 - it takes every pattern
        if match.is_dir():
            yield from ((_name_below(root, file), file) for _, file in _pictures_below(match))
        else:
            yield from ((_name_below(root, file), file) for file in _picture_of(match))


def _spelled_out(pattern: Path) -> Path:
    """The folders that a pattern begins with, up to the first part that is one."""
    parts = pattern.parts
    return Path(*parts[: next(place for place in range(len(parts)) if is_pattern(Path(*parts[: place + 1])))])


def _lies_below(place: Path, folder: str | os.PathLike) -> bool:
    """Whether a file or folder is that folder, or in it, wherever links lead."""
    return Path(os.path.realpath(place)).is_relative_to(os.path.realpath(folder))


def _outside(found: list[tuple[str, Path]], output: str | os.PathLike) -> list[tuple[str, Path]]:
    """Pictures that are not in the folder `output`; says how many are."""
    made = {folder: _lies_below(folder, output) for folder in {file.parent for _, file in found}}
    outside = [(name, file) for name, file in found if not made[file.parent]]
    if left := len(found) - len(outside):
        logger.info("left out %s below %s, where masks are written", count_of(left, "picture"), output)
    return outside


def _name_below(root: Path, file: Path) -> str:
    """Name of the mask of a picture, or of a volume's folder, that lies in a folder or is that folder."""
    if file == root:
        return root.resolve().name
    name = file.relative_to(root).as_posix()
    return name if file.is_dir() else strip_suffix(name)


def _pictures_below(folder: Path) -> Iterator[tuple[str, Path]]:
    seen: set[str] = set()  # links may lead back
    for place, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        for file in files:
            yield from ((_name_below(folder, picture), picture) for picture in _picture_of(Path(place, file)))


def _picture_of(file: Path) -> Iterator[Path]:
    """A file that is a picture or volume, or the folder of one of its slices."""
    if file.name.lower().endswith(IMAGE_SUFFIXES + ARRAY_SUFFIXES + VOLUME_SUFFIXES):
        yield file
    elif is_dicom(file):
        yield file.parent


def companions(picture: Path) -> list[Path]:
    """Files beside a picture that would say where it lies, or where it has no data; they need not exist."""
    return [picture.with_name(name) for name in _companion_names(picture.name)]


def _companion_names(name: str) -> list[str]:
    stem, dot, last = name.rpartition(".")
    suffix = dot + last
    ends = [f"{suffix[:2]}{suffix[-1:]}w", f"{suffix}w", ".wld", ".prj"]
    beside = {f"{stem}{case}" for end in ends for case in (end.lower(), end.upper())}
    return [*sorted(beside), f"{name}.aux.xml", f"{name}.msk"]


def _is_file(entry: os.DirEntry) -> bool:
    """Whether it is a file, which needs no look at the disk but for links; one that leads to itself is none."""
    try:
        return entry.is_file()
    except OSError:
        return False


def stamp_pictures(pictures: Mapping[str, Path]) -> dict[str, list[tuple[str, int, int]]]:
    """What a change of a picture (name → file) shows in: name, bytes and nanoseconds of change of each of its files.

    These are its own file, or those of a folder of slices, and its companions. Every folder is listed once.
    """
    listings: dict[str, dict[str, tuple[str, int, int]]] = {}

    def files_in(folder: str) -> dict[str, tuple[str, int, int]]:
        if folder not in listings:
            with os.scandir(folder) as entries:
                states = {entry.name: entry.stat() for entry in entries if _is_file(entry)}
            listings[folder] = {name: (name, state.st_size, state.st_mtime_ns) for name, state in states.items()}
        return listings[folder]

    stamps = {}
    for name, picture in pictures.items():
        folder, own = os.path.split(picture)
        files = files_in(folder or ".")
        if own in files or not picture.is_dir():  # a link to nothing has no file, of which the job says so
            stamps[name] = [files[file] for file in (own, *_companion_names(own)) if file in files]
        else:
            stamps[name] = sorted(files_in(os.fspath(picture)).values())
    return stamps


def dicom_files(folder: str | os.PathLike) -> list[Path]:
    """The DICOM files right in a folder, sorted."""
    return sorted(filter(is_dicom, Path(folder).iterdir()))


def is_dicom(path: str | os.PathLike) -> bool:
    """Whether a file is one of DICOM: named .dcm, or without a suffix and with DICOM's first bytes; no DICOMDIR."""
    path = Path(path)
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR" or not path.is_file():
        return False
    if path.suffix and not path.suffix[1:].isdigit():  # names that are identifiers (1.2.840.…) end in a number
        return path.suffix.lower() == ".dcm"
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"
