"""One process at a time in a folder."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import filelock
import pytest

import maskmill.ownership
from maskmill.errors import MaskmillError
from maskmill.ownership import SILENT_SECONDS, Ownership

HOLD = """
import runpy, sys, time
from pathlib import Path
Ownership = runpy.run_path(sys.argv[3])["Ownership"]  # the package around it takes seconds to import
ownership = Ownership(Path(sys.argv[1]))
ownership.acquire()
print("held", flush=True)
time.sleep(float(sys.argv[2]))
ownership.release()
"""


def hold_elsewhere(folder, seconds, **environment):
    """A process that holds `folder` for so long; it holds it when this returns."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds), maskmill.ownership.__file__],
        stdout=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    return process


def acquire(folder):
    ownership = Ownership(folder)
    ownership.acquire()
    return ownership


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that cannot lock."""

    def fail(self, **_named):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", fail)


def write_owner(folder, age, **owner):
    """Leave the owner file of a process that was last heard of `age` seconds ago."""
    file = folder / "owner"
    file.write_text(json.dumps({"host": "elsewhere", "process": 7, "job": None, "token": "x", **owner}))
    os.utime(file, (time.time() - age,) * 2)
    return file


def test_a_second_process_waits_and_says_for_whom(tmp_path, caplog):
    with hold_elsewhere(tmp_path, 1.5, SLURM_JOB_ID="12") as other:
        started = time.monotonic()
        acquire(tmp_path).release()
        assert time.monotonic() - started > 0.5
    expected = f"waiting: process {other.pid} on {socket.gethostname()} (SLURM job 12) works in {tmp_path}"
    assert expected in caplog.text


def test_the_folder_of_a_killed_process_is_taken_over_at_once_and_that_is_said(tmp_path, caplog):
    with hold_elsewhere(tmp_path, 60) as other:
        other.kill()
    started = time.monotonic()
    acquire(tmp_path).release()
    assert time.monotonic() - started < 5
    assert f"process {other.pid} on {socket.gethostname()} ended without leaving {tmp_path}" in caplog.text
    assert not (tmp_path / "owner").exists()


def test_a_folder_that_was_left_is_taken_without_a_word(tmp_path, caplog):
    acquire(tmp_path).release()
    acquire(tmp_path).release()
    assert not caplog.text


def test_a_process_of_another_host_that_is_heard_of_is_waited_for(tmp_path, caplog, monkeypatch):
    """The lock of another host may not reach here: it counts when its owner file was last touched."""
    monkeypatch.setattr(maskmill.ownership, "SECONDS_BETWEEN_LOOKS", 0.1)
    monkeypatch.setattr(maskmill.ownership, "SILENT_SECONDS", 2)
    write_owner(tmp_path, age=0)
    started = time.monotonic()
    acquire(tmp_path).release()
    assert 1 < time.monotonic() - started < 10
    assert "waiting: process 7 on elsewhere works in" in caplog.text
    assert "process 7 on elsewhere ended without leaving" in caplog.text


def test_a_process_of_another_host_that_fell_silent_is_not_waited_for(tmp_path, caplog):
    write_owner(tmp_path, age=1000)
    started = time.monotonic()
    acquire(tmp_path).release()
    assert time.monotonic() - started < 5
    assert "waiting" not in caplog.text


def test_an_owner_is_heard_of_as_long_as_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(maskmill.ownership, "SECONDS_BETWEEN_TOUCHES", 0.05)
    ownership = acquire(tmp_path)
    os.utime(tmp_path / "owner", (1, 1))
    time.sleep(0.5)
    assert time.time() - (tmp_path / "owner").stat().st_mtime < 5
    ownership.release()


def test_where_files_cannot_be_locked_living_processes_are_waited_for(tmp_path, no_locks, caplog, monkeypatch):
    monkeypatch.setattr(maskmill.ownership, "SECONDS_BETWEEN_LOOKS", 0.1)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"]) as other:
        write_owner(tmp_path, age=0, host=socket.gethostname(), process=other.pid)
        threading.Thread(target=other.wait).start()  # else it stays as a zombie
        acquire(tmp_path).release()
    assert "cannot be locked" in caplog.text
    assert f"waiting: process {other.pid} on" in caplog.text


def test_who_was_held_for_dead_ends_when_it_comes_back(tmp_path):
    ownership = acquire(tmp_path)
    write_owner(tmp_path, age=0)
    with pytest.raises(MaskmillError, match="process 7 on elsewhere took over"):
        ownership.check()
    ownership.release()
    assert (tmp_path / "owner").exists(), "it is the other's"


def test_a_damaged_owner_file_is_no_obstacle(tmp_path):
    (tmp_path / "owner").write_text("{")
    os.utime(tmp_path / "owner", (1, 1))
    acquire(tmp_path).release()


def test_a_file_half_written_by_a_killed_process_is_removed(tmp_path):
    (tmp_path / "owner.dead").touch()
    os.utime(tmp_path / "owner.dead", (time.time() - 2 * SILENT_SECONDS,) * 2)
    (tmp_path / "owner.alive").touch()
    acquire(tmp_path).release()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "owner.alive"]
