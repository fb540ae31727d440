"""Finding picture files by name. Standard library alone, since the DAG layer imports this while planning."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from maskmill.errors import MaskmillError

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
VOLUME_SUFFIXES = (".nii", ".nii.gz")


def strip_suffix(path: str) -> str:
    """A file's path without its suffix, of which ".nii.gz" is one."""
    path = path[: -len(".gz")] if path.lower().endswith(".nii.gz") else path
    return PurePosixPath(path).with_suffix("").as_posix()


def find_pictures(places: Iterable[str]) -> dict[str, Path]:
    """Picture files named, or found in folders with their subfolders: name of the mask without suffix → picture.

    A file found in a folder is named by its path below it. Raises MaskmillError that lists every place that does not
    exist or holds no picture and every picture whose mask would have the same name as another's.
    """
    found: list[tuple[str, Path]] = []
    wrong: list[str] = []
    for place in map(Path, places):
        if place.is_dir():
            inside = sorted(file for file in place.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            found += [(file.relative_to(place).with_suffix("").as_posix(), file) for file in inside]
            wrong += [] if inside else [f"{place}: a folder without pictures ({', '.join(IMAGE_SUFFIXES)})"]
        elif place.is_file():
            found.append((place.stem, place))
        else:
            wrong.append(f"{place}: no such file or folder")
    counts = Counter(name for name, _ in found)
    wrong += [f"{file}: several masks would be called {name}.png" for name, file in found if counts[name] > 1]
    if wrong:
        raise MaskmillError("Some pictures cannot be segmented:\n" + "\n".join(f"  - {line}" for line in wrong))
    return dict(found)
