"""Maskmill against nnU-Net v2: the same pictures, the same split, the same minutes of training, on this machine's CPU.

Maskmill runs as a user runs it, by a config of tests/real/ whose number of epochs is set so that training takes the
minutes (a first training of two epochs tells the seconds an epoch). nnU-Net plans by itself and trains until the time
is over, on its learning rate's whole fall. Preparation, prediction and evaluation are not counted on either side. The
test masks of both are measured by Maskmill's metrics; intervals resample groups.

    python bench/accuracy.py {dubai_buildings,isbi2012_membrane,dsb2018_nuclei,msd_hippocampus} MINUTES \
        --data FOLDER_OF_THE_DATA_SETS --nnunet-python PYTHON [--threads 2] [--work FOLDER] [--json FILE]
"""

import argparse
import json
import math
import platform
import sys
from pathlib import Path
from typing import Any

import yaml
from peers import nnunet
from pipeline import ROOT, run_maskmill

from maskmill.evaluation.averages import MEAN, read_case_values
from maskmill.evaluation.measure import evaluate_masks
from maskmill.files import read_json, read_table, sha256_file, write_json
from maskmill.metrics.statistics import bootstrap_interval, paired_difference

PROBE_EPOCHS = 2


def train_maskmill(dataset: str, work: Path, name: str, data: Path, epochs: int, threads: int, target: str) -> Path:
    """Make `target` (below results/<name>/) with so many epochs; returns the folder of the results."""
    overrides = {
        "dataset": {"name": name, "source": {"root": str(data)}},
        "train": {"epochs": epochs, "threads": threads},
    }
    run_maskmill(ROOT / f"tests/real/{dataset}.yaml", work, overrides, f"results/{name}/{target}")
    return work / "results" / name


def epochs_for(dataset: str, work: Path, data: Path, minutes: float, threads: int) -> int:
    """How many epochs fill the minutes, by the second epoch of a short training (the first one warms up)."""
    member = "runs/baseline/fold0-seed0/history.csv"
    results = train_maskmill(dataset, work, f"probe_{dataset}", data, PROBE_EPOCHS, threads, member)
    seconds = float(read_table(results / member)[-1]["seconds"])
    return max(1, round(60 * minutes / seconds))


def describe(tables: dict[str, Path]) -> dict[str, Any]:
    """Mean test IoU and Dice over classes of both sides with intervals, and their paired difference."""
    cases = {side: read_case_values([table]) for side, table in tables.items()}
    result: dict[str, Any] = {}
    for metric in ("iou", "dice"):
        values = {side: case.of(metric, MEAN) for side, case in cases.items()}
        result[metric] = {side: vars(bootstrap_interval(values[side], cases[side].groups)) for side in tables}
        groups = dict(zip(cases["ours"].ids, cases["ours"].groups, strict=True))
        by_id = {side: dict(zip(cases[side].ids, values[side].tolist(), strict=True)) for side in tables}
        absent = dict(zip(cases["ours"].ids, cases["ours"].absent_of(MEAN), strict=True))
        difference = paired_difference(by_id["ours"], by_id["theirs"], groups, absent=absent)
        result[metric]["difference"] = vars(difference.interval) | {"p": difference.p, "verdict": difference.verdict}
    return result


def train_nnunet(done: Path, python: str, results: Path, minutes: float, threads: int, masks: Path) -> dict[str, Any]:
    """nnU-Net's side, see `nnunet.train_and_predict`; its figures go to the file `done`, which saves another run."""
    given = {"minutes": minutes, "threads": threads, "splits": sha256_file(results / "splits.csv")}
    if done.exists() and (before := read_json(done))["given"] == given:
        return before["result"]
    root = done.parent / "nnunet" / results.name
    result = nnunet.train_and_predict(python, results, root, minutes, threads, masks)
    write_json(done, {"given": given, "result": result})
    return result


def compare(dataset: str, minutes: float, data: Path, python: str, work: Path, threads: int) -> dict[str, Any]:
    """Train both sides and measure them."""
    epochs = epochs_for(dataset, work, data, minutes, threads)
    results = train_maskmill(dataset, work, dataset, data, epochs, threads, "experiments/baseline/summary.json")
    config = yaml.safe_load((ROOT / f"tests/real/{dataset}.yaml").read_text())
    member = results / "runs/baseline/fold0-seed0"
    history = read_table(member / "history.csv")
    masks, metrics = work / "nnunet_masks" / dataset, work / f"nnunet_{dataset}.csv"
    theirs = train_nnunet(work / f"nnunet_{dataset}.json", python, results, minutes, threads, masks)
    labels = sorted(path for path in (results / "labels").iterdir() if path.is_dir())
    tables = results / "samples.csv", results / "splits.csv"
    evaluate_masks(masks, labels, *tables, config["dataset"]["classes"], 0, "test", 2.0, metrics)
    return {
        "dataset": dataset,
        "minutes": minutes,
        "threads": threads,
        "ours": {
            "epochs": epochs,
            "training_seconds": sum(float(row["seconds"]) for row in history),
        },
        "theirs": theirs,
        "test": describe({"ours": member / "metrics/test.csv", "theirs": metrics}),
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", choices=sorted(file.stem for file in (ROOT / "tests/real").glob("*.yaml")))
    parser.add_argument("minutes", type=float)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nnunet-python", required=True)
    parser.add_argument("--work", type=Path, default=Path("accuracy"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    result = compare(
        arguments.dataset, arguments.minutes, arguments.data.resolve(), arguments.nnunet_python, work, arguments.threads
    )
    for metric, sides in result["test"].items():
        for side, name in (("ours", "Maskmill"), ("theirs", "nnU-Net"), ("difference", "difference")):
            row = sides[side]
            verdict = f" ({row['verdict']})" if "verdict" in row else ""
            interval = "" if row["low"] is None else f" [{row['low']:.3f}, {row['high']:.3f}]"
            print(f"{metric} {name}: {row['estimate']:.3f}{interval} by {row['resampled']}{verdict}")
    iou = result["test"]["iou"]
    ours, theirs = iou["ours"]["estimate"], iou["theirs"]["estimate"]
    ratio = ours / theirs if theirs else math.inf
    if arguments.json:
        arguments.json.write_text(
            json.dumps(result | {"ratio": ratio if theirs else None}, indent=1, default=str) + "\n"
        )
    print(
        f"accuracy {arguments.dataset}: ratio={ratio:.3f} (IoU ours {ours:.3f}, theirs {theirs:.3f}, "
        f"{arguments.minutes:g} minutes each, {platform.machine()})"
    )
    return 0 if ratio >= arguments.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
