"""The state of a training on disk: saved whole or not at all, so that a killed training goes on to the same weights."""

import errno
import io
import logging
import os
import time
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from maskmill.errors import MaskmillError
from maskmill.ownership import Ownership
from maskmill.training.failures import is_shortage
from maskmill.training.free_memory import MB

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 180
"""Within an epoch; what a killed training has to compute again."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a file finds no room."""


class StateFolder:
    """The folder of one training's state, held by one process at a time: `with StateFolder(folder, digest) as states:`.

    digest: of everything the training follows from; a state of another digest is never taken up.
    Entering waits while another process holds the folder, and says which one.
    """

    def __init__(self, folder: str | os.PathLike, digest: str) -> None:
        self._folder = Path(folder)
        self._digest = digest
        self._current = self._folder / "state.pt"
        self._previous = self._folder / "previous.pt"
        self._next = self._folder / "next.pt"
        self._ownership = Ownership(self._folder)
        self._saved_at = time.monotonic()

    def __enter__(self) -> "StateFolder":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ownership.acquire()
        self._next.unlink(missing_ok=True)  # of a process that was killed or had no room while it saved
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ownership.release()

    def load(self) -> dict[str, Any] | None:
        """The last state that is whole, tensors on the CPU; None where there is none of this digest.

        A damaged state is renamed to `damaged.<name>`, one of another digest to `<its digest>.<name>`; both are logged.
        Raises MaskmillError, and leaves everything as it is, where memory or the system does not let it be read.
        """
        for path in (self._current, self._previous):
            if not path.exists():
                continue
            try:
                digest, state = _read(path)
            except Exception as error:  # damage shows in many ways, and every one of them means the same here
                _raise_passing(path, error)
                aside = path.with_name(f"damaged.{path.name}")
                os.replace(path, aside)
                logger.warning("the training state %s cannot be read (%s); set aside as %s", path, error, aside)
                continue
            if digest == self._digest:
                return state
            aside = path.with_name(f"{digest[:12]}.{path.name}")
            os.replace(path, aside)
            logger.warning("%s belongs to other options, data or code; set aside as %s", path, aside)
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Put `state` (plain values and tensors) in the place of the last one, which stays as the previous one.

        Raises MaskmillError where another process has taken the folder over, or there is no room.
        """
        self._ownership.check()
        try:
            with _Sink(self._next, "wb") as file:
                self._write(file, state)
        except BaseException:
            self._next.unlink(missing_ok=True)
            raise
        if self._current.exists():
            os.replace(self._current, self._previous)
        os.replace(self._next, self._current)
        self._saved_at = time.monotonic()

    def _write(self, file: "_Sink", state: dict[str, Any]) -> None:
        torch.save({"digest": self._digest, "state": state}, file)
        try:
            if file.error:
                raise file.error
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise MaskmillError(
                f"no room for the training's state ({file.size / MB:,.0f} MB) in {self._folder.resolve()} "
                f"({error.strerror}); make room, then run the same command again: it goes on from the last state"
            ) from error

    def is_due(self) -> bool:
        """Whether the last state is so old that the next should not wait for the end of the epoch."""
        return time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES

    def forget_others(self) -> None:
        """Remove all but the last state: the previous one and those set aside, which a finished training needs not."""
        for path in (self._previous, *self._folder.glob("*.state.pt"), *self._folder.glob("*.previous.pt")):
            path.unlink(missing_ok=True)


class _Sink(io.FileIO):
    """A file that keeps the error of a full disk, in whose place torch raises one of its own, and counts on.

    size: bytes that torch wrote, those that found no room too.
    """

    size = 0
    error: OSError | None = None

    def write(self, data: memoryview) -> int:
        self.size += len(data)
        rest = memoryview(data)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)


def _raise_passing(path: Path, error: Exception) -> None:
    """Raise MaskmillError where an error may pass and so tells nothing of the state."""
    if is_shortage(error):
        raise MaskmillError(
            f"out of memory while reading the training state {path} ({path.stat().st_size / MB:,.0f} MB), which stays; "
            "free some, or ask for more, then run the same command again"
        ) from error
    if isinstance(error, OSError):
        raise MaskmillError(
            f"the training state {path} cannot be read at present ({error.strerror or error}); it stays, as it may be "
            "whole: run the same command again, and if this stays so, remove it to go on from the state before"
        ) from error


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Digest and state of a file; any exception means that it is damaged. Only tensors and plain values are read."""
    with zipfile.ZipFile(path) as archive:  # torch.load leaves the checksums alone
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} does not match")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return saved["digest"], saved["state"]
