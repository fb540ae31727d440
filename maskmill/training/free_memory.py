"""How much memory a process may still take: of the machine, of its container or job, and within its own limits."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import torch

MB = 2**20


def free_megabytes(device: str, number: int = 0) -> float:
    """Memory that this process may still take: of GPU `number` where the device is "cuda", else beside it."""
    if device == "cuda":
        return torch.cuda.mem_get_info(number)[0] / MB
    free = [_available(), *group_bytes()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free.append(limit - mapped_bytes())
    return max(0, min(free)) / MB


def _available() -> int:
    """Bytes that programs can still get; all that the machine has where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def mapped_bytes() -> int:
    """Bytes of this process's address space in use; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def group_bytes(root: Path = Path("/")) -> Iterator[int]:
    """Bytes left to each control group that this process is in and that has a limit, such as a container or a job.

    What the group holds of files counts as left, since the system gives it up. root: where proc and sys lie.
    """
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                folder, limit, used, files = "sys/fs/cgroup", "memory.max", "memory.current", "{}_file"
            elif "memory" in controllers.split(","):
                folder, limit, used = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
                files = "total_{}_file"
            else:
                continue
            group = PurePosixPath(path.lstrip("/"))
            for place in (group, *group.parents):
                with suppress(OSError, ValueError, KeyError):  # no such group in this container, or "max", no limit
                    state = root / folder / place
                    statistics = dict(row.split() for row in (state / "memory.stat").read_text().splitlines())
                    held = sum(int(statistics[files.format(kind)]) for kind in ("active", "inactive"))
                    yield int((state / limit).read_text()) - int((state / used).read_text()) + held
