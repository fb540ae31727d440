"""What jobs were planned to take against what they took: memory and time of every rule of a finished run.

What was planned is worked out anew, from the configuration and the files of the run, as `maskmill.dag.resources` does
for a job that is submitted; for its threads, where Snakemake ran with `--benchmark-extended`, else for one.

Measured memory is the sum of the resident sets of a job's processes, which Snakemake samples: twice a second in the
first quarter of a minute, every half minute then, NA or next to nothing for jobs that ended before. To see the peaks in
between, run with PYTHONPATH=bench/peaks PEAKS=FOLDER and name the folder here; they are of single processes.

Memory that was planned is compared without what is planned for Snakemake itself on a cluster's node. A rule is "under"
where it took more than 1.1 times what was planned, and "hogs" where more than 4 times and a gigabyte was planned.
Exits 1 where a rule is under.

    python bench/resources.py FOLDER_OF_THE_RUN [--configfile FILE ...] [--peaks FOLDER] [--json FILE]
"""

import argparse
import csv
import json
import os
import platform
import re
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from pipeline import ROOT

from maskmill.dag.configuration import deep_merge, resolve_config
from maskmill.dag.pictures import find_pictures
from maskmill.dag.resources import LAUNCHER, Estimator
from maskmill.dag.sharding import deal_pictures
from maskmill.files import write_json
from maskmill.tracking.environment import processor_name

STARTED = 20
"""MiB of a process that has started Python; less is a job that ended before it was looked at."""

TOLERANCE = 1.1
HOGGING, HOGGED = 4, 1000


@dataclass(frozen=True)
class Row:
    """A rule: the most of all its jobs. Memory in MiB, None where no job lived long enough to be looked at.

    mem_mb: planned, as Snakemake has it; memory: planned for the job alone.
    """

    rule: str
    jobs: int
    mem_mb: int
    memory: int
    measured: int | None
    minutes: int
    seconds: float

    @property
    def verdict(self) -> str:
        """What is wrong, "" where nothing is."""
        taken = self.measured or 0
        if taken > TOLERANCE * self.memory or self.seconds > TOLERANCE * 60 * self.minutes:
            return "under"
        hogs = self.measured and self.memory > HOGGING * taken and self.memory - taken > HOGGED
        return "hogs" if hogs else ""


def load_config(files: list[Path]) -> dict[str, Any]:
    """The complete configuration of a run with these files, or of the demo."""
    given: dict[str, Any] = {}
    for file in files or [ROOT / "config/config.yaml"]:
        given = deep_merge(given, yaml.safe_load(file.read_text(encoding="utf-8")))
    presets = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / "config/presets").glob("*.yaml")}
    return resolve_config(given, presets, yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text()))


def benchmark_patterns() -> dict[str, re.Pattern[str]]:
    """Rule → what the files of its benchmarks are called below the folder of all, wildcards as named groups."""
    found = {}
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        for pattern in re.findall(r'"<benchmarks>/(.+)\.tsv"', file.read_text(encoding="utf-8")):
            found[pattern.partition("/")[0]] = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern) + r"\.tsv")
    return found


def read_jobs(benchmarks: Path) -> list[dict[str, Any]]:
    """Rule, wildcards, threads, seconds and MiB (None where unknown) of each finished job."""
    patterns, jobs = benchmark_patterns(), []
    for file in sorted(benchmarks.rglob("*.tsv")):
        name = file.relative_to(benchmarks).as_posix()
        rule = name.removesuffix(".tsv").partition("/")[0]
        with file.open(encoding="utf-8", newline="") as stream:
            row = list(csv.DictReader(stream, delimiter="\t"))[-1]
        measured = None if row["max_rss"] in ("NA", "-") else float(row["max_rss"])
        jobs.append(
            {
                "rule": rule,
                "wildcards": patterns[rule].fullmatch(name).groupdict(),
                "threads": int(row.get("threads", 1)),
                "seconds": float(row["s"]),
                "measured": measured if measured and measured >= STARTED else None,
            }
        )
    return jobs


def read_peaks(folder: Path | None) -> dict[str, float]:
    """Rule → MiB of the greatest process that ran its script."""
    peaks: dict[str, float] = defaultdict(float)
    for file in folder.glob("*.json") if folder else []:
        content = json.loads(file.read_text())
        rule = re.search(r"\.(\w+)\.py$", content["script"])
        if rule:
            peaks[rule[1]] = max(peaks[rule[1]], content["mebibytes"])
    return peaks


def new_pictures(config: dict[str, Any]) -> dict[str, list[str]]:
    """Files of each shard of `segment.images`, which no manifest lists."""
    images = config["segment"]["images"]
    shards = deal_pictures(find_pictures([images])) if images else {}
    return {shard: list(pictures.files.values()) for shard, pictures in shards.items()}


def compare(
    jobs: list[dict[str, Any]], peaks: dict[str, float], estimator: Estimator, new: dict[str, list[str]]
) -> list[Row]:
    """A row for each rule, the largest first; new: files of shards of new pictures."""
    by_rule = defaultdict(list)
    for job in jobs:
        by_rule[job["rule"]].append(job)
    rows = []
    for rule, of_rule in by_rule.items():
        asked = [
            (rule, job["wildcards"], new.get(job["wildcards"].get("shard"), []) if rule == "segment_images" else [])
            for job in of_rule
        ]
        known = [job["measured"] for job in of_rule if job["measured"]] + [peaks[rule]] * (rule in peaks)
        rows.append(
            Row(
                rule,
                len(of_rule),
                max(estimator.memory_mb(*one) for one in asked),
                round(max(estimator.mebibytes(*one) for one in asked)),
                round(max(known)) if known else None,
                max(estimator.minutes(*one, threads=job["threads"]) for one, job in zip(asked, of_rule, strict=True)),
                max(job["seconds"] for job in of_rule),
            )
        )
    return sorted(rows, key=lambda row: -row.mem_mb)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[])
    parser.add_argument("--peaks", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    config = load_config(arguments.configfile)
    table, peaks = (path and path.resolve() for path in (arguments.json, arguments.peaks))
    os.chdir(arguments.folder)  # paths of the configuration and of manifests are relative to it
    name = config["dataset"]["name"]
    jobs = read_jobs(Path("benchmarks", name))
    estimator = Estimator(config, Path("results", name))
    rows = compare(jobs, read_peaks(peaks), estimator, new_pictures(config))
    print(f"{'rule':24}{'jobs':>5}{'mem_mb':>8}{'job MiB':>9}{'measured':>9}{'times':>7}{'minutes':>9}{'seconds':>9}")
    for row in rows:
        times = f"{row.memory / row.measured:.2f}" if row.measured else "–"
        print(
            f"{row.rule:24}{row.jobs:5}{row.mem_mb:8}{row.memory:9}{row.measured or '–':>9}{times:>7}"
            f"{row.minutes:9}{row.seconds:9.1f}  {row.verdict}"
        )
    hardware = f"{processor_name()}, {os.cpu_count()} cores"
    if table:
        content = [asdict(row) | {"verdict": row.verdict} for row in rows]
        versions = {"python": platform.python_version(), "hardware": hardware}
        write_json(table, {"dataset": name, "launcher": LAUNCHER, "rules": content, **versions})
    ratios = {row.rule: row.memory / row.measured for row in rows if row.measured}
    least = min(ratios, key=ratios.get)
    print(f"resources {name}: ratio={ratios[least]:.3f} (planned by measured memory, least in {least}; {hardware})")
    return int(any(row.verdict == "under" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
