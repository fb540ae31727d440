"""A job ends with the run that started it, however that one ended: a killed Snakemake cannot end its jobs itself.

What goes on without its run may write over what a later run, of other options, made. On Linux only.
"""

import logging
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

RUN = "MASKMILL_RUN"
"""Environment variable in which jobs find their run: its process id and its namespace of process ids."""

SECONDS_TO_END = 10
"""A job that is still there so long after its run, deep in a computation, is ended without tidying up."""


def announce_run() -> None:
    """Let this process be the run that the jobs it starts end with."""
    if namespace := _namespace():
        os.environ[RUN] = f"{os.getpid()} {namespace}"


def end_with_run() -> None:
    """End this process, as SIGTERM does, when the run that started it ends or if it has; of no run it does nothing."""
    process, _, namespace = os.environ.get(RUN, "").partition(" ")
    if process and namespace == _namespace():  # in a container's own namespace the number means another process
        threading.Thread(target=_end_with, args=(int(process),), daemon=True).start()


def _namespace() -> str | None:
    """Such as "pid:[4026531836]"; None where the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _end_with(process: int) -> None:
    try:
        run = os.pidfd_open(process)
    except ProcessLookupError:
        pass
    except (AttributeError, OSError):  # an old system, or one that forbids it: jobs outlive their run there
        return
    else:
        if process in _ancestors():  # otherwise the run is gone, and the number is another's
            end = select.poll()
            end.register(run, select.POLLIN)
            end.poll()
    logger.error("the run that started this job has ended (process %d), and so does the job", process)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(SECONDS_TO_END)
    os._exit(1)


def _ancestors() -> Iterator[int]:
    """The processes that this one descends from, the nearest first."""
    process = os.getppid()
    while process > 0:
        yield process
        try:
            status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        process = int(status.rpartition(")")[2].split()[1])
