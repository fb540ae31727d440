"""Runs that are disturbed: which processes they have, how they are killed, and what has to be equal in the end."""

import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from maskmill.files import sha256_file
from tests.workflow.conftest import Project

PRIVATE = re.compile(
    r"mlflow\.db.*|mlruns/|[^/]+/runs/[^/]+/[^/]+/(state|tensorboard|tracking)/|[^/]+/segmented/state/"
    r"|.*/tensorrt_timings/"
)
"""What is no artifact: MLflow, and what trainings and jobs with new pictures keep for themselves, to go on from."""

UNSTABLE = re.compile(
    r".*/(history\.csv|summary\.json|runtimes\.csv|comparison\.html|report\.html|registered\.json|provenance\.json"
    r"|ro-crate-metadata\.json)"
)
"""Artifacts that hold times of this run, see docs/reproducibility.md, or say which version of a model MLflow made."""

VICTIMS = ("snakemake", "everything", "job", "worker")
SECONDS_TO_END = 20
"""Within which a job has to be gone after its Snakemake."""


@dataclass(frozen=True)
class Kill:
    """A disturbance: `jobs` jobs after the start, and some seconds, a signal to one of `VICTIMS`.

    everything: Snakemake and all its processes, as in a power cut. worker: a process that reads patches for a training.
    during: instead of the count of jobs, the rule that has to be at work.
    """

    victim: str
    signal: signal.Signals
    jobs: int = 0
    seconds: float = 0.0
    during: str = ""

    def __str__(self) -> str:
        when = (
            f"during {self.during or 'training'}"
            if self.during or self.victim == "worker"
            else f"after {self.jobs} jobs"
        )
        return f"{self.signal.name} to {self.victim} {when} and {self.seconds:.2f} s"


def random_kills(seed: int, count: int) -> list[Kill]:
    """So many kills; two seeds of four kills have every victim with both signals."""
    rng = random.Random(seed)
    ways = [(victim, number) for victim in VICTIMS for number in (signal.SIGTERM, signal.SIGKILL)]
    chosen = [ways[(seed * count + number) % len(ways)] for number in range(count)]
    rng.shuffle(chosen)
    # workers are there only while a model is trained, which no kill in between may let pass
    first = next((number for number, (victim, _) in enumerate(chosen) if victim == "worker"), count)
    chosen[first:] = sorted(chosen[first:], key=lambda way: way[0] != "worker")
    return [
        Kill(victim, number, seconds=rng.uniform(0, 0.5))
        if victim == "worker"
        else Kill(victim, number, rng.randrange(11), rng.uniform(0, 2))
        for victim, number in chosen
    ]


class DisturbedRun:
    """Snakemake at work on a project, in a session of its own; what it says is in `output`."""

    def __init__(self, project: Project, *targets: str) -> None:
        self._folder = project.folder
        self._file = project.folder / f"run{len(list(project.folder.glob('run*.txt')))}.txt"
        with open(self._file, "wb") as output:
            self._process = psutil.Popen(
                project.command("--", *targets) if targets else project.command(),
                cwd=project.folder,
                env=os.environ | {"PYTHONPATH": str(project.folder)},
                start_new_session=True,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        """What Snakemake and its jobs said up to now."""
        return self._file.read_text(encoding="utf-8", errors="replace")

    def ended(self) -> bool:
        """Whether Snakemake has ended."""
        return self._process.poll() is not None

    def end(self, seconds: float = 300) -> int:
        """Wait for the end; the exit status."""
        return self._process.wait(seconds)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; AssertionError where the run ends before."""
        assert self._await(condition), f"the run ended before:\n{self.output}"

    def wait_for_jobs(self, jobs: int) -> None:
        """Wait until so many jobs have finished; AssertionError where the run ends before."""
        self.wait_for(lambda: self.output.count("Finished jobid") >= jobs)

    def disturb(self, kill: Kill, rng: random.Random) -> bool:
        """Do it when its time comes and wait for the end of Snakemake; False where that came first.

        AssertionError where a process outlives its Snakemake.
        """
        jobs = self._at_work(kill)
        if not self._await(lambda: self.output.count("Finished jobid") >= kill.jobs and next(jobs, None) is not None):
            return False
        time.sleep(kill.seconds)
        victims, descendants = self._victims(kill, rng), self._descendants()
        if not victims:
            self.end()
            return False
        for victim in victims:
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(kill.signal)
        self.end()
        _, alive = psutil.wait_procs(descendants, SECONDS_TO_END)
        assert not alive, f"{kill}: these go on: {[process.cmdline() for process in alive]}"
        return True

    def _at_work(self, kill: Kill) -> Iterator[psutil.Process]:
        """Endlessly the first process that has to be there before this kill, None where there is none."""
        while True:
            if kill.victim == "worker":
                yield next(iter(self._workers()), None)
            elif kill.during:
                yield next((job for job in self._jobs() if kill.during in job.cmdline()[-1]), None)
            else:
                yield self._process

    def _await(self, condition: Callable[[], bool]) -> bool:
        while not self.ended():
            with suppress(psutil.NoSuchProcess):
                if condition():
                    return True
            time.sleep(0.02)
        return False

    def _victims(self, kill: Kill, rng: random.Random) -> list[psutil.Process]:
        if kill.victim == "snakemake":
            return [] if self.ended() else [self._process]
        if kill.victim == "everything":
            return [] if self.ended() else [self._process, *self._descendants()]
        found: list[psutil.Process] = []

        def some_are_there() -> bool:
            found[:] = self._workers() if kill.victim == "worker" else self._jobs()
            return bool(found)

        return [rng.choice(found)] if self._await(some_are_there) else []

    def _descendants(self) -> list[psutil.Process]:
        try:
            return self._process.children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _jobs(self) -> list[psutil.Process]:
        """The processes that run scripts of rules."""
        return [process for process in self._descendants() if _runs_script(process)]

    def _workers(self) -> list[psutil.Process]:
        """The processes that read patches for a training: forked from its own."""
        return [job for job in self._jobs() if "train_model" in job.cmdline()[-1] and _runs_script(job.parent())]


def _runs_script(process: psutil.Process | None) -> bool:
    try:
        command = process.cmdline() if process else []
    except psutil.Error:
        return False
    return len(command) > 1 and "python" in command[0] and ".snakemake/scripts/" in command[-1]


def unlock(project: Project) -> None:
    """Take away the lock that a killed Snakemake left, if it did."""
    locks = project.folder / ".snakemake/locks"
    if locks.is_dir() and any(locks.iterdir()):
        project.snakemake("--unlock")


def artifacts(folder: Path) -> dict[str, str]:
    """SHA-256 of every artifact in a folder of results by its path; of unstable ones, only that they are there."""
    names = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    return {
        name: "unstable" if UNSTABLE.fullmatch(name) else sha256_file(file)
        for name, file in names.items()
        if not PRIVATE.match(name) and file.name != ".snakemake_timestamp"
    }


def registered(project: Project) -> int:
    """How many versions of the model MLflow has."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/results/mlflow.db")
    return len(client.search_model_versions("name = 'tiny-baseline'"))


def tracked(project: Project) -> Counter:
    """How many runs MLflow has by their name, status and number of epochs."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/results/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    return Counter(
        (
            run.info.run_name,
            run.info.status,
            tuple(entry.step for entry in client.get_metric_history(run.info.run_id, "loss")),
        )
        for run in client.search_runs([experiment.experiment_id])
    )
