"""Packing a bundle (see `maskmill.deployment.bundle`) from a trained member whose export is equal to its model."""

import platform
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskmill import __version__
from maskmill.deployment.bundle import SCHEMA_VERSION
from maskmill.export.verdict import require_parity
from maskmill.files import atomic_path, read_json, sha256_file, write_json
from maskmill.inference.recipe import Recipe
from maskmill.leaks.isolation import require_isolation
from maskmill.models import load_model
from maskmill.runs import read_run


def pack_member(
    onnx: Path,
    model: Path,
    config: Path,
    point: Path,
    parity: Path,
    summary: Path,
    splits: Path,
    fingerprint: Path,
    tiling: Mapping[str, Any],
    output: Path,
) -> None:
    """Pack the bundle of a trained member. tiling: the `predict` options.

    Raises MaskmillError if its export's parity verdict is negative, or a test sample had a part in its making.
    """
    require_parity(read_json(parity), parity)
    run = read_run(config)
    require_isolation(splits, run["fold"], fingerprint, point, parity)
    volumes = read_json(fingerprint)["folds"][run["fold"]]["volumes"]
    recipe = Recipe.of_member(run, tiling, volumes, load_model(model)[0].stride, point)
    files = {"model.onnx": onnx, "model.safetensors": model, "parity.json": parity}
    pack_bundle(output, recipe, files, run, read_json(summary))


def pack_bundle(
    output: Path, recipe: Recipe, files: Mapping[str, Path], run: Mapping[str, Any], summary: Mapping[str, Any]
) -> None:
    """Write a bundle folder.

    files: name in the bundle → file to copy. run: the member's resolved config. summary: the experiment's summary,
    whose test metrics go in.
    """
    with atomic_path(output) as aside:
        aside.mkdir(parents=True)
        for name, source in files.items():
            shutil.copyfile(source, aside / name)
        content = {
            "schema_version": SCHEMA_VERSION,
            "run_id": run["run_id"],
            "recipe": recipe.as_dict(),
            "metrics": summary["test"],
            "provenance": {
                "maskmill": __version__,
                "python": platform.python_version(),
                "config": dict(run),
            },
            "files": {name: sha256_file(aside / name) for name in sorted(files)},
        }
        write_json(aside / "bundle.json", content)
