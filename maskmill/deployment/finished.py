"""What is finished of a shard of pictures, kept outside its job's output, which Snakemake removes when a job starts.

A job that was killed goes on with the picture that it was at, and a shard with a further picture segments that alone.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from maskmill.dag.pictures import companions, dicom_files
from maskmill.files import atomic_path
from maskmill.ownership import Ownership

Stamp = list[list[int | str]]
"""Size in bytes and time of change in nanoseconds of files, as lists because JSON gives these back."""


def picture_stamp(picture: Path) -> Stamp:
    """What another picture shows in: its path, its file and what lies beside it, or the files of its slices."""
    files = dicom_files(picture) if picture.is_dir() else [picture, *filter(Path.exists, companions(picture))]
    return [[os.fspath(picture.absolute())], *_stamp(files)]


class FinishedPictures:
    """The masks of a shard's pictures in the folder `masks`, held by one process: `with FinishedPictures(…) as done:`.

    folder: where they are kept between runs. key: of what masks follow from besides the picture; those of another key
    are removed on entering, as are those of pictures that changed or are not among `pictures` (name → file), and masks
    that were changed by hand. Entering waits while another process holds the folder.
    """

    def __init__(self, folder: Path, key: str, pictures: Mapping[str, Path]) -> None:
        self.masks = folder / "masks"
        self._folder = folder
        self._list = folder / "finished.jsonl"
        self._key = key
        self._pictures = pictures
        self._ownership = Ownership(folder)
        self._files: dict[str, list[str]] = {}
        self._noted: dict[str, Mapping[str, Any]] = {}

    def __enter__(self) -> "FinishedPictures":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ownership.acquire()
        records = [record for record in self._read() if self._is_valid(record)]
        with atomic_path(self._list) as aside:
            aside.write_text("".join(map(_line, [{"key": self._key}, *records])), encoding="utf-8")
        self._files = {record["name"]: record["files"] for record in records}
        self._noted = {record["name"]: record["noted"] for record in records}
        kept = {self.masks / file for files in self._files.values() for file in files}
        for path in self.masks.rglob("*"):
            if path.is_file() and path not in kept:
                path.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ownership.release()

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __len__(self) -> int:
        return len(self._files)

    def add(self, name: str, stamp: Stamp, files: Iterable[Path], noted: Mapping[str, Any]) -> None:
        """Note that a picture, which had this stamp before it was read, is finished; files: what it got in `masks`.

        noted: what else is to be known of it.
        """
        self._ownership.check()
        names = [file.relative_to(self.masks).as_posix() for file in files]
        record = {"name": name, "stamp": stamp, "files": names, "written": self._written(names), "noted": noted}
        with open(self._list, "a", encoding="utf-8") as lines:
            lines.write(_line(record))
        self._files[name], self._noted[name] = names, noted

    def files(self, name: str) -> list[str]:
        """What a finished picture got, the mask first, as paths below `masks`."""
        return self._files[name]

    def noted(self, name: str) -> Mapping[str, Any]:
        """What was noted of a finished picture."""
        return self._noted[name]

    def _read(self) -> Iterator[dict[str, Any]]:
        """What the list says of its key, the last word on each picture; a line that broke off ends it."""
        lines = self._list.read_text(encoding="utf-8").splitlines() if self._list.exists() else []
        records: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(lines):
            try:
                record = json.loads(line)
            except ValueError:
                break
            if number == 0 and record != {"key": self._key}:
                break
            if number > 0:
                records[record["name"]] = record
        yield from records.values()

    def _is_valid(self, record: Mapping[str, Any]) -> bool:
        try:
            picture = self._pictures[record["name"]]
            same = picture_stamp(picture) == record["stamp"] and self._written(record["files"]) == record["written"]
            return same and "noted" in record
        except (KeyError, OSError):
            return False

    def _written(self, files: Iterable[str]) -> Stamp:
        return _stamp(self.masks / file for file in files)


def _stamp(files: Iterable[Path]) -> Stamp:
    return [[state.st_size, state.st_mtime_ns] for state in map(os.stat, files)]


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"
