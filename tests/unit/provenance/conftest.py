"""A finished run of a workflow of three rules, with Snakemake's notes on its jobs."""

import base64
import json
import os
import struct
from pathlib import Path

import pytest

from maskmill.files import METADATA, sha256_file, write_json, write_table
from maskmill.provenance.reading import rule_digests
from maskmill.provenance.record import describe_provenance

RESULTS = Path("results/tiny")
RUN = "runs/base/fold0-seed3"
BUNDLE = "experiments/base/bundle"
ENDED = 1_000_000_000
CONFIG = {
    "dataset": {"name": "tiny", "source": {"images": "pictures", "annotations": "pictures"}, "split": {"table": None}},
    "experiments": {"base": {}, "wide": {"model": {"width": 8}}},
    "train": {"epochs": 2, "lr": 0.5, "threads": "auto"},
    "tracking": {"uri": "https://example.org", "registry": "roofs"},
}
TRAINING = {
    "run_id": "0123456789ab",
    "experiment": "base",
    "fold": 0,
    "seed": 3,
    "train": {"threads": 2, "precision": "fp32", "device": "cpu", "deterministic": True},
}


def write(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def note_job(rule: str, inputs: list[str], outputs: list[str], params: list[str], ended: float = ENDED) -> None:
    """Write what Snakemake 9 notes of a job, and set the times of its outputs to its end."""
    entry = {
        "rule": rule,
        "input": inputs,
        "log": [f"logs/{rule}.log"],
        "params": params,
        "conda_env": base64.b64encode(b"dependencies: []\n").decode(),
        "starttime": ended - 10,
        "endtime": ended,
        "incomplete": False,
    }
    for output in outputs:
        write(Path(".snakemake/metadata", base64.urlsafe_b64encode(output.encode()).decode()), json.dumps(entry))
        for file in [Path(output), *Path(output).rglob("*")]:
            os.utime(file, (ended, ended))


def weights(run_id: str) -> bytes:
    header = json.dumps({"__metadata__": {METADATA: json.dumps({"run_id": run_id})}}).encode()
    return struct.pack("<Q", len(header)) + header


@pytest.fixture
def working(tmp_path, monkeypatch) -> Path:
    """The working directory, and the current one: root/ (the workflow), pictures/, results/tiny/."""
    monkeypatch.chdir(tmp_path)
    root = Path("root")
    write(root / "Snakefile", "rule all: input: []\n")
    for rule in ("draw", "train", "pack"):
        write(root / f"workflow/scripts/{rule}.py", f"import maskmill.{rule}\n")
        write(root / f"maskmill/{rule}.py", f"RULE = '{rule}'\n")
    write(root / "requirements/run.txt", "numpy==1.0\n")
    codes = rule_digests(root)
    rows = [
        {
            "id": name,
            "image": write(Path(f"pictures/{name}.png"), name).as_posix(),
            "annotation": f"pictures/{name}.json",
        }
        for name in "ab"
    ]
    for row in rows:
        write(Path(row["annotation"]), "{}")
    write_table(RESULTS / "manifest.csv", rows, ["id", "image", "annotation"])
    for name in "ab":
        write(RESULTS / f"labels/00/{name}.png", f"label {name}")
    write(RESULTS / RUN / "model.safetensors", weights(TRAINING["run_id"]))
    write(RESULTS / RUN / "config.yaml", json.dumps(TRAINING))
    write(RESULTS / RUN / "history.csv", "seconds\n1\n")
    write(RESULTS / RUN / "state/state.pt", "private")
    card = {"run_id": TRAINING["run_id"], "members": [{"member": "fold0-seed3", "run_id": TRAINING["run_id"]}]}
    write_json(RESULTS / BUNDLE / "bundle.json", card)
    results = RESULTS.as_posix()
    note_job("draw", [f"{results}/manifest.csv"], [f"{results}/labels/00"], ["{'a': 1}", repr(codes["draw"])])
    made = [f"{results}/{RUN}/{name}" for name in ("model.safetensors", "config.yaml", "history.csv")]
    note_job("train", [f"{results}/labels/00"], made, ["3", repr(codes["train"])], ENDED + 100)
    note_job("pack", made[:2], [f"{results}/{BUNDLE}"], [], ENDED + 200)
    return tmp_path


def describe(config: dict = CONFIG, targets: tuple[str, ...] = (f"{RESULTS}/{BUNDLE}",)) -> None:
    describe_provenance(
        results=RESULTS,
        targets=list(targets),
        root=Path("root"),
        config=config,
        codes=rule_digests(Path("root")),
        metadata=Path(".snakemake/metadata"),
        logs=Path("logs"),
        record=RESULTS / "provenance.json",
        crate=RESULTS / "ro-crate-metadata.json",
        code=RESULTS / "code",
        threads=2,
    )


@pytest.fixture
def described(working) -> Path:
    """The results folder with its record."""
    describe()
    assert sha256_file(RESULTS / "provenance.json")
    return working / RESULTS
