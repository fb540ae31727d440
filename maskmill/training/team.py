"""The processes that train together: this one leads, and starts one more for each further device, also on other nodes.

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
from dataclasses import asdict, dataclass
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
from maskmill.training.nodes import environment_for_srun, nodes_beside, on_node

logger = logging.getLogger(__name__)

COMMAND = "from maskmill.training.team import assist; assist()"
READY = "ready\n"
PATIENCE = 30
"""Seconds that a process has to end by itself after another one did."""

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit status of a process that was killed, and of the `srun` of one."""


@dataclass(frozen=True)
class Assistant:
    """A process that this one started to train beside it; on another node its `srun`, which ends as it does."""

    name: str
    process: subprocess.Popen

    def reason(self) -> str:
        """Why it failed, once it has."""
        said = self.process.stdout.read().removeprefix(READY).strip()
        if not said and self.process.returncode in KILLED:
            return "it was killed, as systems do that run out of memory"
        return said or f"it ended with exit code {self.process.returncode}"


@contextmanager
def gather_team(arguments: Mapping[str, Any], compute: Mapping[str, Any]) -> Iterator[Fabric]:
    """Start the processes of a training and yield the leading one's Fabric; those beside it run `fit` by themselves.

    arguments: those of `read_job`. Raises MaskmillError with the reason where one of the others fails, and where
    `train.nodes` cannot be had.
    """
    train = arguments["options"]["train"]
    nodes = ["", *nodes_beside(train["nodes"])]
    world = train["devices"] * len(nodes)
    port = find_free_network_port() if world > 1 else 0
    leader, *others = [Place(rank, train["devices"], len(nodes), port) for rank in range(world)]
    assistants: list[Assistant] = []
    over = threading.Event()
    try:
        for place in others:
            assistants.append(_start(arguments, compute, place, nodes[place.node]))
        threading.Thread(target=_end_with_assistants, args=(assistants, over), daemon=True).start()
        if any(assistant.process.stdout.readline() != READY for assistant in assistants):
            _check(assistants)
        yield start_compute(compute, train["deterministic"], leader)
        _check(assistants)
    except RuntimeError as error:
        if is_lost_connection(error):
            _check(assistants)
        raise
    finally:
        over.set()
        for assistant in assistants:
            assistant.process.kill()
            assistant.process.wait()
            with suppress(BrokenPipeError):  # what it was to be told, and did not live to read
                assistant.process.stdin.close()
            assistant.process.stdout.close()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _start(arguments: Mapping[str, Any], compute: Mapping[str, Any], place: Place, node: str) -> Assistant:
    """Start a process that assists, on another node where one is named.

    Its standard input stays open as long as this process lives.
    """
    search = [str(Path(maskmill.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(search)}
    process = subprocess.Popen(
        [*(on_node(node) if node else []), sys.executable, "-c", COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment_for_srun(environment) if node else environment,
    )
    task = {"arguments": arguments, "compute": compute, "place": asdict(place)}
    with suppress(BrokenPipeError):  # it has ended, and its reason is looked for next
        process.stdin.write(json.dumps(task, default=os.fspath) + "\n")
        process.stdin.flush()
    return Assistant(f"device {place.device} of node {node}" if node else f"device {place.device}", process)


def _check(assistants: list[Assistant]) -> None:
    """Wait for the others to end; raise MaskmillError where one of them failed."""
    for assistant in assistants:
        with suppress(subprocess.TimeoutExpired):
            assistant.process.wait(PATIENCE)
        if assistant.process.returncode:
            raise MaskmillError(f"the process of {assistant.name} failed: {assistant.reason()}")


def _end_with_assistants(assistants: list[Assistant], over: threading.Event) -> None:
    """End this process where another one failed and this one keeps waiting for it, as it may for half an hour."""
    while not over.wait(1):
        for assistant in assistants:
            if assistant.process.poll() and not over.wait(PATIENCE):
                logger.error("the process of %s failed: %s", assistant.name, assistant.reason())
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
        with explain_failures(job, task["compute"]["device"], place.device):
            fabric = start_compute(task["compute"], job.train["deterministic"], place)
            fit(job, fabric, saved=fabric.broadcast(None))
    except MaskmillError as error:
        print(error, flush=True)
        sys.exit(1)


def _end_with_leader() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through sys.stdin, which processes that are forked meanwhile could not close
    os._exit(1)
