"""The processes that train together: this one leads, and starts one more for each further device.

The others are interpreters of their own, so it does not matter what this process was started as.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import find_free_network_port

import maskmill
from maskmill.errors import MaskmillError
from maskmill.logs import configure_logging
from maskmill.training.compute import Place, start_compute
from maskmill.training.failures import explain_failures
from maskmill.training.job import read_job
from maskmill.training.loop import fit

logger = logging.getLogger(__name__)

COMMAND = "from maskmill.training.team import assist; assist()"
READY = "ready\n"
PATIENCE = 30
"""Seconds that a process has to end by itself after another one did."""


@contextmanager
def gather_team(arguments: Mapping[str, Any], compute: Mapping[str, Any]) -> Iterator[Fabric]:
    """Start the processes of a training and yield the leading one's Fabric; those beside it run `fit` by themselves.

    arguments: those of `read_job`. Raises MaskmillError with the reason where one of the others fails.
    """
    train = arguments["options"]["train"]
    world = train["devices"]
    port = find_free_network_port() if world > 1 else 0
    assistants = [_start(arguments, compute, Place(rank, world, port)) for rank in range(1, world)]
    over = threading.Event()
    threading.Thread(target=_end_with_assistants, args=(assistants, over), daemon=True).start()
    try:
        if any(assistant.stdout.readline() != READY for assistant in assistants):
            _check(assistants)
        yield start_compute(compute, train["deterministic"], Place(0, world, port))
        _check(assistants)
    except RuntimeError as error:
        if is_lost_connection(error):
            _check(assistants)
        raise
    finally:
        over.set()
        for assistant in assistants:
            assistant.kill()
            assistant.wait()
            assistant.stdin.close()
            assistant.stdout.close()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _start(arguments: Mapping[str, Any], compute: Mapping[str, Any], place: Place) -> subprocess.Popen:
    """Start a process that assists; its standard input stays open as long as this process lives."""
    search = [str(Path(maskmill.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    assistant = subprocess.Popen(
        [sys.executable, "-c", COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
    )
    task = {"arguments": arguments, "compute": compute, "place": asdict(place)}
    assistant.stdin.write(json.dumps(task, default=os.fspath) + "\n")
    assistant.stdin.flush()
    return assistant


def _check(assistants: list[subprocess.Popen]) -> None:
    """Wait for the others to end; raise MaskmillError where one of them failed."""
    for number, assistant in enumerate(assistants, 1):
        with suppress(subprocess.TimeoutExpired):
            assistant.wait(PATIENCE)
        if assistant.returncode:
            raise MaskmillError(f"the process of device {number} failed: {_reason(assistant)}")


def _reason(assistant: subprocess.Popen) -> str:
    said = assistant.stdout.read().removeprefix(READY).strip()
    if not said and assistant.returncode == -signal.SIGKILL:
        return "it was killed, as systems do that run out of memory"
    return said or f"it ended with exit code {assistant.returncode}"


def _end_with_assistants(assistants: list[subprocess.Popen], over: threading.Event) -> None:
    """End this process where another one failed and this one keeps waiting for it, as it may for half an hour."""
    while not over.wait(1):
        for number, assistant in enumerate(assistants, 1):
            if assistant.poll() and not over.wait(PATIENCE):
                logger.error("the process of device %d failed: %s", number, _reason(assistant))
                os._exit(1)


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether an error means that another process is gone, rather than that this one failed."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def assist() -> None:
    """Train beside the process that wrote the task to standard input, and end where that one ends.

    The reason of a failure goes to standard output.
    """
    configure_logging()
    logging.getLogger().setLevel(logging.WARNING)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_leader, daemon=True).start()
    job, place = read_job(**task["arguments"]), Place(**task["place"])
    print(READY, end="", flush=True)
    try:
        with explain_failures(job, task["compute"]["device"], place.rank):
            fabric = start_compute(task["compute"], job.train["deterministic"], place)
            fit(job, fabric, saved=fabric.broadcast(None))
    except MaskmillError as error:
        print(error, flush=True)
        sys.exit(1)


def _end_with_leader() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through sys.stdin, which processes that are forked meanwhile could not close
    os._exit(1)
