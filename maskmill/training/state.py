"""The state of a training on disk: saved whole or not at all, so that a killed training goes on to the same weights."""

import logging
import os
import time
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from maskmill.ownership import Ownership

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_SAVES = 180
"""Within an epoch; what a killed training has to compute again."""


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
        """The last state that can be read, tensors on the CPU; None where there is none of this digest.

        An unreadable state is removed, one of another digest renamed to `<its digest>.state.pt`; both are logged.
        """
        for path in (self._current, self._previous):
            if not path.exists():
                continue
            try:
                digest, state = _read(path)
            except Exception as error:  # damage shows in many ways, and every one of them means the same here
                logger.warning("the training state %s cannot be read (%s); it is left out", path, error)
                path.unlink()
                continue
            if digest == self._digest:
                return state
            aside = path.with_name(f"{digest[:12]}.{path.name}")
            os.replace(path, aside)
            logger.warning("%s belongs to other options, data or code; set aside as %s", path, aside)
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Put `state` (plain values and tensors) in the place of the last one, which stays as the previous one.

        Raises MaskmillError where another process has taken the folder over.
        """
        self._ownership.check()
        with open(self._next, "wb") as file:
            torch.save({"digest": self._digest, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        if self._current.exists():
            os.replace(self._current, self._previous)
        os.replace(self._next, self._current)
        self._saved_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last state is so old that the next should not wait for the end of the epoch."""
        return time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES

    def forget_previous(self) -> None:
        """Remove the previous state, which a finished training no longer needs."""
        self._previous.unlink(missing_ok=True)


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Digest and state of a file; any exception means that it is damaged. Only tensors and plain values are read."""
    with zipfile.ZipFile(path) as archive:  # torch.load leaves the checksums alone
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of {damaged} does not match")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return saved["digest"], saved["state"]
