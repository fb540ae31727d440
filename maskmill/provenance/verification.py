"""Whether a results folder is as its record says: files, pictures and annotations, code, run ids, crate."""

import json
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskmill.files import METADATA, read_json, sha256_file
from maskmill.provenance.crate import make_crate
from maskmill.provenance.digests import files_below, find_changed
from maskmill.provenance.reading import LOCK, absolute_path, read_record, rule_digests
from maskmill.provenance.stability import CODE, CRATE, ON_DEMAND, RECORD
from maskmill.wording import count_of

THREADS = 4
SHOWN = 10
"""Names that a note lists."""


@dataclass
class Findings:
    """What a check found. faults: file and what is wrong with it; notes: sentences that change no verdict."""

    checked: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_results(results: Path, working: Path | None = None, own: Path | None = None) -> Findings:
    """Check everything below a results folder against its record.

    working: what paths of pictures are relative to, by default two folders up, as `results/NAME` lies, also where
    `results` is a link to another disk. own: root of the workflow that is installed; where it is given, rules whose
    code is another there are noted.
    Raises MaskmillError as `read_record` does.
    """
    record = read_record(results)
    found = Findings()
    _check_files(results, record, found)
    _check_sources(working or absolute_path(results).parent.parent, record, found)
    _check_code(results, record, found)
    _check_runs(results, record, found)
    _check_crate(results, record, found)
    _note(record, found)
    if own:
        _note_other_code(own, record, found)
    return found


def _check_files(results: Path, record: Mapping[str, Any], found: Findings) -> None:
    known: Mapping[str, Any] = record["files"]
    changed = find_changed(results, known, THREADS)
    found.faults += [f"{name}: {wrong}{_origin(record, known[name])}" for name, wrong in changed]
    unknown = sorted(set(files_below(results)) - {RECORD, CRATE} - known.keys())
    later = [name for name in unknown if _is_on_demand(name)]
    others = (name for name in unknown if not _is_on_demand(name))
    found.faults += [f"{place}: never recorded" for place in _whole_folders(others, known)]
    if later:
        found.notes.append(f"no record covers what was made on demand: {_listed(later)}")
    found.checked += len(known)


def _is_on_demand(name: str) -> bool:
    return name.partition("/")[0] in ON_DEMAND


def _whole_folders(names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Files in their order, but of each folder without a known file the topmost such folder and its number of files.

    A link in the place of a known folder is none: its files are where they were.
    """
    folders = {name[:end] for name in known for end, letter in enumerate(name) if letter == "/"}
    places: Counter[str] = Counter()
    for name in names:
        if name in folders:
            continue
        ends = (end for end, letter in enumerate(name) if letter == "/")
        places[next((name[: end + 1] for end in ends if name[:end] not in folders), name)] += 1
    for place, count in places.items():
        yield f"{place} ({count_of(count, 'file')})" if place.endswith("/") else place


def _origin(record: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    if entry["job"] is None:
        return ""
    job = record["jobs"][entry["job"]]
    return f" (made by {job['rule']}, {job['ended']})"


def _check_sources(working: Path, record: Mapping[str, Any], found: Findings) -> None:
    sources: Mapping[str, Any] = record["sources"]
    if sources and not any((working / name).is_file() for name in sources):
        found.notes.append(f"the {len(sources)} pictures and annotations are not below {working} and were not checked")
        return
    changed = find_changed(working, sources, THREADS)
    found.faults += [f"{name}: {wrong} (a picture or an annotation)" for name, wrong in changed]
    found.checked += len(sources)


def _check_code(results: Path, record: Mapping[str, Any], found: Findings) -> None:
    """The copy of the code gives the digests that the jobs carry, and holds the lock that they ran with."""
    code = results / CODE
    if not (code / LOCK).is_file():
        return  # named as missing already
    if sha256_file(code / LOCK) != record["lock"]:
        found.faults.append(f"{CODE}/{LOCK}: is not the lock of the environment that was recorded")
    try:
        digests = rule_digests(code)
    except (SyntaxError, ValueError) as error:
        found.faults.append(f"{CODE}/: is not the code that ran, it cannot be read: {error}")
        return
    made = defaultdict(list)
    for job in record["jobs"]:
        if job["code"] and digests.get(job["rule"]) != job["code"]:
            made[job["rule"]] += job["outputs"]
    found.faults += [
        f"{_listed(outputs)}: the code in {CODE}/ is not what {rule} ran" for rule, outputs in made.items()
    ]


def _check_crate(results: Path, record: Mapping[str, Any], found: Findings) -> None:
    if not (results / CRATE).is_file():
        found.faults.append(f"{CRATE}: missing")
        return
    try:
        told = read_json(results / CRATE)
    except ValueError as error:
        found.faults.append(f"{CRATE}: cannot be read: {error}")
        return
    if told != make_crate(record):
        found.faults.append(f"{CRATE}: tells another story than {RECORD}")


def _check_runs(results: Path, record: Mapping[str, Any], found: Findings) -> None:
    """Weights, ONNX and bundles carry the run ids of the trainings that they were made of, by the record."""
    runs: Mapping[str, Any] = record["runs"]
    for place, run in runs.items():
        _check_run_id(results, f"{place}/model.safetensors", [run["run_id"]], _weights_run_id, found)
        if not place.endswith(f"-seed{run['seed']}"):
            found.faults.append(f"{place}/config.yaml: seed {run['seed']} is not that of its folder")
    known = {run["experiment"] for run in runs.values()}
    for experiment in sorted(known):
        ids = [run["run_id"] for run in runs.values() if run["experiment"] == experiment]
        card = f"experiments/{experiment}/bundle/bundle.json"
        _check_run_id(results, card, ids, _card_run_ids, found)


def _check_run_id(results: Path, name: str, allowed: Sequence[str], read: Any, found: Findings) -> None:
    file = results / name
    if not file.is_file():
        return
    try:
        carried = read(file)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        found.faults.append(f"{name}: its run id cannot be read: {error}")
        return
    if not set(carried) <= set(allowed):
        found.faults.append(f"{name}: is of run {', '.join(carried)}, and the record names {', '.join(allowed)}")


def _weights_run_id(file: Path) -> list[str]:
    """Run id in a safetensors file: the length of a JSON header in 8 bytes, little endian, and the header."""
    with open(file, "rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > file.stat().st_size:
            raise ValueError("no header of a safetensors file")
        header = json.loads(stream.read(length))
    return [json.loads(header["__metadata__"][METADATA])["run_id"]]


def _card_run_ids(file: Path) -> list[str]:
    return [member["run_id"] for member in read_json(file)["members"]]


def _note(record: Mapping[str, Any], found: Findings) -> None:
    changed = [name for name, entry in record["files"].items() if "changed" in entry]
    if changed:
        found.notes.append(
            "written after the job that made them had ended, before the record was (edited, copied or touched): "
            + _listed(changed)
        )
    unknown = [name for name, entry in record["files"].items() if entry["job"] is None and not _is_code(name)]
    if unknown:
        found.notes.append(f"what made them is not known: {_listed(unknown)}")
    older = sorted({job["rule"] for job in record["jobs"] if job["code"] is None} - {"create_tracking_store"})
    if older:
        found.notes.append(f"made by other code than the copy in {CODE}/: {', '.join(older)}")


def _note_other_code(own: Path, record: Mapping[str, Any], found: Findings) -> None:
    if not (own / LOCK).is_file() or not (own / "workflow/scripts").is_dir():
        return
    digests = rule_digests(own)
    other = sorted({job["rule"] for job in record["jobs"] if job["code"] and digests.get(job["rule"]) != job["code"]})
    if other:
        found.notes.append(f"the Maskmill that is installed has other code for {_listed(other)}")


def _is_code(name: str) -> bool:
    return name.startswith(f"{CODE}/")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
