"""The record of a training on disk: everything that MLflow is to get, whether it has got it or not.

A record is a folder `<run>/tracking/<run id>/`: record.json, the pictures that were not sent yet in pictures/, and
validation.png, the last picture. What stands in it can be sent at any time and by any process, over and over.
"""

import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, remove_leftovers, sha256_file

FOLDER = "tracking"
"""Name of the folder of records within that of a run."""

FILE = "record.json"
PICTURE_SPACING = 1.2
"""A picture is kept of an epoch this many times the last one's: of 1,000 epochs at most 35."""


@dataclass
class Record:
    """One training.

    uri: MLflow store, without password. experiment, name: of the MLflow run. tags, params: flat, values are text.
    source, samples: where the data came from, and how many samples each split has.
    environment: see `describe_environment`. token: tag by which the MLflow run is found. started, ended: milliseconds.
    epochs: {"epoch", "time", "metrics": name → number} in order. pictured: epoch of the last picture that was kept.
    files: path relative to the run's folder → SHA-256. results: of the evaluation, name → number.
    status: RUNNING, FINISHED, FAILED or KILLED.
    mlflow_run: id; sent: the parts that it has; complete: it has all.
    """

    folder: Path
    uri: str
    experiment: str
    name: str
    tags: dict[str, str]
    params: dict[str, str]
    source: str
    samples: dict[str, int]
    environment: dict[str, Any]
    mlflow_run: str | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: int = field(default_factory=lambda: now())
    ended: int | None = None
    status: str = "RUNNING"
    epochs: list[dict[str, Any]] = field(default_factory=list)
    pictured: int = 0
    files: dict[str, str] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    complete: bool = False

    @property
    def run_folder(self) -> Path:
        """The folder of the run, with its outputs."""
        return self.folder.parents[1]

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Read a record. Raises FileNotFoundError where there is none, MaskmillError for one that is damaged."""
        try:
            return cls(folder=folder, **json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise MaskmillError(f"{folder / FILE} is damaged ({error}); the training writes it again") from error

    def save(self) -> None:
        """Write record.json, whole or not at all."""
        content = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "folder"}
        with atomic_path(self.folder / FILE) as aside:
            aside.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")

    def add_epochs(self, history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Take the epochs of a training's history that are not in the record yet; returns them."""
        known = {entry["epoch"] for entry in self.epochs}
        added = [
            {"epoch": row["epoch"], "time": now(), "metrics": _numbers(row)}
            for row in history
            if row["epoch"] not in known
        ]
        self.epochs = sorted(self.epochs + added, key=lambda entry: entry["epoch"])
        return added

    def add_picture(self, picture: np.ndarray, epoch: int) -> bool:
        """Keep a picture, RGB uint8 (H, W, 3), as the last one; returns whether it is one of those to be sent by epoch.

        Those are spaced ever wider, so that their number stays small however long the training.
        """
        with atomic_path(self.validation_picture) as aside:
            Image.fromarray(picture).save(aside)
        if epoch < self.pictured * PICTURE_SPACING:
            return False
        self.pictured = epoch
        with atomic_path(self.folder / f"pictures/{epoch:06d}.png") as aside:
            Image.fromarray(picture).save(aside)
        return True

    @property
    def validation_picture(self) -> Path:
        """The last picture."""
        return self.folder / "validation.png"

    def pending_pictures(self) -> dict[int, Path]:
        """Pictures that are still to be sent, by epoch."""
        return {int(path.stem): path for path in sorted((self.folder / "pictures").glob("[0-9]*.png"))}

    def end(self, status: str, files: Sequence[str | os.PathLike] = ()) -> None:
        """Close the record with the training's outputs."""
        self.status, self.ended, self.complete = status, now(), False
        self.files = {Path(os.path.relpath(file, self.run_folder)).as_posix(): sha256_file(file) for file in files}

    def add_results(self, results: Mapping[str, float]) -> None:
        """Take what the evaluation gave, to be sent."""
        self.results, self.complete = dict(results), False
        self.save()

    def restart(self, first_epoch: int) -> None:
        """Go on with a training that did not end, or ended before; epochs from `first_epoch` on will come again."""
        self.status, self.ended, self.complete, self.files, self.results = "RUNNING", None, False, {}, {}
        self.epochs = [entry for entry in self.epochs if entry["epoch"] < first_epoch]
        self.pictured = min(self.pictured, first_epoch - 1)


def open_record(folder: Path, first_epoch: int, **description: Any) -> Record:
    """The record in `folder` of a training that goes on at `first_epoch`, brought up to date, or a fresh one.

    description: the fields of the record that are known before the training. Its `mlflow_run` counts where the record
    has none. A training that begins again at epoch 1 after epochs were recorded gets an MLflow run of its own; the
    record of the former, which may wait to be closed, is then in a folder beside.
    """
    record = Record(folder=folder, **description)
    for path in (folder / FILE, record.validation_picture):
        remove_leftovers(path)
    with suppress(FileNotFoundError, MaskmillError):
        before = Record.read(folder)
        if first_epoch > 1 or not before.epochs:
            for name in description.keys() - {"mlflow_run", "environment"}:
                setattr(before, name, description[name])
            before.mlflow_run = before.mlflow_run or description["mlflow_run"]
            before.restart(first_epoch)
            record = before
        else:
            folder.rename(folder.with_name(f"{folder.name}-{before.token[:8]}"))
            folder.mkdir()
    for epoch, path in record.pending_pictures().items():
        if epoch >= first_epoch:
            path.unlink()
    record.save()
    return record


def find_records(folder: Path) -> list[Path]:
    """Folders of all records below `folder`, which may be that of a run or any above it."""
    return sorted(file.parent for file in folder.rglob(f"{FOLDER}/*/{FILE}"))


def records_lock(folder: Path) -> FileLock:
    """The lock of the records of one run; folder: of a record."""
    return FileLock(folder.parent / "lock")


def now() -> int:
    """Milliseconds since 1970, as MLflow counts."""
    return int(time.time() * 1000)


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of an epoch: what is not None, without the number of the epoch itself."""
    return {name: float(value) for name, value in row.items() if name != "epoch" and value is not None}
