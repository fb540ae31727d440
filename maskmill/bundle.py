"""The bundle: a folder with a model and everything needed to use it, each file's digest recorded.

bundle.json holds the schema version, run id, recipe (classes, preprocessing, tiles, operating point), test metrics with
intervals, provenance and the SHA-256 of every other file: model.onnx, model.safetensors and parity.json.
"""

import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskmill import __version__
from maskmill.errors import MaskmillError
from maskmill.export.verdict import require_parity
from maskmill.files import atomic_path, read_json, sha256_file, write_json
from maskmill.recipe import Recipe
from maskmill.runs import read_run

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files have been checked against their digests."""

    folder: Path
    run_id: str
    recipe: Recipe

    @property
    def onnx(self) -> Path:
        """The ONNX model."""
        return self.folder / "model.onnx"


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


def pack_member(
    onnx: Path,
    model: Path,
    config: Path,
    point: Path,
    parity: Path,
    summary: Path,
    tiling: Mapping[str, Any],
    output: Path,
) -> None:
    """Pack the bundle of a trained member; MaskmillError if its export's parity verdict is negative."""
    require_parity(read_json(parity), parity)
    run = read_run(config)
    recipe = Recipe.of_member(run, tiling, 2 ** run["model"]["depth"], point)
    files = {"model.onnx": onnx, "model.safetensors": model, "parity.json": parity}
    pack_bundle(output, recipe, files, run, read_json(summary))


def load_bundle(folder: Path) -> Bundle:
    """Open a bundle after checking every file's digest.

    Raises MaskmillError if it is not a bundle, is of another schema version, or lists a missing or changed file.
    """
    card = Path(folder) / "bundle.json"
    if not card.is_file():
        raise MaskmillError(f"{folder} is not a bundle: it has no bundle.json. Give the folder that pack_bundle wrote.")
    content = read_json(card)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise MaskmillError(
            f"{card} has schema version {content.get('schema_version')}, this Maskmill reads {SCHEMA_VERSION}: "
            "use the version that wrote it, or pack it again"
        )
    wrong = [f"{name} ({_fault(card.parent / name)})" for name, digest in content["files"].items()
             if not _intact(card.parent / name, digest)]  # fmt: skip
    if wrong:
        raise MaskmillError(f"The bundle {folder} is damaged: {', '.join(wrong)}. Copy or pack it again.")
    return Bundle(card.parent, content["run_id"], Recipe.from_dict(content["recipe"]))


def _intact(file: Path, digest: str) -> bool:
    return file.is_file() and sha256_file(file) == digest


def _fault(file: Path) -> str:
    return "differs from its recorded digest" if file.is_file() else "missing"
