"""What Snakemake noted of the jobs of a run, read from `.snakemake/metadata`.

Snakemake keeps a JSON file for each output, named by its path in URL-safe base64; of a longer name each 254 characters
but the last are a folder that begins with "@".
"""

import base64
import binascii
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A job that has run.

    rule: as this workflow calls it. inputs, outputs, log: paths relative to the working directory, sorted. params:
    values as Python writes them, without their names, as Snakemake notes them. conda: text of the environment file,
    None where it named none. started and ended: seconds since 1970.
    """

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    log: tuple[str, ...]
    conda: str | None
    started: float
    ended: float


def read_jobs(metadata: Path, logs: Path) -> list[Job]:
    """The jobs of a folder `.snakemake/metadata`, by rule and outputs; none where there is no such folder.

    logs: folder of the workflow's logs, in which each rule has a file or a folder of its name. They tell the rule:
    where another workflow uses this one as a module, Snakemake notes another name, such as `maskmill_train_model`.

    What cannot be read, because another version of Snakemake wrote it, is left out with a warning.
    """
    found: dict[tuple[str, ...], tuple[dict[str, Any], list[str]]] = {}
    for file in (Path(folder, name) for folder, _, names in os.walk(metadata) for name in names):
        try:
            output, entry = _decode(file.relative_to(metadata)), json.loads(file.read_text(encoding="utf-8"))
            if not entry["incomplete"]:
                # a rule writes its outputs in one job, and a log is of one job alone
                found.setdefault((entry["rule"], *entry["log"]), (entry, []))[1].append(output)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            logger.warning("%s says nothing of its job: %s", file, error)
    jobs = (_job(entry, outputs, logs) for entry, outputs in found.values())
    return sorted(jobs, key=lambda job: (job.rule, job.outputs))


def _decode(name: Path) -> str:
    encoded = "".join(part.removeprefix("@") for part in name.parts)
    return base64.urlsafe_b64decode(encoded).decode("utf-8")


def _job(entry: dict[str, Any], outputs: Sequence[str], logs: Path) -> Job:
    conda = entry.get("conda_env")
    own = [Path(log).relative_to(logs).parts[0] for log in entry["log"] if Path(log).is_relative_to(logs)]
    return Job(
        rule=own[0].removesuffix(".log") if own else entry["rule"],
        inputs=tuple(sorted(entry["input"])),
        outputs=tuple(sorted(outputs)),
        params=tuple(entry["params"]),
        log=tuple(entry["log"]),
        conda=base64.b64decode(conda).decode("utf-8") if conda else None,
        started=entry["starttime"],
        ended=entry["endtime"],
    )


def jobs_behind(targets: Iterable[str], jobs: Iterable[Job]) -> list[Job]:
    """The jobs that made `targets`, and what those were made from, and so on; in the order in which they ended."""
    maker = {output: job for job in jobs for output in job.outputs}
    found: dict[Job, None] = {}
    pending = list(targets)
    while pending:
        job = maker.get(pending.pop())
        if job is not None and job not in found:
            found[job] = None
            pending += job.inputs
    return sorted(found, key=lambda job: (job.ended, job.rule, job.outputs))


def as_time(seconds: float) -> str:
    """A moment in ISO 8601, in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
