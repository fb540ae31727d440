"""Experiments made by hand for the tests of their comparison."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from maskmill.classes import Classes
from maskmill.evaluation.summary import Member, summarize_experiment
from maskmill.files import read_table, write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.metrics import CASE_COLUMNS, METRICS
from maskmill.planning.plan import write_plan
from maskmill.planning.planner import make_plan
from maskmill.report.comparison_page import compare_experiments
from maskmill.report.results import experiment_files
from tests.unit.plan_data import fingerprint, options

SIZE = 8
BASE = [0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80]
BETTER = [0.60, 0.66, 0.68, 0.75, 0.81, 0.84, 0.92]
UNSURE = [0.49, 0.54, 0.59, 0.70, 0.75, 0.85, 0.92]
MIXED = [0.52, 0.54, 0.63, 0.61, 0.71, 0.73, 0.81]


class Experiments:
    """Experiments on a few cases whose metrics are all one number, HD95 ten times 1 − it; masks are half a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.members: list[str] = []
        self.together = False
        self.extra: list[Path] = []
        self.classes: tuple[str, ...] = ()

    def add(
        self,
        name: str,
        shares: list[float],
        *others: list[float],
        class_name: str | tuple[str, ...] = "building",
        groups: list[str] | None = None,
        unit: str = "px",
        validation: Sequence[float] | None = None,
        together: list[float] | None = None,
        absent: Sequence[int] = (),
        extra: Sequence[str] = (),
    ) -> None:
        """An experiment with the values of its cases; others: those of further members; together: of all of them.

        absent: numbers of the cases whose reference is empty. extra: metrics measured besides, of the same value, of
        ensembles where there are any.
        """
        classes = (class_name,) if isinstance(class_name, str) else class_name
        self.classes = self.classes or classes
        self.names.append(name)
        self.members = [f"fold0-seed{seed}" for seed in range(1 + len(others))]
        members = []
        for seed, values in enumerate((shares, *others)):
            folder = self.folder / name / self.members[seed]
            folder.mkdir(parents=True)
            self._write_metrics(folder / "test.csv", values, classes, groups, unit, absent)
            self._write_metrics(folder / "validation.csv", validation or values, classes, groups, unit)
            self._write_training(folder, seed)
            for number in range(len(values)):
                self._write_case(folder / "masks", number)
            files = ("config.yaml", "history.csv", "validation.csv", "test.csv")
            members.append(Member(folder.name, *(folder / file for file in files)))
        self.together = together is not None
        ensemble = self.folder / name / "ensemble/test.csv"
        if together:
            self._write_metrics(ensemble, together, classes, groups, unit)
            scores = {"apparent": 0.987, "nested": (validation or together)[0]}
            write_json(ensemble.with_name("operating_point.json"), {"optimism": scores})
            for number in range(len(together)):
                self._write_case(ensemble.parent / "masks", number)
        tables = [member.test.with_name("extra_test.csv") for member in members] if extra else []
        for table, values in zip(tables, (shares, *others), strict=False):
            self._write_extra(table, values, classes, groups, absent, extra)
        ensemble_tables = [ensemble.with_name("extra_test.csv")] if extra and together else []
        for table in ensemble_tables:
            self._write_extra(table, together, classes, groups, absent, extra)
        self.extra += ensemble_tables or tables
        pooled = self.folder / "pooled.json"
        write_json(pooled, {one: {} for one in classes})
        summarize_experiment(
            name, members, 2.5, self.folder / name / "summary.json",
            tables, [pooled] * len(tables), ensemble if together else None, ensemble_tables, [pooled],
        )  # fmt: skip
        runtimes = [
            {"runtime": runtime, "file_mb": 1.5, "latency_ms_p50": latency, "tile": "256 × 256", "threads": 2}
            for runtime, latency in (("PyTorch eager FP32", 40.0), ("ONNX Runtime FP32", 12.34))
        ]
        write_table(self.folder / name / "runtimes.csv", runtimes, list(runtimes[0]))

    def _write_metrics(
        self, path: Path, shares: Sequence[float], classes: Sequence[str], groups, unit: str, absent: Sequence[int] = ()
    ) -> None:
        rows = []
        for i, share in enumerate(shares):
            counts = dict.fromkeys(("reference_pixels", "predicted_pixels", "tp", "fp", "fn"), 5) | {
                "reference_pixels": 0 if i in absent else 5
            }
            metrics = dict.fromkeys(METRICS, None if np.isnan(share) else share)
            metrics["hd95"] = None if np.isnan(share) else 10 * (1 - share)
            picture = {"id": f"s{i}", "group": groups[i] if groups else f"site{i}", "unit": unit}
            rows += [picture | {"class": one} | counts | metrics for one in classes]
        write_table(path, rows, CASE_COLUMNS)

    def _write_extra(self, path: Path, shares: Sequence[float], classes, groups, absent, extra: Sequence[str]) -> None:
        rows = [
            {"id": f"s{i}", "group": groups[i] if groups else f"site{i}", "class": one, "unit": ""}
            | {"reference_pixels": 0 if i in absent else 5}
            | dict.fromkeys(extra, None if np.isnan(share) else share)
            for i, share in enumerate(shares)
            for one in classes
        ]
        write_table(path, rows, list(rows[0]))

    def _write_training(self, folder: Path, seed: int) -> None:
        epochs = [{"epoch": 1, "loss": 1.0, "validation_loss": 2.0, "validation_iou": 0.5, "seconds": 61.0}]
        epochs[0]["peak_memory_mb"] = 1234.5
        write_table(folder / "history.csv", epochs, list(epochs[0]))
        run = {"run_id": "r", "fold": 0, "seed": seed, "train": {"device": "cpu"}}
        (folder / "config.yaml").write_text(yaml.safe_dump(run))
        write_plan(folder / "plan.yaml", _plan())

    def _write_case(self, masks: Path, number: int) -> None:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[: SIZE // 2] = 1
        for folder in (masks, self.folder / "labels/00"):
            write_label_png(folder / f"s{number}.png", mask, Classes.from_config(self.classes))

    def _write_samples(self) -> None:
        picture = self.folder / "picture.png"
        Image.fromarray(np.full((SIZE, SIZE, 3), 90, np.uint8)).save(picture)
        rows = [
            {"id": file.stem, "image": picture, "group": "g", "shard": "00", "depth": 1}
            for file in sorted((self.folder / "labels/00").iterdir())
        ]
        write_table(self.folder / "samples.csv", rows, list(rows[0]))

    def compare(self) -> tuple[list[dict[str, str]], str]:
        """The rows of comparison.csv, and comparison.html."""
        self._write_samples()
        of_members = {
            field: [self.folder / name / member / file for name in self.names for member in self.members]
            for field, file in (
                ("plan", "plan.yaml"), ("config", "config.yaml"), ("history", "history.csv"), ("metrics", "test.csv"),
                ("masks", "masks"),
            )
        }  # fmt: skip
        of_experiments = {
            field: [self.folder / name / file for name in self.names]
            for field, file in (("summary", "summary.json"), ("runtimes", "runtimes.csv"))
        }
        of_ensembles = {
            field: [self.folder / name / "ensemble" / file for name in self.names if self.together]
            for field, file in (("metrics", "test.csv"), ("masks", "masks"), ("point", "operating_point.json"))
        }
        table, page = self.folder / "comparison.csv", self.folder / "comparison.html"
        compare_experiments(
            classes=list(self.classes),
            samples=self.folder / "samples.csv",
            labels=[self.folder / "labels/00"],
            experiments=experiment_files(self.names, self.members, of_members, of_experiments, of_ensembles),
            table=table,
            page=page,
            extra=self.extra,
        )
        return read_table(table), page.read_text(encoding="utf-8")


@cache
def _plan() -> dict[str, Any]:
    return make_plan(fingerprint(), 0, options())
