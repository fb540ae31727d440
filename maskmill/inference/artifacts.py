"""What runs a deployed model: a runtime at a precision, from one of the ONNX files that lie together in a folder."""

import argparse
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskmill.errors import MaskmillError
from maskmill.files import sha256_file
from maskmill.inference.engines import TensorRTRuntime, find_backend
from maskmill.inference.runtimes import OPENVINO_MISSING, OnnxRuntime, OpenVinoRuntime, Runtime

OPSET = 20
"""Version of ONNX's operators in all exported files."""

RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "tensorrt": "TensorRT"}
"""What runtimes are called."""

PRECISIONS = {
    "onnxruntime": ("fp32", "fp16", "int8"),
    "openvino": ("fp32", "bf16"),
    "tensorrt": ("fp32", "fp16", "int8"),
}
"""What each runtime can compute in. OpenVINO computes in bf16 with the weights of the FP32 file, TensorRT by an engine
that is built from the ONNX file."""


@dataclass(frozen=True)
class Artifact:
    """A runtime and a precision, keys of `RUNTIMES` and of `PRECISIONS`."""

    runtime: str = "onnxruntime"
    precision: str = "fp32"

    @property
    def name(self) -> str:
        """Name in files: "onnxruntime-fp32"."""
        return f"{self.runtime}-{self.precision}"

    @property
    def label(self) -> str:
        """Name for people: "ONNX Runtime FP32"."""
        return f"{RUNTIMES[self.runtime]} {self.precision.upper()}"

    @property
    def onnx(self) -> str:
        """Name of the ONNX file that it runs, or whose engine it runs."""
        if self == Artifact("tensorrt", "int8"):
            return onnx_name("int8-symmetric")
        return onnx_name("fp32" if self.precision == "bf16" else self.precision)

    @property
    def file(self) -> str:
        """Name of the file that it runs."""
        return onnx_name(self.precision).replace(".onnx", ".engine") if self.runtime == "tensorrt" else self.onnx

    def require_installed(self) -> None:
        """Raise MaskmillError, with what to do, where what runs it is not installed."""
        if self.runtime == "openvino" and importlib.util.find_spec("openvino") is None:
            raise MaskmillError(OPENVINO_MISSING)
        if self.runtime == "tensorrt":
            find_backend()

    def open(self, folder: Path, threads: int) -> Runtime:
        """The runtime, with its file from `folder`."""
        if self.runtime == "openvino":
            return OpenVinoRuntime(folder / self.file, threads, self.precision)
        if self.runtime == "tensorrt":
            return TensorRTRuntime(folder / self.file, sha256_file(folder / self.onnx))
        return OnnxRuntime(folder / self.file, threads)


EXACT = Artifact()
"""The default: masks are those of the pipeline, byte for byte."""


def add_artifact_options(command: argparse.ArgumentParser) -> None:
    """Add --runtime and --precision, the two parts of an artifact."""
    command.add_argument("--runtime", choices=RUNTIMES, default=EXACT.runtime, help="what runs the model")
    command.add_argument(
        "--precision",
        choices=dict.fromkeys(name for names in PRECISIONS.values() for name in names),
        default=EXACT.precision,
        help="what it computes in; other than fp32 (the default) where the bundle was compared with its model in that",
    )


def onnx_name(precision: str) -> str:
    """Name of the ONNX file of a precision: model.onnx, model.fp16.onnx, model.int8.onnx.

    "int8-symmetric" is the one that TensorRT takes, see `maskmill.export.quantization.quantize`.
    """
    return "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"


def configured_artifacts(precisions: Sequence[str], openvino: Sequence[str]) -> list[Artifact]:
    """The artifacts that `export.precisions` and `export.openvino` ask for; ONNX Runtime in FP32 always is the first.

    Raises MaskmillError as `require_known` does.
    """
    asked = {"onnxruntime": dict.fromkeys(["fp32", *precisions]), "openvino": dict.fromkeys(openvino)}
    artifacts = [Artifact(runtime, precision) for runtime, names in asked.items() for precision in names]
    for artifact in artifacts:
        require_known(artifact)
    return artifacts


def require_known(artifact: Artifact) -> None:
    """Raise MaskmillError for a precision that the runtime has not."""
    able = PRECISIONS[artifact.runtime]
    if artifact.precision not in able:
        raise MaskmillError(
            f"{RUNTIMES[artifact.runtime]} has no precision {artifact.precision}; it has {', '.join(able)}"
        )
