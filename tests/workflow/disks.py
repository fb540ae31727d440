"""Disks that are full and folders that cannot be written, where the system lets them be arranged."""

import os
import subprocess
from contextlib import contextmanager, suppress

import pytest


@contextmanager
def read_only(folder):
    """Let nobody write into a folder, root neither, where this may be arranged; else skip the test."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mount("--bind", folder, folder)
    try:
        mount("-o", "remount,ro,bind", folder)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def small_disk(folder):
    """A disk of 64 MB in a folder; skips the test where it cannot be mounted."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")


def fill(folder, left):
    """Fill the disk of a folder but for `left` bytes; the file that does so."""
    ballast = folder / "ballast"
    with open(ballast, "wb") as file:
        while (room := _room(folder) - left) > 0:
            with suppress(OSError):  # a job has taken of it meanwhile
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_blocks * 512 + room)
    return ballast


def _room(folder):
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize
