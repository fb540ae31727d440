"""What does a decoder save that stops where a coarse mask is good enough, and what does it cost in accuracy?

Trains an early-exit U-Net for a minute or two on drawn surfaces, as a line camera sees them: half show no defect, the
others large soft stains or cracks two pixels thin. Segments others twice with the same weights: with its gates, and
through the whole decoder. The ratio is of the times of the two in PyTorch, picture by picture; ONNX Runtime, which is
what a bundle runs in, is timed beside it.

    python bench/early_exit.py [--at-least 1.2] [--json FILE]
"""

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from torch import Tensor

from maskmill.export.onnx import export_onnx
from maskmill.files import write_json
from maskmill.losses import SegmentationLoss
from maskmill.models import build_model, foreground_probabilities, save_model
from maskmill.models.early_exit import EarlyExitUNet

SIDE = 128
OPTIONS = {"architecture": "early_exit_unet", "width": 8, "depth": 4}
SHOWN = ("nothing", "stain", "nothing", "crack")
TRAIN, TEST = 320, 96
STEPS, BATCH, RATE = 500, 8, 3e-3
REPEATS = 5
THREADS = 1
HARDWARE = torch.cpu.get_capabilities().get("cpu_name", platform.machine())


def draw_surfaces(count: int, seed: int) -> tuple[Tensor, Tensor, list[str]]:
    """Pictures (N, 1, SIDE, SIDE) of about -2 to 2, labels (N, SIDE, SIDE) int64, 1 for defects; what each shows."""
    rng = np.random.default_rng(seed)
    shown = [SHOWN[number % len(SHOWN)] for number in range(count)]
    pictures, labels = zip(*(draw_surface(rng, what) for what in shown), strict=True)
    return torch.from_numpy(np.stack(pictures))[:, None], torch.from_numpy(np.stack(labels)).long(), shown


def draw_surface(rng: np.random.Generator, what: str) -> tuple[np.ndarray, np.ndarray]:
    """A surface of uneven light, grain and bright specks that are no defects; float32, and labels uint8."""
    light = cv2.resize(rng.normal(0, 0.4, (4, 4)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 1)
    picture, label = light + grain, np.zeros((SIDE, SIDE), np.uint8)
    for x, y in rng.integers(0, SIDE, (12, 2)):
        cv2.circle(picture, (int(x), int(y)), 2, 2.0, -1)
    if what == "stain":
        centre, axes = rng.integers(SIDE // 4, 3 * SIDE // 4, 2), rng.integers(SIDE // 6, SIDE // 3, 2)
        cv2.ellipse(label, (centre.tolist(), (2 * axes).tolist(), float(rng.uniform(0, 180))), 1, -1)
        picture -= 1.5 * cv2.GaussianBlur(label.astype(np.float32), (0, 0), 2)
    elif what == "crack":
        steps = np.cumsum(rng.normal(rng.uniform(-6, 6, 2), 3, (16, 2)), axis=0) + rng.integers(
            SIDE // 4, 3 * SIDE // 4, 2
        )
        cv2.polylines(label, [steps.astype(np.int32)], False, 1, 2)
        picture -= 1.8 * label
    return picture, label


def train(images: Tensor, labels: Tensor) -> EarlyExitUNet:
    """A trained network; batches are drawn from a fixed seed."""
    torch.manual_seed(0)
    model = build_model(OPTIONS, channels=1, outputs=1).train()
    loss = SegmentationLoss(0.5, 0.3, 0.2, 0.0, 1.0, None, per_sample=False)
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(len(images), (BATCH,))
        optimizer.zero_grad()
        loss(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def compare(model: EarlyExitUNet, images: Tensor, labels: Tensor, shown: list[str]) -> dict:
    """With the gates and through the whole decoder, by what pictures show: where they leave, IoU and time."""
    full = whole(model)
    with torch.inference_mode():
        early, levels = model.exit_early(images)
        masks = {"early exit": early[:, 0] > 0, "whole decoder": full(images)[:, 0] > 0}
        seconds = measure({"early exit": model, "whole decoder": full}, images)
    of = {what: np.array([name == what for name in shown]) for what in dict.fromkeys(shown)}
    found = {
        name: {what: iou(mask[chosen], labels[chosen]) for what, chosen in of.items()} for name, mask in masks.items()
    }
    return {
        "share that leaves at level 0, 1, … (0 is the finest)": {
            what: [round(float((levels[chosen] == level).float().mean()), 3) for level in range(model.depth + 1)]
            for what, chosen in of.items()
        },
        "IoU": {name: {what: found[name][what] for what in of if what != "nothing"} for name in masks},
        "pixels found where there is nothing": {name: int(mask[of["nothing"]].sum()) for name, mask in masks.items()},
        "milliseconds a picture": milliseconds(seconds),
        "ratio": ratio(seconds),
        "ratio by what is shown": ratios(seconds, shown),
    }


def whole(model: EarlyExitUNet) -> torch.nn.Module:
    """The same weights as a U-Net that never leaves early."""
    plain = build_model({**OPTIONS, "architecture": "unet"}, channels=1, outputs=1)
    plain.load_state_dict({name: model.state_dict()[name] for name in plain.state_dict()})
    return plain.eval()


def iou(mask: Tensor, labels: Tensor) -> float:
    """Intersection over union of all pictures together."""
    return round(float((mask & (labels == 1)).sum() / (mask | (labels == 1)).sum().clamp(min=1)), 4)


def measure(sides: dict[str, Callable], images: Tensor) -> dict[str, np.ndarray]:
    """Seconds of each picture by itself: the least of several passes, in turn."""
    seconds = {name: [] for name in sides}
    for _ in range(REPEATS):
        for name, run in sides.items():
            seconds[name].append([timed(run, image[None]) for image in images])
    return {name: np.min(times, axis=0) for name, times in seconds.items()}


def timed(run: Callable, image: Tensor) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    run(image)
    return time.perf_counter() - start


def milliseconds(seconds: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean over pictures."""
    return {name: round(1000 * float(times.mean()), 2) for name, times in seconds.items()}


def ratio(seconds: dict[str, np.ndarray]) -> float:
    """How many times longer the whole decoder takes."""
    return round(float(seconds["whole decoder"].sum() / seconds["early exit"].sum()), 2)


def ratios(seconds: dict[str, np.ndarray], shown: list[str]) -> dict[str, float]:
    """The ratio, by what pictures show."""
    of = {what: [name == what for name in shown] for what in dict.fromkeys(shown)}
    return {what: ratio({name: times[chosen] for name, times in seconds.items()}) for what, chosen in of.items()}


def compare_exported(model: EarlyExitUNet, images: Tensor, shown: list[str]) -> dict:
    """Milliseconds a picture in ONNX Runtime, and the largest difference of a probability from PyTorch's."""
    exported = {"early exit": ("early_exit_unet", model), "whole decoder": ("unet", whole(model))}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {
            name: session(network, architecture, Path(folder, architecture))
            for name, (architecture, network) in exported.items()
        }
    with torch.inference_mode():
        expected = foreground_probabilities(model(images)).numpy()
    found = sessions["early exit"].run(None, {"tiles": images.numpy()})[0]
    runs = {name: lambda image, of=of: of.run(None, {"tiles": image.numpy()}) for name, of in sessions.items()}
    seconds = measure(runs, images)
    return {
        "milliseconds a picture": milliseconds(seconds),
        "ratio": ratio(seconds),
        "ratio by what is shown": ratios(seconds, shown),
        "largest difference from PyTorch": float(np.abs(found - expected).max()),
    }


def session(network: torch.nn.Module, architecture: str, file: Path) -> onnxruntime.InferenceSession:
    """The network in ONNX Runtime, with as many threads as PyTorch has."""
    metadata = {"run_id": "", "model": {**OPTIONS, "architecture": architecture}, "channels": 1, "classes": ["defect"]}
    save_model(file.with_suffix(".safetensors"), network, metadata)
    export_onnx(file.with_suffix(".safetensors"), file.with_suffix(".onnx"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(file.with_suffix(".onnx"), options)


def main() -> int:
    """Train, compare and print the ratio; 1 below --at-least."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-least", type=float, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(1)
    start = time.perf_counter()
    images, labels, _ = draw_surfaces(TRAIN, seed=0)
    model = train(images, labels)
    trained = round(time.perf_counter() - start)
    images, labels, shown = draw_surfaces(TEST, seed=1)
    figures = {
        **compare(model, images, labels, shown),
        "ONNX Runtime": compare_exported(model, images, shown),
        "model": OPTIONS,
        "side": SIDE,
        "seconds to draw and train": trained,
        "threads": THREADS,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "hardware": HARDWARE,
    }
    if given.json:
        write_json(given.json, figures)
    for name, value in figures.items():
        print(f"{name}: {value}")
    took = figures["milliseconds a picture"]
    print(
        f"early_exit: ratio={figures['ratio']:.2f} (ours {took['early exit']} ms, theirs {took['whole decoder']} ms "
        f"through the whole decoder, {HARDWARE}, {THREADS} thread)"
    )
    return int(figures["ratio"] < given.at_least)


if __name__ == "__main__":
    sys.exit(main())
