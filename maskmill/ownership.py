"""Whose a folder is: a file lock, and a file that names the process and is touched while that one lives.

The lock ends with its process, but does not reach other hosts on every shared file system; there the touches count.
"""

import json
import logging
import math
import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from maskmill.errors import MaskmillError
from maskmill.files import is_running

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_TOUCHES = 30
SILENT_SECONDS = 4 * SECONDS_BETWEEN_TOUCHES
"""An owner on another host that has not touched its file for as long has ended."""

SECONDS_BETWEEN_LOOKS = 1
JOB_VARIABLES = {"SLURM_JOB_ID": "SLURM job", "PBS_JOBID": "PBS job", "LSB_JOBID": "LSF job"}


class Ownership:
    """A folder held by one process at a time, between `acquire` and `release`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "owner"
        self._lock = FileLock(folder / "lock")
        self._token = secrets.token_hex(8)
        self._released = threading.Event()
        self._said = ""

    def acquire(self) -> None:
        """Wait while another process holds the folder, saying which one, and hold it."""
        locked = self._acquire_lock()
        while (owner := self._read()) and self._lives(owner, locked):
            self._say_waiting(owner)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if owner:
            logger.warning("%s ended without leaving %s; going on from its state", _describe(owner), self._folder)
        self._write()
        self._remove_leftovers()
        threading.Thread(target=self._keep_touching, daemon=True).start()

    def release(self) -> None:
        """Let others have the folder."""
        self._released.set()
        if self._is_ours():
            self._file.unlink(missing_ok=True)
        self._lock.release()

    def check(self) -> None:
        """Raise MaskmillError where another process has taken the folder over, having held this one for dead."""
        if not self._is_ours():
            other = _describe(self._read() or {})
            raise MaskmillError(f"{other} took over {self._folder}; only one process may use it, and this one ends")

    def _acquire_lock(self) -> bool:
        """Take the file lock; False where the file system has none."""
        try:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                self._say_waiting(self._read() or {})
                self._lock.acquire(poll_interval=SECONDS_BETWEEN_LOOKS)
        except OSError as error:
            logger.warning("files in %s cannot be locked (%s); owners are told by a file alone", self._folder, error)
            return False
        return True

    def _lives(self, owner: Mapping[str, Any], locked: bool) -> bool:
        """Whether the process that left this owner file may still be at work, though the lock is ours."""
        if owner.get("host") == socket.gethostname():
            return not locked and is_running(owner.get("process"))
        return self._silent_seconds(self._file) < SILENT_SECONDS

    def _silent_seconds(self, path: Path) -> float:
        """Age of a file by the clock of its file system, as other hosts may touch it too; infinite where it is gone."""
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            now = os.fstat(file.fileno()).st_mtime
        try:
            return now - path.stat().st_mtime
        except FileNotFoundError:
            return math.inf

    def _say_waiting(self, owner: Mapping[str, Any]) -> None:
        words = f"waiting: {_describe(owner)} works in {self._folder}; end it if it should not"
        if words != self._said:
            logger.warning("%s", words)
            self._said = words

    def _read(self) -> dict[str, Any] | None:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}

    def _write(self) -> None:
        job = next((f"{name} {os.environ[key]}" for key, name in JOB_VARIABLES.items() if key in os.environ), None)
        owner = {"host": socket.gethostname(), "process": os.getpid(), "job": job, "token": self._token}
        aside = self._file.with_name(f"owner.{self._token}")
        aside.write_text(json.dumps(owner), encoding="utf-8")
        os.replace(aside, self._file)

    def _remove_leftovers(self) -> None:
        """Remove what processes left that were killed while they wrote their owner files."""
        for path in self._folder.glob("owner.*"):
            if self._silent_seconds(path) > SILENT_SECONDS:
                path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        return (self._read() or {}).get("token") == self._token

    def _keep_touching(self) -> None:
        while not self._released.wait(SECONDS_BETWEEN_TOUCHES):
            if self._is_ours():
                os.utime(self._file)


def _describe(owner: Mapping[str, Any]) -> str:
    """Such as "process 4711 on node3 (SLURM job 12)"."""
    if "process" not in owner:
        return "another process"
    job = f" ({owner['job']})" if owner.get("job") else ""
    return f"process {owner['process']} on {owner.get('host')}{job}"
