"""A finished run made by hand for the tests of the report, and a reader of its page."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import numpy as np
import yaml
from PIL import Image

from maskmill.audit.shard import AUDIT_COLUMNS
from maskmill.classes import Classes
from maskmill.evaluation.measure import evaluate_masks
from maskmill.evaluation.summary import Member, summarize_experiment
from maskmill.evaluation.uncertainty import measure_uncertainty
from maskmill.files import write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.imaging.volumes import write_label_volume
from maskmill.labels.problems import COLUMNS as PROBLEM_COLUMNS
from maskmill.planning.plan import write_plan
from maskmill.planning.planner import make_plan
from maskmill.report.comparison_page import compare_experiments
from maskmill.report.data import DataFiles
from maskmill.report.page import render_report
from maskmill.report.results import experiment_files
from tests.unit.plan_data import fingerprint, options
from tests.unit.volume_data import write_nifti

SIZE = 32
DEPTH, FIRST, FULLEST, LAST = 6, 1, 3, 5
STRANGE = 'roof <b>&"$x$'
CLASSES = {STRANGE: "#e69f00", "road": "#56b4e9"}


SEAMS = {"id": "a", "near_pixels": 100, "near_errors": 30, "far_pixels": 1000, "far_errors": 200}


class Run:
    """A finished run of a few tiny pictures, made by hand: two pictures a group, one group a part, the rest tested."""

    size: ClassVar = {"width": SIZE, "height": SIZE, "depth": 1}

    def __init__(self, folder: Path, tested_groups: int = 2, classes: dict[str, str] = CLASSES) -> None:
        self.folder, self.classes = folder, classes
        self.random = np.random.default_rng(0)
        self.palette = Classes.from_config(classes)
        self.experiments: list[str] = []
        self.members: list[str] = ["fold0-seed0"]
        self.together: float | None = None  # share of pixels that an ensemble has wrong, where there is one
        self.parts = ["train", "validation"] + ["test"] * tested_groups
        self.samples = [(f"site {g}/scene_{i}", f"site {g}", part) for g, part in enumerate(self.parts) for i in (0, 1)]
        self.labels = {name: self._draw_label(name) for name, _, _ in self.samples}
        self._write_data()

    def _draw_label(self, name: str) -> np.ndarray:
        label = np.zeros((SIZE, SIZE), np.uint8)
        label[4:14, 5:20] = 1
        if len(self.classes) > 1 and not name.endswith("scene_1"):
            label[20:26] = 2
        label[:, -2:] = 255
        return label

    def _write_case(self, name: str) -> Path:
        """Write the picture and its label image."""
        file = self.folder / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.random.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)).save(file)
        self._write_mask(self.folder / "labels/00", name, self.labels[name])
        return file

    def _write_mask(self, folder: Path, name: str, mask: np.ndarray) -> None:
        write_label_png(folder / f"{name}.png", mask, self.palette)

    def _write_data(self) -> None:
        rows, statistics, audit = [], [], []
        for name, group, _ in self.samples:
            rows.append({"id": name, "image": self._write_case(name), "group": group, "shard": "00"} | self.size)
            for value in (*range(len(self.classes) + 1), 255):
                statistics.append({"id": name, "class": value, "pixels": int((self.labels[name] == value).sum())})
            for value, class_name in enumerate(self.classes, 1):
                pixels = int((self.labels[name] == value).sum())
                counts = dict.fromkeys(AUDIT_COLUMNS[2:-1], 0) | {"objects": int(pixels > 0), "label_pixels": pixels}
                audit.append({"id": name, "class": class_name, "remarks": ""} | counts)
        audit[0]["remarks"] = "1 tiny"
        write_table(self.folder / "samples.csv", rows, list(rows[0]))
        splits = [{"id": name, "group": group, "shard": "00", "fold0": part} for name, group, part in self.samples]
        write_table(self.folder / "splits.csv", splits, list(splits[0]))
        write_table(self.folder / "labels/00/statistics.csv", statistics, list(statistics[0]))
        write_table(self.folder / "quality/audit.csv", audit, AUDIT_COLUMNS)
        self.write_problems([])
        write_json(self.folder / "fingerprint.json", {"folds": [{"advice": ["too few roofs"]}]})
        sheets = self.folder / "quality/sheets"
        sheets.mkdir()
        Image.fromarray(np.zeros((SIZE, SIZE, 3), np.uint8)).save(sheets / "01.png")
        write_table(
            sheets / "sheets.csv", [{"file": "01.png", "id": "<i>", "remarks": "odd"}], ["file", "id", "remarks"]
        )

    def write_problems(self, rows: list[dict[str, str]]) -> None:
        write_table(self.folder / "problems.csv", rows, PROBLEM_COLUMNS)

    def add(self, name: str, wrong: float, wrong_on_validation: float | None = None, passed: bool = True) -> None:
        """An experiment whose masks are the labels with a share of their pixels emptied, of the test and validation."""
        shares = {"test": wrong, "validation": wrong if wrong_on_validation is None else wrong_on_validation}
        folder = self.folder / "experiments" / name
        folder.mkdir(parents=True)
        self.experiments.append(name)
        for member in self.members:
            self._write_member(self.folder / "runs" / name / member, name, member, shares)
        summarize_experiment(
            name,
            [
                Member(member, *(self.folder / "runs" / name / member / file for file in (
                    "config.yaml", "history.csv", "metrics/validation.csv", "metrics/test.csv")))
                for member in self.members
            ],
            2.0,
            folder / "summary.json",
            ensemble=self._write_ensemble(name),
        )  # fmt: skip
        worst = {"id": "site 1/scene_0", "value": 0.5}
        measures = ("probability_difference", "mask_disagreement", "iou_difference")
        judged = {
            "label": "ONNX Runtime FP32",
            "limits": {"mask_disagreement": 1e-4, "iou_difference": 1e-3, "hd95_difference": None},
            "passed": passed,
            "worst": dict.fromkeys(measures, worst) | {"hd95_difference": None},
        }
        verdict = {"passed": passed, "pictures": 2, "unit": "px", "artifacts": [judged]}
        write_json(folder / "parity.json", verdict)
        runtime = {"runtime": "ONNX Runtime FP32", "file_mb": 1.5, "load_seconds": 0.1, "latency_ms_p50": 12.34}
        runtime |= {"latency_ms_min": 11, "ratio_to_eager": 1.5, "tile": "256 × 256", "threads": 2}
        runtime |= dict.fromkeys(("latency_ms_p99", "batch_ms_p50", "batch_ms_p99", "tiles_per_second"), 20.5)
        runtime |= {"best_batch": 4, "picture_ms": 80, "picture_ms_without_reading": 70, "memory_mb": 321, "turns": 50}
        runtime |= {"validation_iou": 0.7654, "mask_disagreement": None, "hardware": "Some Processor <9>"}
        write_table(folder / "runtimes.csv", [runtime], list(runtime))
        (folder / "model.onnx").write_bytes(name.encode())

    def _write_ensemble(self, name: str) -> Path | None:
        """What the members make together, where `together` is set; its table of test metrics."""
        if self.together is None:
            return None
        folder = self.folder / "runs" / name / "ensemble"
        self._write_member(folder, name, "ensemble", {"test": self.together, "validation": self.together})
        return folder / "metrics/test.csv"

    def _write_member(self, folder: Path, experiment: str, member: str, shares: dict[str, float]) -> None:
        folder.mkdir(parents=True)
        config = {"run_id": f"run-{experiment}-{member}", "experiment": experiment, "fold": 0, "seed": 0}
        config["train"] = {"device": "cpu", "precision": "32", "threads": 2}
        config["model"] = {"attention": experiment}
        config["loss"] = {"boundary": 0.0, "class_weights": [0.5, 1.5, 1.0]}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        plan = make_plan(fingerprint(), 0, options())
        write_plan(folder / "plan.yaml", plan)
        history = [
            {"epoch": e, "loss": 1 / e, "validation_loss": 1.5 / e, "validation_iou": iou, "seconds": 40.0}
            for e, iou in ((1, None), (2, 0.5), (3, 0.4))
        ]
        write_table(folder / "history.csv", history, list(history[0]))
        (folder / "model.safetensors").write_bytes(member.encode())
        write_table(folder / "seams/test.csv", [SEAMS], list(SEAMS))
        curve = [0.2, None, 0.4]
        validation = {"threshold_iou": curve, "iou_at_half": None, "iou": 0.41, "nested_iou": 0.39}
        steps = [{"step": "remove_small", "class": 1, "area": 50}, {"step": "keep_largest", "class": 1}]
        row = {"class": STRANGE, "measure": "iou", "low": None, "high": None}
        point = {
            "candidates": {"thresholds": [0.3, 0.5, 0.7]},
            "temperature": 0.8,
            "thresholds": [0.7] * len(self.classes),
            "steps": steps,
            "optimism": {
                "resampled": "groups",
                "parts": 2,
                "apparent": 0.41,
                "nested": 0.39,
                "difference": 0.02,
                "low": -0.01,
                "high": 0.05,
            },
            "ablation": [
                {"step": "temperature", "class": None, "used": 0.8, "measure": "log-likelihood", "gain": 0.01}
                | {"low": None, "high": None},
                row | {"step": "threshold", "used": 0.7, "gain": 0.1, "low": 0.05, "high": 0.15},
                row | {"step": "remove_small", "used": 50, "gain": 0.02},
                row | {"step": "keep_largest", "used": True, "gain": 0.0},
                row | {"step": "split_touching", "used": None, "gain": None, "measure": "pq"},
            ],
            "validation": dict.fromkeys(self.classes, validation),
        }
        write_json(folder / "operating_point.json", point)
        for split, share in shares.items():
            for name, _, part in self.samples:
                if part == split:
                    label = self.labels[name]
                    mask = np.where((self.random.random(label.shape) < share) | (label == 255), 0, label)
                    self._write_mask(folder / "masks" / split, name, mask.astype(np.uint8))
            tables = self.folder / "samples.csv", self.folder / "splits.csv"
            evaluate_masks(
                folder / "masks" / split, [self.folder / "labels/00"], *tables, self.classes, 0, split, 2.0,
                folder / "metrics" / f"{split}.csv",
            )  # fmt: skip
        self._write_probabilities(folder)
        measure_uncertainty(
            folder / "probabilities", folder / "metrics/test.csv", folder / "operating_point.json",
            *(folder / "uncertainty" / name for name in ("test.csv", "test.json", "test")),
        )  # fmt: skip

    def _write_probabilities(self, folder: Path) -> None:
        """Probabilities of the test cases that are the labels, each case less sure than the one before."""
        for number, name in enumerate(name for name, _, part in self.samples if part == "test"):
            label = self.labels[name].reshape(-1, SIZE, SIZE)
            values = np.stack(
                [np.where(label == value, 250 - 20 * number, 0) for value in range(1, 1 + len(self.classes))]
            )
            file = folder / "probabilities" / f"{name}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, values.astype(np.uint8))

    def render(self) -> str:
        of_members = {
            field: [self.folder / "runs" / name / member / file for name in self.experiments for member in self.members]
            for field, file in (
                ("plan", "plan.yaml"), ("config", "config.yaml"), ("history", "history.csv"),
                ("point", "operating_point.json"), ("metrics", "metrics/test.csv"),
                ("masks", "masks/test"), ("model", "model.safetensors"),
                ("seams", "seams/test.csv"), ("validation", "metrics/validation.csv"),
                ("uncertainty", "uncertainty/test.json"), ("maps", "uncertainty/test"),
            )
        }  # fmt: skip
        of_experiments = {
            field: [self.folder / "experiments" / name / file for name in self.experiments]
            for field, file in (
                ("summary", "summary.json"), ("parity", "parity.json"), ("runtimes", "runtimes.csv"),
                ("onnx", "model.onnx"),
            )
        }  # fmt: skip
        of_experiments["bundle"] = [f"results/tiny/experiments/{name}/bundle" for name in self.experiments]
        of_ensembles = {
            field: [self.folder / "runs" / name / "ensemble" / file for name in self.experiments if self.together]
            for field, file in (
                ("point", "operating_point.json"), ("metrics", "metrics/test.csv"), ("masks", "masks/test"),
                ("seams", "seams/test.csv"), ("uncertainty", "uncertainty/test.json"), ("maps", "uncertainty/test"),
            )
        }  # fmt: skip
        searches = [self.folder / "experiments" / name / "search/trials.csv" for name in self.experiments]
        of_experiments["trials"] = [file if file.exists() else "" for file in searches]
        experiments = experiment_files(self.experiments, self.members, of_members, of_experiments, of_ensembles)
        compare_experiments(
            classes=self.classes,
            samples=self.folder / "samples.csv",
            labels=[self.folder / "labels/00"],
            experiments=experiments,
            table=self.folder / "comparison.csv",
            page=self.folder / "comparison.html",
        )
        files = ("samples.csv", "splits.csv", "problems.csv", "quality/audit.csv", "quality/sheets")
        render_report(
            dataset="tiny & <new>",
            classes=self.classes,
            data=DataFiles(
                *(self.folder / file for file in (*files, "fingerprint.json")), labels=[self.folder / "labels/00"]
            ),
            experiments=experiments,
            comparison=self.folder / "comparison.csv",
            output=self.folder / "report.html",
        )
        return (self.folder / "report.html").read_text(encoding="utf-8")


class VolumeRun(Run):
    """The same of volumes of `DEPTH` slices 2 mm apart, whose classes are in the middle ones, most of all in one."""

    size = Run.size | {"depth": DEPTH}

    def _draw_label(self, name: str) -> np.ndarray:
        label = np.zeros((DEPTH, SIZE, SIZE), np.uint8)
        label[FIRST:LAST] = super()._draw_label(name)
        label[FULLEST, 14:16, 5:20] = 1
        return label

    def _write_case(self, name: str) -> Path:
        file = self.folder / "images" / f"{name}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(file, self.random.integers(0, 255, (SIZE, SIZE, DEPTH), dtype=np.int16), np.diag([1, 1, 2, 1]))
        self._write_mask(self.folder / "labels/00", name, self.labels[name])
        return file

    def _write_mask(self, folder: Path, name: str, mask: np.ndarray) -> None:
        write_label_volume(folder / f"{name}.nii.gz", mask, like=self.folder / "images" / f"{name}.nii.gz")


class Page(HTMLParser):
    """A page's text, outer addresses, headings; `open` is empty if every tag is closed in order."""

    VOID = ("meta", "br", "link", "img", "hr")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._note(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def _note(self, attrs: list) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.ids += [value for name, value in attrs if name == "id"]
