"""Running a finished experiment once more in a fresh folder, and comparing what comes out, file by file."""

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from maskmill.errors import MaskmillError
from maskmill.files import atomic_path, read_json, write_table
from maskmill.provenance.digests import digest_files, find_changed
from maskmill.provenance.environment import environment_differences
from maskmill.provenance.reading import absolute_path, read_record
from maskmill.provenance.stability import CODE, RECORD

THREADS = 4
CONFIG = "config.json"
TABLE = "reproduction.csv"
COLUMNS = ("file", "verdict", "before", "after", "rule")
SAME, OTHER, MISSING, ADDED, FREE = "same", "differs", "missing", "added", "not promised"
"""Verdicts on a file; the last is of files that no promise covers."""

logger = logging.getLogger(__name__)


class Finished(NamedTuple):
    """A finished run: its results folder, and the experiment of it that is meant, None for all."""

    results: Path
    experiment: str | None


def find_finished(path: Path) -> Finished:
    """What `path`, a results folder or the folder of an experiment in it, means. MaskmillError where it is neither."""
    path = absolute_path(path)
    if (path / "bundle.json").exists():
        raise MaskmillError(f"{path} is a bundle: give the folder around it, results/NAME/experiments/EXPERIMENT")
    if path.parent.name == "experiments" and (path.parents[1] / RECORD).is_file():
        known = json.loads(read_record(path.parents[1])["config"])["experiments"]
        if path.name not in known:
            raise MaskmillError(f"{path.name} is none of the recorded experiments: {', '.join(known)}")
        return Finished(path.parents[1], path.name)
    read_record(path)
    return Finished(path, None)


def reproduce(finished: Finished, output: Path, cores: int) -> list[dict[str, Any]]:
    """Run what is recorded once more in `output`, with the recorded code, options and threads; see `compare_files`.

    A run in `output` that was interrupted goes on. Raises MaskmillError where Snakemake is missing or fails, and where
    `output` holds something else.
    """
    if find_spec("snakemake") is None:
        raise MaskmillError(
            "a run is reproduced by Snakemake, which this Python does not have. Install the pipeline's environment "
            "(`make install`, or `pip install -r requirements/run.txt`) and run `maskmill reproduce` in it."
        )
    record, working = read_record(finished.results), finished.results.parents[1]
    config = rerun_config(record, finished.experiment, working)
    _prepare(output, config, record, finished.results, working)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(output.resolve() / CODE / "Snakefile")]
    command += ["--directory", str(output.resolve()), "--configfile", str(output.resolve() / CONFIG)]
    command += ["--cores", str(max([cores, *(run["threads"] for run in record["runs"].values())]))]
    environment = os.environ | {"PYTHONPATH": str(output.resolve() / CODE), "PYTHONDONTWRITEBYTECODE": "1"}
    with _interrupts_left_to_children():
        status = subprocess.run(command, env=environment, cwd=output, check=False).returncode
    if status:
        raise MaskmillError(
            f"Snakemake stopped in {output}; what it said is above. Give the same command to go on from there."
            + _unlocking(output, command)
        )
    made = output / "results" / record["dataset"]
    rows = compare_files(record, finished, read_record(made))
    write_table(output / TABLE, rows, COLUMNS)
    return rows


@contextmanager
def _interrupts_left_to_children() -> Iterator[None]:
    """Go on waiting at Ctrl-C: a terminal sends it to Snakemake too, which ends its jobs and takes away its lock."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _unlocking(output: Path, command: list[str]) -> str:
    """How to take away the lock that a killed Snakemake left in `output`; empty where there is none."""
    locks = output / ".snakemake/locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return ""
    unlock = shlex.join([*command, "--unlock"])
    return f" The folder is locked. If no Snakemake works in it any more, say before:\n  {unlock}"


def rerun_config(record: Mapping[str, Any], experiment: str | None, working: Path) -> dict[str, Any]:
    """The recorded options for another run: of one experiment or all, threads as they were, nothing sent to a server.

    working: what paths are relative to. Of paths that lead out of it, the absolute ones. State, from which trainings
    would go on, lies beside the results.
    """
    config = json.loads(record["config"])
    if experiment is not None:
        config["experiments"] = {experiment: config["experiments"][experiment]}
    for run in record["runs"].values():
        if run["experiment"] in config["experiments"]:
            config["experiments"][run["experiment"]].setdefault("train", {})["threads"] = run["threads"]
    config["state"] = None
    config["tracking"] = config["tracking"] | {"uri": "sqlite:///results/mlflow.db", "registry": None}
    for section, key, place in _given(config["dataset"]):
        if ".." in place.parts:
            section[key] = str((working / place).resolve())
    return config


def _prepare(output: Path, config: Mapping[str, Any], record: Mapping[str, Any], results: Path, working: Path) -> None:
    """Lay the folder out: options, a copy of the recorded code, links to the pictures that were given."""
    if (output / CONFIG).is_file() and read_json(output / CONFIG) == config:
        return
    if output.resolve().is_relative_to(results.resolve()):
        raise MaskmillError(f"{output} is within {results}, which would no longer be as recorded; name another folder")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise MaskmillError(f"{output} is not empty: a run is reproduced in a fresh folder; name another")
    code = {name: file for name, file in record["files"].items() if name.startswith(f"{CODE}/")}
    _check_unchanged(results, code, "files of code")
    if "demo" not in config:
        _check_unchanged(working, record["sources"], "pictures and annotations")
    for name in code:  # what else lies there is not run
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(results / name, output / name)
    for place in () if "demo" in config else _places(config):
        original, link = working / place, output / place
        if place.is_absolute() or not original.exists() or link.exists():
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(original.resolve(), original.is_dir())
    with atomic_path(output / CONFIG) as aside:  # last, so that what is not complete is not gone on with
        aside.write_text(json.dumps(config, indent=2), encoding="utf-8")  # in its order, which is that of classes


def _check_unchanged(root: Path, recorded: Mapping[str, Any], kind: str) -> None:
    changed = [f"  - {name}: {wrong}" for name, wrong in find_changed(root, recorded, THREADS)]
    if changed:
        raise MaskmillError(
            f"{len(changed)} of {len(recorded)} recorded {kind} are not below {root} as they were; bring them back "
            "first:\n" + "\n".join(changed)
        )


def _places(config: Mapping[str, Any]) -> list[Path]:
    """What pictures, annotations and the split are read from, a folder before what is in it."""
    retrieved = [Path("resources", config["dataset"]["name"])] if "retrieve" in config else []
    places = [*retrieved, *(place for _, _, place in _given(config["dataset"]))]
    return sorted(places, key=lambda place: len(place.parts))


def _given(dataset: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str, Path]]:
    """Section, key and path of what a person gave: folders of the source, the table of the split."""
    source, split = dataset["source"], dataset["split"]
    for key in ("images", "annotations"):
        yield source, key, Path(source.get("root", ""), source[key])
    if split.get("table"):
        yield split, "table", Path(split["table"])


def compare_files(record: Mapping[str, Any], finished: Finished, again: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows (`COLUMNS`) of the files that both runs should have, as they are now and as they came out again."""
    before = {name: entry for name, entry in record["files"].items() if _is_meant(name, finished.experiment)}
    after = {name: entry for name, entry in again["files"].items() if _is_meant(name, finished.experiment)}
    present = [name for name in before if (finished.results / name).is_file()]
    now = {name: entry["sha256"] for name, entry in digest_files(finished.results, present, THREADS).items()}
    rows = []
    for name in sorted({*before, *after}):
        entry = before.get(name) or after[name]
        one, other = now.get(name), after.get(name, {}).get("sha256")
        rule = None if entry["job"] is None else (record if name in before else again)["jobs"][entry["job"]]["rule"]
        rows.append(
            {
                "file": name,
                "verdict": _verdict(one, other, entry["stable"]) if name in before else ADDED,
                "before": one,
                "after": other,
                "rule": rule,
            }
        )
    return rows


def _is_meant(name: str, experiment: str | None) -> bool:
    """Whether a file is of an experiment, or of what all experiments are made from."""
    parts = name.split("/")
    if parts[0] in ("runs", "experiments"):
        return experiment is None or parts[1] == experiment
    return parts[0] != CODE and (experiment is None or len(parts) > 1 or "comparison" not in name)


def _verdict(before: str | None, after: str | None, stable: bool) -> str:
    if before is None or after is None:
        return MISSING
    if before == after:
        return SAME
    return OTHER if stable else FREE


def explain_differences(record: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """What may be why files differ: environment, pins, pictures; a line each."""
    lines = environment_differences(record["environment"], again["environment"])
    if record["lock"] != again["lock"]:
        lines.append("the pins of requirements/run.txt")
    other = [name for name, file in record["sources"].items() if again["sources"].get(name) != file]
    if other:
        lines.append(f"{len(other)} pictures or annotations, such as {other[0]}")
    return lines
