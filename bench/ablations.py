"""What do the field's ideas bring? Experiments that differ by one option each, on real pictures, with three seeds.

Each file of bench/ablations/ is a configuration of the pipeline: its first experiment is what the others are held to.
Trainings of one file take the same number of steps, or about the same time where the file says so; a case's value is
the mean over the seeds; differences are paired by case, intervals resample groups. Killed, it goes on where it was.
The ratio is the mean IoU of the best of the others to the first's.

    python bench/ablations.py {cells,volumes} --data FOLDER_OF_THE_DATA_SETS [--work FOLDER] [--json FILE]
"""

import argparse
import platform
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from pipeline import ROOT, run_maskmill

from maskmill.evaluation.averages import MEAN
from maskmill.files import read_json, read_table, write_json

SHOWN = ("iou", "dice", "recall", "boundary_f1", "hd95")


def measure(configfile: Path, data: Path, work: Path) -> dict[str, Any]:
    """Run the experiments of a configuration to their comparison; what came of each, the first one first."""
    config = yaml.safe_load(configfile.read_text(encoding="utf-8"))
    name, experiments = config["dataset"]["name"], list(config["experiments"])
    results = work / "results" / name
    run_maskmill(configfile, work, {"dataset": {"source": {"root": str(data)}}}, f"results/{name}/comparison.csv")
    rows = [row for row in read_table(results / "comparison.csv") if row["class"] == MEAN]
    return {
        experiment: {
            "options": config["experiments"][experiment],
            "training_seconds": [m["training_seconds"] for m in summary["members"]],
            "epochs": [m["epochs"] for m in summary["members"]],
            "metrics": {row["metric"]: row for row in rows if row["experiment"] == experiment},
        }
        for experiment in experiments
        for summary in [read_json(results / f"experiments/{experiment}/summary.json")]
    }


def show(experiments: dict[str, Any]) -> None:
    """A line an experiment and metric, with the paired difference from the first and its verdict."""
    for name, result in experiments.items():
        print(f"{name} (median of {statistics.median(result['training_seconds']):.0f} s a training)")
        for metric in SHOWN:
            row = result["metrics"][metric]
            line = f"  {metric}: {float(row['mean']):.3f} ({float(row['low']):.3f} to {float(row['high']):.3f})"
            if row["compared_with"]:
                low, high = float(row["difference_low"]), float(row["difference_high"])
                line += f", {float(row['difference']):+.3f} ({low:+.3f} to {high:+.3f}): {row['verdict']}"
            print(line)


def main() -> int:
    """Measure, print and keep; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(file.stem for file in (ROOT / "bench/ablations").glob("*.yaml")))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("ablations"))
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    configfile = ROOT / f"bench/ablations/{given.name}.yaml"
    experiments = measure(configfile, given.data.resolve(), given.work.resolve())
    show(experiments)
    hardware = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    first, *others = [(name, float(result["metrics"]["iou"]["mean"])) for name, result in experiments.items()]
    best = max(others, key=lambda pair: pair[1])
    ratio = best[1] / first[1]
    ious = f"{best[0]} {best[1]:.3f}, {first[0]} {first[1]:.3f}"
    if given.json:
        versions = {"torch": torch.__version__, "python": platform.python_version()}
        write_json(given.json, {"name": given.name, "hardware": hardware, **versions, "experiments": experiments})
    print(f"ablations {given.name}: ratio={ratio:.3f} (IoU {ious}, {hardware})")
    return 0 if ratio >= given.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
