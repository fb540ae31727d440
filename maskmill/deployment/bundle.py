"""The bundle: a folder with a model and everything needed to use it, each file's digest recorded.

bundle.json holds the schema version, run id, members (name and run id, several of an ensemble), recipe (classes in
index order, preprocessing, tiles, operating point), test metrics with intervals, provenance with each member's
configuration, and the SHA-256 of every other file: model.onnx, parity.json and the weights, model.safetensors or of an
ensemble `<member>.safetensors`.
`maskmill.deployment.packing` writes bundles; reading one needs neither PyTorch nor a YAML parser.
"""

from dataclasses import dataclass
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.files import read_json, sha256_file
from maskmill.inference.recipe import Recipe

SCHEMA_VERSION = 5


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


def load_bundle(folder: Path) -> Bundle:
    """Open a bundle after checking every file's digest.

    Raises MaskmillError if it is not a bundle, is of another schema version, or lists a missing or changed file.
    """
    card = Path(folder) / "bundle.json"
    if not card.is_file():
        raise MaskmillError(
            f"{folder} is not a bundle: it has no bundle.json. The pipeline packs a bundle as "
            "results/NAME/experiments/EXPERIMENT/bundle; give that folder, or a copy of it."
        )
    content = read_json(card)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise MaskmillError(
            f"{card} has schema version {content.get('schema_version')}, this Maskmill reads {SCHEMA_VERSION}: "
            "run the pipeline again to pack it anew, or use the version of Maskmill that wrote it"
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
