"""The record of a finished run: which files there are, by their SHA-256, and which job made them from what.

provenance.json holds: schema_version, dataset, maskmill (version), config (resolved, as JSON in a text, since the order
of classes counts), environment, lock (SHA-256 of the pins), written (time), runs (of every training), sources (file →
SHA-256 and size, of pictures and annotations), jobs and files. A file has SHA-256, size, the number of its job, whether
another run gives the same bytes, and, where it was written after its job had ended, when. A job has rule, inputs,
outputs, params, code (digest of the code behind its rule), environment (SHA-256 of its environment file), log, started
and ended. Paths of jobs and sources are relative to the working directory, those of files to the results.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from maskmill import __version__
from maskmill.files import atomic_path, read_json, read_table, sha256_file, write_json
from maskmill.provenance.crate import make_crate
from maskmill.provenance.digests import digest_files, files_below
from maskmill.provenance.environment import describe_run_environment
from maskmill.provenance.jobs import Job, as_time, jobs_behind, read_jobs
from maskmill.provenance.reading import LOCK, SCHEMA_VERSION
from maskmill.provenance.stability import CRATE, RECORD, is_stable
from maskmill.runs import read_run
from maskmill.wording import count_of

CODE_PARTS = ("Snakefile", "workflow", "maskmill", "config", "envs", "profiles/default", "requirements", "LICENSE")
"""What plans and runs the workflow, below its root."""

CLOCK_SKEW = 60
"""Seconds by which clocks of a file server and of a host may differ."""

logger = logging.getLogger(__name__)


def describe_provenance(
    results: Path,
    targets: Sequence[str],
    root: Path,
    config: Mapping[str, Any],
    codes: Mapping[str, str],
    metadata: Path,
    logs: Path,
    record: Path,
    crate: Path,
    code: Path,
    threads: int,
) -> None:
    """Copy the workflow's code into the results, and write the record and the crate.

    results: folder of a data set, relative to the working directory. targets: what the run was asked for. root: of the
    workflow. config: resolved. codes: rule → digest of the code behind it. metadata, logs: see `read_jobs`; without
    metadata the record says what files are, and not how they were made.
    """
    _copy_code(root, code)
    jobs = jobs_behind(targets, read_jobs(metadata, logs))
    if not jobs:
        logger.warning("%s names no job: the record holds files' digests, and not how they were made", metadata)
    content = {
        "schema_version": SCHEMA_VERSION,
        "dataset": config["dataset"]["name"],
        "maskmill": __version__,
        "config": json.dumps(config),  # a text: the order of classes and options stays
        "environment": describe_run_environment(),
        "lock": sha256_file(code / LOCK),
        "written": as_time(time.time()),
        "runs": _runs(results, jobs, targets),
        "sources": digest_files(Path(), source_files(read_table(results / "manifest.csv")), threads),
        "jobs": [_described(job, codes) for job in jobs],
        "files": _files(results, jobs, targets, code, threads),
    }
    write_json(record, content)
    write_json(crate, make_crate(read_json(record)))  # as a reader of the record makes it
    logger.info(
        "%s of %s and %s, %s and %s of source",
        count_of(len(content["files"]), "file"),
        count_of(len(jobs), "job"),
        count_of(len(content["runs"]), "training"),
        count_of(sum(file["bytes"] for file in content["files"].values()) // 10**6, "megabyte"),
        count_of(len(content["sources"]), "file"),
    )


def source_files(manifest: Iterable[Mapping[str, str]]) -> list[str]:
    """Pictures and annotations that a manifest names, of folders the files in them."""
    places = {row[column].partition("#")[0] for row in manifest for column in ("image", "annotation")} - {""}
    found = set()
    for place in places:
        path = Path(place)
        if path.is_dir():
            found |= {(path / name).as_posix() for name in files_below(path) if (path / name).is_file()}
        elif path.is_file():
            found.add(place)
    return sorted(found)


def _copy_code(root: Path, output: Path) -> None:
    with atomic_path(output) as aside:
        for part in CODE_PARTS:
            source, copy = root / part, aside / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.is_file():
                shutil.copyfile(source, copy)


def _described(job: Job, digests: Mapping[str, str]) -> dict[str, Any]:
    digest = digests.get(job.rule)
    return {
        "rule": job.rule,
        "inputs": list(job.inputs),
        "outputs": list(job.outputs),
        "params": list(job.params),
        # None where another code made it, or the rule depends on none
        "code": digest if repr(digest) in job.params else None,
        "environment": job.conda and sha256(job.conda.encode()).hexdigest(),
        "log": list(job.log),
        "started": as_time(job.started),
        "ended": as_time(job.ended),
    }


def _files(
    results: Path, jobs: Sequence[Job], targets: Sequence[str], code: Path, threads: int
) -> dict[str, dict[str, Any]]:
    """Files of the results folder that the jobs made, and the copy of the code; without jobs, all that there are.

    Of what was written after its job had ended, as edits, copies and `touch` do, "changed" says when.
    """
    maker: dict[str, int | None] = {}
    for number, job in enumerate(jobs):
        for output in job.outputs:
            if Path(output).is_relative_to(results):
                maker |= dict.fromkeys(files_below(results, Path(output).relative_to(results).as_posix()), number)
    if not jobs:
        maker = dict.fromkeys(name for name in files_below(results) if name not in (RECORD, CRATE))
    for place in [*targets, *(name for job in jobs for name in job.inputs), code]:
        if Path(place).is_relative_to(results):
            maker = dict.fromkeys(files_below(results, Path(place).relative_to(results).as_posix())) | maker
    found = digest_files(results, (name for name in maker if (results / name).is_file()), threads)
    for name, entry in found.items():
        number, modified = maker[name], (results / name).stat().st_mtime
        entry |= {"job": number, "stable": is_stable(name)}
        if number is not None and modified > jobs[number].ended + CLOCK_SKEW:
            entry["changed"] = as_time(modified)
    return found


def _runs(results: Path, jobs: Sequence[Job], targets: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Folder of a training → what its config.yaml says of it; without jobs, of all trainings that there are."""
    known = {*targets, *(output for job in jobs for output in job.outputs)}
    named = [Path(file) for file in known if Path(file).match("runs/*/*/config.yaml")]
    configs = sorted(named if jobs else results.glob("runs/*/*/config.yaml"))
    return {config.parent.relative_to(results).as_posix(): _run(read_run(config)) for config in configs}


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    identity = {key: run[key] for key in ("run_id", "experiment", "fold", "seed")}
    return identity | {key: run["train"].get(key) for key in ("threads", "precision", "device", "deterministic")}
