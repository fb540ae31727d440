"""Finding picture files by name. Standard library alone, since the DAG layer imports this while planning."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from maskmill.errors import MaskmillError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VOLUME_SUFFIXES = (".nii", ".nii.gz")


def strip_suffix(path: str) -> str:
    """A file's path without its suffix, of which ".nii.gz" is one."""
    path = path[: -len(".gz")] if path.lower().endswith(".nii.gz") else path
    return PurePosixPath(path).with_suffix("").as_posix()


def find_pictures(places: Iterable[str]) -> dict[str, Path]:
    """Pictures and volumes named, or found in folders with their subfolders: name of the mask without suffix → file.

    What is found in a folder is named by its path below it. A folder that holds DICOM files is a volume; named itself,
    it has its own name. Raises MaskmillError that lists every place that does not exist or holds no picture and every
    picture whose mask would have the same name as another's.
    """
    found: list[tuple[str, Path]] = []
    wrong: list[str] = []
    for place in map(Path, places):
        if place.is_dir():
            inside = sorted(set(_pictures_below(place)))
            found += inside
            known = ", ".join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))
            wrong += [] if inside else [f"{place}: a folder without pictures ({known}, DICOM files)"]
        elif place.is_file():
            found.append((strip_suffix(place.name), place))
        else:
            wrong.append(f"{place}: no such file or folder")
    counts = Counter(name for name, _ in found)
    wrong += [f"{file}: several masks would be called {name}" for name, file in found if counts[name] > 1]
    if wrong:
        raise MaskmillError("Some pictures cannot be segmented:\n" + "\n".join(f"  - {line}" for line in wrong))
    return dict(found)


def _pictures_below(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in folder.rglob("*"):
        if file.name.lower().endswith(IMAGE_SUFFIXES + VOLUME_SUFFIXES):
            yield strip_suffix(file.relative_to(folder).as_posix()), file
        elif is_dicom(file):
            series = file.parent
            yield series.resolve().name if series == folder else series.relative_to(folder).as_posix(), series


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
