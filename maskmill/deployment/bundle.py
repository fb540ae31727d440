"""The bundle: a folder with a model and everything needed to use it, each file's digest recorded.

bundle.json holds the schema version, run id, members (name and run id, several of an ensemble), recipe (classes in
index order, preprocessing, tiles, operating point), artifacts (runtime, precision and ONNX file of what passed the
parity gate), opset, test metrics with intervals, provenance with each member's configuration, and the SHA-256 of every
other file: model.onnx and those of further precisions, parity.json and the weights, model.safetensors or of an ensemble
`<member>.safetensors`.
`maskmill.deployment.packing` writes bundles; reading one needs neither PyTorch nor a YAML parser.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskmill.errors import MaskmillError
from maskmill.files import read_json_object, sha256_file
from maskmill.inference.artifacts import EXACT, Artifact, require_known
from maskmill.inference.recipe import Recipe
from maskmill.inference.runtimes import Runtime

SCHEMA_VERSION = 7

READABLE_VERSIONS = (6, SCHEMA_VERSION)
"""Of bundles that are opened. Those of version 6 do not say what pixel types they were trained on."""


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files have been checked against their digests.

    artifacts: what may run it, each compared with PyTorch before it was packed. exits_early: whether a part of the
    network decides, tile by tile, how deep the rest goes.
    """

    folder: Path
    run_id: str
    recipe: Recipe
    artifacts: tuple[Artifact, ...] = (EXACT,)
    exits_early: bool = False

    @property
    def onnx(self) -> Path:
        """The ONNX model."""
        return self.folder / "model.onnx"

    def open(self, threads: int, artifact: Artifact = EXACT) -> Runtime:
        """What runs the model, by default ONNX Runtime in FP32.

        Raises MaskmillError as `require` does.
        """
        self.require(artifact)
        return artifact.open(self.folder, threads)

    def require(self, artifact: Artifact) -> None:
        """Raise MaskmillError for an artifact that has not passed the gate for this bundle."""
        if artifact not in self.artifacts:
            require_known(artifact)
            able = ", ".join(one.label for one in self.artifacts)
            option = {
                "onnxruntime": f"precisions: [fp32, {artifact.precision}]",
                "openvino": f"openvino: [{artifact.precision}]",
                "tensorrt": f"tensorrt: true, precisions: [{artifact.precision}]",
            }[artifact.runtime]
            raise MaskmillError(
                f"the bundle {self.folder} has not been compared with its trained model in {artifact.label}; it has "
                f"been in {able}. Choose one of these, or write `export: {{{option}}}` in the config and pack it anew."
            )


def load_bundle(folder: Path) -> Bundle:
    """Open a bundle after checking every file's digest.

    Raises MaskmillError as `read_card` does, or if the bundle lists a missing or changed file.
    """
    content = read_card(folder)
    if wrong := [f"{name} ({fault})" for name, fault in find_faults(folder, content["files"])]:
        raise MaskmillError(f"The bundle {folder} is damaged: {', '.join(wrong)}. Copy or pack it again.")
    artifacts = tuple(Artifact(one["runtime"], one["precision"]) for one in content["artifacts"])
    members = content["provenance"]["configs"].values()
    exits_early = any(run["model"]["architecture"] == "early_exit_unet" for run in members)
    return Bundle(Path(folder), content["run_id"], Recipe.from_dict(content["recipe"]), artifacts, exits_early)


def read_card(folder: Path) -> dict[str, Any]:
    """What bundle.json says. Raises MaskmillError if `folder` is not a bundle, or of a version that is not read."""
    card = Path(folder) / "bundle.json"
    if not card.is_file():
        raise MaskmillError(
            f"{folder} is not a bundle: it has no bundle.json. The pipeline packs a bundle as "
            "results/NAME/experiments/EXPERIMENT/bundle; give that folder, or a copy of it, unpacked."
        )
    content = read_json_object(card, "copy or pack the bundle again")
    if content.get("schema_version") not in READABLE_VERSIONS:
        known = " and ".join(map(str, READABLE_VERSIONS))
        raise MaskmillError(
            f"{card} has schema version {content.get('schema_version')}, this Maskmill reads {known}: run the pipeline "
            "again to pack it anew, or use the version of Maskmill that wrote it"
        )
    return content


def find_faults(folder: Path, digests: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Names of the files below `folder` that are not as their SHA-256 says, each with what is wrong."""
    for name, digest in digests.items():
        file = Path(folder, name)
        if not file.is_file():
            yield name, "missing"
        elif sha256_file(file) != digest:
            yield name, "differs from its recorded digest"
