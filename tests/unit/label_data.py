"""Small labelled data sets on disk, and the labels stage from index to gate."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from maskmill.indexing.samples import index_samples
from maskmill.labels.problems import check_inputs, collect_problems
from maskmill.labels.shard import rasterize_shard

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]


def write_picture(path: Path, height: int = 20, width: int = 30, **save) -> Path:
    """A grey gradient in RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = np.linspace(0, 255, width).astype(np.uint8)
    Image.fromarray(np.broadcast_to(row[None, :, None], (height, width, 3)).copy()).save(path, **save)
    return path


def write_mask(path: Path, values: np.ndarray) -> Path:
    """A grey or RGB PNG of these values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return path


def shape(label: str = "building", points=SQUARE, kind: str = "polygon", **other) -> dict:
    """A shape as labelme stores it."""
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}} | other


def write_labelme(path: Path, *shapes: dict, height: int | None = 20, width: int | None = 30, **other) -> Path:
    """A labelme file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"version": "5.0.1", "flags": {}, "shapes": list(shapes), "imagePath": f"{path.stem}.png"}
    content |= {"imageData": None, "imageHeight": height, "imageWidth": width} | other
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def labelme_source(root: Path) -> dict[str, str]:
    """The option `dataset.source` for pictures in root/images and labelme files in root/annotations."""
    return {"format": "labelme", "images": f"{root}/images", "annotations": f"{root}/annotations"}


def index(
    source: dict, output: Path, classes=("building", "road"), background="rest", instances: bool = False, **split
) -> None:
    """Write manifest.csv, index_problems.csv and shards to `output`; split: options of `dataset.split`."""
    index_samples(
        {"stacks": "slices"} | source,
        {"classes": classes, "background": background, "instances": instances},
        {"group": "folder", "slabs": 5} | split,
        manifest=output / "manifest.csv",
        problems=output / "index_problems.csv",
        shards_dir=output / "shards",
        threads=2,
    )


def run_labels(
    source: dict, output: Path, classes, background="rest", on_problem: str = "fail", instances: bool = False, **split
) -> list[Path]:
    """Index, draw and check a data set; the folders of the shards' labels."""
    index(source, output, classes, background, instances, **split)
    folders = []
    for shard in sorted((output / "shards").iterdir()):
        folders.append(output / "labels" / shard.stem)
        rasterize_shard(shard, folders[-1], {"classes": classes, "background": background, "instances": instances})
    collect_problems(output / "index_problems.csv", folders, list(classes), output / "problems.csv")
    check_inputs(output / "problems.csv", output / "manifest.csv", on_problem, output / "samples.csv")
    return folders


def label_paths(folders: list[Path]) -> dict[str, Path]:
    """Path of the label image by sample id."""
    return {file.relative_to(f).with_suffix("").as_posix(): file for f in folders for file in sorted(f.rglob("*.png"))}
