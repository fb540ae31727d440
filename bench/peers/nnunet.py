"""nnU-Net v2 on the samples, labels and split of a Maskmill run, in an environment of its own.

References
----------
F. Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 18, 2021.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from maskmill.classes import IGNORE
from maskmill.files import read_json, read_table, write_json
from maskmill.imaging.images import read_image, read_label_png
from maskmill.imaging.volumes import read_label_volume, write_label_volume

DATASET = "Dataset501_bench"
PARTS = {"train": "Tr", "validation": "Tr", "test": "Ts"}
# torchvision of the package index does not load beside a CPU build of torch, but nnU-Net's search for trainers imports
# it: the two operators whose absence stops it are declared first
ENTRY = """
import sys, torch
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
if __name__ == "__main__":
    from importlib.metadata import entry_points
    name = sys.argv.pop(1)
    sys.exit(next(entry for entry in entry_points(group="console_scripts") if entry.name == name).load()())
"""


@dataclass(frozen=True)
class Case:
    """A sample under the name that nnU-Net knows it by."""

    name: str
    id: str
    split: str
    image: Path
    label: Path

    @property
    def ending(self) -> str:
        """Suffix of its files: ".nii.gz" of a volume, ".png" of a picture."""
        return ".nii.gz" if self.label.name.endswith(".nii.gz") else ".png"

    def labels(self) -> np.ndarray:
        """Class indices, (D, H, W) of a volume, (H, W) of a picture."""
        return read_label_volume(self.label) if self.ending == ".nii.gz" else read_label_png(self.label)


def read_cases(results: Path) -> list[Case]:
    """The samples of fold 0 of a run, in the order of their ids; those in a buffer between parts are left out."""
    samples = {row["id"]: row for row in read_table(results / "samples.csv")}
    cases = []
    dealt = [row for row in read_table(results / "splits.csv") if row["fold0"] in PARTS]
    for number, row in enumerate(sorted(dealt, key=lambda row: row["id"])):
        ending = ".nii.gz" if int(samples[row["id"]]["depth"]) > 1 else ".png"
        label = results / "labels" / row["shard"] / f"{row['id']}{ending}"
        cases.append(Case(f"case_{number:04d}", row["id"], row["fold0"], Path(samples[row["id"]]["image"]), label))
    return cases


def train_and_predict(python: str, results: Path, root: Path, minutes: float, threads: int, masks: Path) -> dict:
    """Plan, train for some minutes and predict the test cases with nnU-Net; returns steps and seconds of training.

    python: an interpreter that has nnunetv2. results: of a Maskmill run, with labels and splits. root: where nnU-Net
    works, emptied first. masks: folder that gets the test masks as `<id>.png` or `<id>.nii.gz`.
    """
    shutil.rmtree(root, ignore_errors=True)
    environment = _environment(root, minutes, threads)
    cases = read_cases(results)
    _write_raw(root / "nnUNet_raw" / DATASET, cases, read_json(results / "fingerprint.json")["classes"])
    configuration = "3d_fullres" if cases[0].ending == ".nii.gz" else "2d"

    def call(*command: str) -> str:
        return _call([python, str(root / "entry.py"), *command], environment)

    call("nnUNetv2_plan_and_preprocess", "-d", "501", "-c", configuration, "--verify_dataset_integrity", "-npfp", "2")
    split = {
        part: [case.name for case in cases if case.split == kind]
        for part, kind in (("train", "train"), ("val", "validation"))
    }
    write_json(root / "nnUNet_preprocessed" / DATASET / "splits_final.json", [split])
    common = ["-tr", "BenchTrainer", "-device", "cpu"]
    log = call("nnUNetv2_train", "501", configuration, "0", *common)
    predicted = root / "predicted"
    images = root / "nnUNet_raw" / DATASET / "imagesTs"
    call(
        "nnUNetv2_predict", "-i", str(images), "-o", str(predicted), "-d", "501", "-c", configuration, "-f", "0",
        "-npp", "1", "-nps", "1", *common,
    )  # fmt: skip
    for case in cases:
        if case.split == "test":
            target = masks / f"{case.id}{case.ending}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(predicted / f"{case.name}{case.ending}", target)
    steps, seconds = re.search(r"BENCH steps (\d+) seconds ([\d.]+)", log).groups()
    return {"steps": int(steps), "training_seconds": float(seconds), "configuration": configuration}


def _environment(root: Path, minutes: float, threads: int) -> dict[str, str]:
    folders = {name: root / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (root / "entry.py").write_text(ENTRY)
    return {
        **os.environ,
        **{name: str(folder) for name, folder in folders.items()},
        "nnUNet_extTrainer": str(Path(__file__).parent / "nnunet_trainer"),
        "nnUNet_n_proc_DA": "1",
        "nnUNet_def_n_proc": str(threads),
        "nnUNet_compile": "f",
        "OMP_NUM_THREADS": str(threads),
        "BENCH_MINUTES": str(minutes),
    }


def _call(command: Sequence[str], environment: Mapping[str, str]) -> str:
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{finished.stdout[-3000:]}\n{finished.stderr[-3000:]}")
    return finished.stdout


def _write_raw(folder: Path, cases: Sequence[Case], classes: Sequence[str]) -> None:
    """The data set as nnU-Net reads it: pictures, labels (ignored pixels as a class of their own), dataset.json."""
    channels, ignored = set(), False
    for case in cases:
        paths = [folder / f"{kind}{PARTS[case.split]}" for kind in ("images", "labels")]
        for path in paths:
            path.mkdir(parents=True, exist_ok=True)
        labels = case.labels()
        ignored |= bool((labels == IGNORE).any())
        labels[labels == IGNORE] = len(classes) + 1
        channels.add(_write_case(case, labels, paths[0] / f"{case.name}_0000{case.ending}", paths[1]))
    (count,) = channels
    named = {"background": 0} | {name: value for value, name in enumerate(classes, 1)}
    content = {
        "channel_names": {str(number): f"channel {number}" for number in range(count)},
        "labels": named | ({"ignore": len(named)} if ignored else {}),
        "numTraining": sum(PARTS[case.split] == "Tr" for case in cases),
        "file_ending": cases[0].ending,
    }
    write_json(folder / "dataset.json", content)


def _write_case(case: Case, labels: np.ndarray, image: Path, label_folder: Path) -> int:
    label = label_folder / f"{case.name}{case.ending}"
    if case.ending == ".nii.gz":
        nibabel.save(nibabel.load(case.image), image)
        write_label_volume(label, labels, like=case.image)
        return 1
    pixels = read_image(case.image)
    pixels = pixels if pixels.shape[2] in (1, 3) else pixels[..., :3]
    Image.fromarray(pixels.squeeze()).save(image)
    Image.fromarray(labels).save(label)
    return pixels.shape[2]


def time_epoch(
    python: str,
    files: Sequence[tuple[Path, Path]],
    root: Path,
    model: Mapping[str, object],
    patch: int,
    batch: int,
    steps: int,
    rounds: int,
    threads: int,
) -> float:
    """Seconds of the shortest of some epochs of nnU-Net's 2D trainer with the U-Net that `model` describes.

    files: RGB pictures and their masks of 0 and 1. steps: of an epoch. The interpreter needs safetensors too.
    """
    environment = _environment(root, 0, threads) | {
        "BENCH_MODEL": json.dumps(dict(model)),
        "BENCH_STEPS": str(steps),
        "BENCH_ROUNDS": str(rounds),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    raw = root / "nnUNet_raw" / DATASET
    for number, (image, label) in enumerate(files):
        for folder, source, name in (("imagesTr", image, f"{number}_0000.png"), ("labelsTr", label, f"{number}.png")):
            (raw / folder).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, raw / folder / name)
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "foreground": 1},
        "numTraining": len(files),
        "file_ending": ".png",
    }
    write_json(raw / "dataset.json", content)
    command = [python, str(root / "entry.py")]
    _call([*command, "nnUNetv2_plan_and_preprocess", "-d", "501", "-c", "2d", "-npfp", "2"], environment)
    plans = root / "nnUNet_preprocessed" / DATASET / "nnUNetPlans.json"
    planned = read_json(plans)
    planned["configurations"]["2d"] |= {"patch_size": [patch, patch], "batch_size": batch}
    write_json(plans, planned)
    training = ["nnUNetv2_train", "501", "2d", "0", "-tr", "SpeedTrainer", "-device", "cpu"]
    log = _call([*command, *training], environment)
    return float(re.search(r"BENCH shortest epoch ([\d.]+)", log).group(1))
