"""A small network that has learnt its task, with pictures of it, for tests of what exports are worth."""

from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from PIL import Image

from maskmill.files import read_json, write_json, write_table
from maskmill.imaging.images import write_label_png
from maskmill.models import load_model, save_model
from maskmill.runs import read_run
from tests.unit.member import CLASSES, Member, make_member

SIZE, STEPS = 64, 120
COLOURS = {1: (200, 120, 60), 2: (70, 130, 190)}
PARTS = {"a": "validation", "b": "validation", "c": "train", "d": "train", "e": "train", "f": "test"}


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (H, W, 3), of ellipses in two colours on grey, with noise and a blur; their classes (H, W)."""
    random = np.random.default_rng(seed)
    picture, labels = np.full((SIZE, SIZE, 3), 110, np.uint8), np.zeros((SIZE, SIZE), np.uint8)
    for value in (1, 2, 1, 2):
        centre, axes = random.integers(8, SIZE - 8, 2), random.integers(6, 14, 2)
        ellipse = tuple(map(int, centre)), tuple(map(int, axes)), int(random.integers(180)), 0, 360
        cv2.ellipse(picture, *ellipse, COLOURS[value], -1)
        cv2.ellipse(labels, *ellipse, value, -1)
    noisy = cv2.GaussianBlur(picture, (0, 0), 1) + random.normal(0, 12, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def make_trained_member(folder: Path) -> Member:
    """A member of `draw`n pictures, trained for a few seconds: two validation, three training pictures, one test."""
    member = make_member(folder)
    rows, splits = [], []
    for number, (name, part) in enumerate(PARTS.items()):
        picture, labels = draw(100 + number)
        Image.fromarray(picture).save(folder / f"{name}.png")
        write_label_png(folder / f"labels/00/{name}.png", labels, CLASSES)
        rows.append({"id": name, "group": name, "shard": "00", "image": folder / f"{name}.png", "depth": 1})
        splits.append({"id": name, "group": name, "shard": "00", "fold0": part})
    write_table(folder / "samples.csv", rows, list(rows[0]))
    write_table(folder / "splits.csv", splits, list(splits[0]))
    write_json(member.files["point"], read_json(member.files["point"]) | {"thresholds": [0.5, 0.5], "steps": []})
    run = read_run(member.files["config"])
    run["preprocessing"] |= {"mean": [0.45, 0.45, 0.45], "std": [0.15, 0.15, 0.15]}
    member.files["config"].write_text(yaml.safe_dump(run), encoding="utf-8")
    _train(member.files["model"])
    return member


def _train(path: Path) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, metadata = load_model(path)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    pictures, labels = zip(*map(draw, range(24)), strict=True)
    images = torch.from_numpy(((np.stack(pictures) / 255 - 0.45) / 0.15).transpose(0, 3, 1, 2).astype(np.float32))
    targets = torch.from_numpy(np.stack(labels).astype(np.int64))
    model.train()
    for step in range(STEPS):
        chosen = torch.arange(step * 4, step * 4 + 4) % len(images)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[chosen]), targets[chosen]).backward()
        optimizer.step()
    save_model(path, model.eval(), metadata)
