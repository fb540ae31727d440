"""Run Maskmill as a user runs it, for benches that measure what comes of it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def run_maskmill(configfile: Path, work: Path, overrides: Mapping[str, Any], *targets: str) -> None:
    """Make `targets` in the folder `work`, going on where an earlier run was stopped, on the cores of this process.

    overrides: of the configuration, section by section. What Snakemake says goes to `work`/snakemake.log.
    """
    work.mkdir(parents=True, exist_ok=True)
    changed = work / "overrides.yaml"
    changed.write_text(yaml.safe_dump(dict(overrides)), encoding="utf-8")
    command = [
        sys.executable, "-m", "snakemake", "--cores", str(len(os.sched_getaffinity(0))),
        "--snakefile", str(ROOT / "Snakefile"), "--directory", str(work),
        "--configfile", str(configfile.resolve()), str(changed.resolve()), "--", *targets,
    ]  # fmt: skip
    log = work / "snakemake.log"
    with log.open("a") as stream:
        finished = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT)
    if finished.returncode:
        raise SystemExit(f"Maskmill failed; {log} ends with\n{log.read_text()[-3000:]}")
