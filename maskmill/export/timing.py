"""A process that runs one model in one runtime and is timed: `python -m maskmill.export.timing`.

It reads a line of JSON, a `Job`, loads the model and answers the seconds that took; then for each line with a command
it answers a number. Commands: `tiles N`, a batch of N tiles, in ms; `picture`, from the file to the mask, in ms;
`pixels`, the same with pixels already in memory; `memory`, the most memory that the process had, in MB. Whatever else
is printed goes to standard error.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.data.cases import read_pixels
from maskmill.imaging.lazy import open_pixels
from maskmill.inference.artifacts import Artifact
from maskmill.inference.engines import find_backend
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import Runtime


@dataclass(frozen=True)
class Job:
    """What to run, as plain values.

    artifact: runtime and precision (see `Artifact`) with its files in `folder`; None for the members in PyTorch, which
    `compiled` has compiled. recipe: `Recipe.as_dict`. picture: file of a picture or volume, and whether it is a volume.
    """

    artifact: tuple[str, str] | None
    folder: str
    models: list[str]
    configs: list[str]
    tiling: Mapping[str, Any]
    recipe: Mapping[str, Any]
    picture: tuple[str, bool]
    threads: int
    compiled: bool = False


class Worker:
    """The process of a job, as the one who times it sees it."""

    def __init__(self, job: Job) -> None:
        package = Path(__file__).parents[2]
        paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "maskmill.export.timing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        self.load_seconds = self.ask(json.dumps(asdict(job)))

    def ask(self, command: str) -> float:
        """The answer to a command. Raises RuntimeError where the process died; what it said is on standard error."""
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that is timed ended with status {self._process.wait()}")
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class _Subject:
    """A loaded job, in its own process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._batches: dict[int, np.ndarray] = {}
        load = self._loader()
        start = time.perf_counter()
        self._runtime = load()
        self.load_seconds = time.perf_counter() - start

    def _loader(self) -> Callable[[], Runtime]:
        """What loads the model, with the libraries already imported."""
        job = self._job
        self.recipe = Recipe.from_dict(job.recipe)
        if job.artifact:
            artifact = Artifact(*job.artifact)
            if artifact.runtime == "tensorrt":
                find_backend()
            else:
                importlib.import_module(artifact.runtime)
            return lambda: artifact.open(Path(job.folder), job.threads)
        importlib.import_module("maskmill.models")
        from maskmill.inference.members import join_members
        from maskmill.runs import read_run

        joined = join_members([read_run(Path(config)) for config in job.configs], job.tiling)
        models = [Path(model) for model in job.models]
        return lambda: joined.torch_runtime(models, job.threads, compiled=job.compiled)

    def answer(self, command: str) -> float:
        """The answer to one command."""
        name, _, count = command.partition(" ")
        if name == "memory":
            return peak_memory_mb()
        if name == "tiles":
            return _milliseconds(self._runtime, self._batch(int(count)))
        if name == "pixels":
            return _milliseconds(self.recipe.mask, self._pixels, self._runtime, self._job.picture[0])
        return _milliseconds(self._mask_of_file)

    def _batch(self, count: int) -> np.ndarray:
        """So many tiles of noise of the size that the recipe cuts; made once."""
        if count not in self._batches:
            shape = self.recipe.tiling.tile[-self.recipe.dimensions :]
            random = np.random.default_rng(0)
            channels = self.recipe.preprocessing.channels
            self._batches[count] = random.standard_normal((count, channels, *shape), np.float32)
        return self._batches[count]

    @cached_property
    def _pixels(self) -> np.ndarray:
        return read_pixels(*self._job.picture)

    def _mask_of_file(self) -> None:
        with open_pixels(*self._job.picture) as image:
            self.recipe.mask(image, self._runtime, self._job.picture[0])


def _milliseconds(work: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    work(*arguments)
    return (time.perf_counter() - start) * 1000


def peak_memory_mb() -> float:
    """The most memory that this process had, in MB of 2^20 bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    lines = status.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Answer until the input ends."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        subject = _Subject(Job(**json.loads(sys.stdin.readline())))
        print(subject.load_seconds, file=answers, flush=True)
        for command in sys.stdin:
            print(subject.answer(command.strip()), file=answers, flush=True)


if __name__ == "__main__":
    main()
