"""Packing a bundle (see `maskmill.deployment.bundle`) from trained members whose export is equal to them."""

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskmill import __version__
from maskmill.deployment.bundle import SCHEMA_VERSION
from maskmill.export.verdict import require_parity
from maskmill.files import METADATA, atomic_path, read_json, sha256_file, write_json
from maskmill.inference.artifacts import OPSET, Artifact
from maskmill.inference.members import JoinedMembers, join_members
from maskmill.inference.recipe import Recipe
from maskmill.leaks.isolation import require_isolation
from maskmill.runs import read_run


def pack_members(
    onnx: Sequence[Path],
    models: Sequence[Path],
    configs: Sequence[Path],
    point: Path,
    parity: Path,
    summary: Path,
    splits: Path,
    fingerprint: Path,
    tiling: Mapping[str, Any],
    output: Path,
    engines: Sequence[Path] = (),
    engine_parity: Path | None = None,
) -> None:
    """Pack the bundle of a trained member, or of several as an ensemble.

    onnx: the exported files, named as in the bundle; tiling: the `predict` options. engines: TensorRT's engines, their
    tags and the ONNX files that they alone are built from; engine_parity: the verdict on them. Raises MaskmillError as
    `require_parity` does, or if a test sample had a part in their making.
    """
    exported = {file.name: file for file in onnx}
    artifacts = require_parity(read_json(parity), parity, exported)
    if engine_parity:
        built = {file.name: file for file in engines}
        compared = {name: file for name, file in built.items() if name.endswith(".engine")}
        artifacts += require_parity(read_json(engine_parity), engine_parity, compared)
        exported |= {**built, "engine_parity.json": engine_parity}
    joined = join_members([read_run(config) for config in configs], tiling)
    exports = _calibrations([*onnx, *(file for file in engines if file.suffix == ".onnx")])
    if engine_parity:
        exports[f"comparison of the engines ({engine_parity})"] = [
            case["id"] for case in read_json(engine_parity)["cases"]
        ]
    require_isolation(splits, joined.folds, fingerprint, point, parity, exports)
    volumes = any(read_json(fingerprint)["folds"][fold]["volumes"] for fold in joined.folds)
    recipe = Recipe.of_member(joined.run, tiling, volumes, joined.stride, point)
    if len(models) == 1:
        weights, measured = ["model.safetensors"], read_json(summary)
    else:
        weights, measured = [f"{name}.safetensors" for name in joined.names], read_json(summary)["ensemble"]
    files = {**exported, "parity.json": parity, **dict(zip(weights, models, strict=True))}
    pack_bundle(output, recipe, files, artifacts, joined, measured["test"])


def _calibrations(onnx_files: Sequence[Path]) -> dict[str, list[str]]:
    """Of each quantised file, the ids of the samples that it was calibrated with, by its own metadata."""
    import onnx

    found = {}
    for file in onnx_files:
        properties = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
        known = json.loads(properties.get(METADATA, "{}"))
        if "calibration" in known:
            found[f"calibration ({file})"] = known["calibration"]
    return found


def pack_bundle(
    output: Path,
    recipe: Recipe,
    files: Mapping[str, Path],
    artifacts: Sequence[Artifact],
    joined: JoinedMembers,
    metrics: Mapping[str, Any],
) -> None:
    """Write a bundle folder.

    files: name in the bundle → file to copy. artifacts: what passed the parity gate. metrics: test metrics of the
    members together, see `summarize_experiment`.
    """
    with atomic_path(output) as aside:
        aside.mkdir(parents=True)
        for name, source in files.items():
            shutil.copyfile(source, aside / name)
        content = {
            "schema_version": SCHEMA_VERSION,
            "run_id": joined.run["run_id"],
            "members": [
                {"member": name, "run_id": run["run_id"]} for name, run in zip(joined.names, joined.runs, strict=True)
            ],
            "recipe": recipe.as_dict(),
            "opset": OPSET,
            "artifacts": [{"runtime": one.runtime, "precision": one.precision, "file": one.file} for one in artifacts],
            "metrics": metrics,
            "provenance": {
                "maskmill": __version__,
                "python": platform.python_version(),
                "configs": dict(zip(joined.names, map(dict, joined.runs), strict=True)),
            },
            "files": {name: sha256_file(aside / name) for name in sorted(files)},
        }
        write_json(aside / "bundle.json", content)
