"""TensorRT engines: which backend there is, what an engine was built for, and running it.

An engine runs on the GPU and with the version of TensorRT that it was built for, and nowhere else. Beside it lies its
tag, `<engine>.json`, which says so, and an engine that does not fit is refused before a byte of it is loaded.
Two backends with the same Python API: `tensorrt`, for any NVIDIA GPU, and `tensorrt_rtx`, for GeForce and RTX, which
builds engines without a GPU too. Reference: NVIDIA, TensorRT developer guide, and its Python API.
"""

import importlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from maskmill.dag.backends import BACKENDS
from maskmill.errors import MaskmillError
from maskmill.files import read_json, sha256_file, write_json
from maskmill.inference.cuda import DeviceBuffer, Gpu, PinnedBuffers, Stream, find_gpu, float32_bytes

logger = logging.getLogger(__name__)

INPUT, OUTPUT = "tiles", "probabilities"
"""Names of what every exported network takes and gives."""

ELSEWHERE = (
    "Build the engine anew on this machine (delete it and run the pipeline again here), or use model.onnx with ONNX "
    "Runtime, which runs anywhere"
)


@dataclass(frozen=True)
class Backend:
    """TensorRT as it is installed. name: key of BACKENDS; module: its Python API."""

    name: str
    module: ModuleType

    @property
    def version(self) -> str:
        """Version of the library."""
        return self.module.__version__

    @property
    def keeps_timings(self) -> bool:
        """Whether building times operations, which pays to be kept; `tensorrt_rtx` chooses them without."""
        return self.name == "tensorrt"


def find_backend(name: str | None = None) -> Backend:
    """The backend of this name, None for the first that is installed.

    Raises MaskmillError that says what to install where there is none, or why it cannot be loaded.
    """
    reasons = {}
    for candidate in BACKENDS if name is None else (name,):
        modules, install = BACKENDS[candidate]
        for module in modules:
            try:
                return Backend(candidate, importlib.import_module(module))
            except ImportError as error:
                reasons[candidate] = f"  - {candidate}: {error}; install it: {install}"
    raise MaskmillError(
        "TensorRT cannot be loaded here:\n" + "\n".join(reasons.values()) + "\nOr do without it: ONNX Runtime "
        "runs the same models, and export: {tensorrt: false} plans no engine."
    )


@dataclass(frozen=True)
class Profile:
    """Shapes (N, C, H, W) or (N, C, D, H, W) that an engine takes: the least, the one it is tuned for, the most."""

    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]

    def require(self, shape: Sequence[int]) -> None:
        """Raise MaskmillError where a batch of this shape lies outside."""
        inside = len(shape) == len(self.most) and all(
            low <= side <= high for low, side, high in zip(self.least, shape, self.most, strict=True)
        )
        if not inside:
            raise MaskmillError(
                f"the engine takes tiles from {written(self.least)} to {written(self.most)} (batch × channels × sizes) "
                f"and got {written(shape)}: give predict.tile and predict.batch_size as they were when it was built, "
                "or build it anew"
            )


def written(shape: Sequence[int]) -> str:
    """A shape as people write it: "2 × 3 × 64 × 64"."""
    return " × ".join(map(str, shape))


@dataclass(frozen=True)
class EngineTag:
    """What an engine was built from, and for.

    backend, version: of TensorRT. gpu: name of the one that it was built on, None without one. compute_capabilities: of
    the GPUs that it runs on, such as "8.9". onnx, engine: SHA-256 of both files.
    """

    backend: str
    version: str
    gpu: str | None
    compute_capabilities: tuple[str, ...]
    onnx: str
    engine: str
    profile: Profile

    def write(self, path: Path) -> None:
        """Write the tag as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, engine: Path) -> "EngineTag":
        """The tag beside an engine. Raises MaskmillError where there is none, or it is not one."""
        path = tag_path(engine)
        try:
            values = read_json(path)
            profile = Profile(**{field.name: tuple(values["profile"][field.name]) for field in fields(Profile)})
            given = values | {"profile": profile, "compute_capabilities": tuple(values["compute_capabilities"])}
            return cls(**given)
        except FileNotFoundError as error:
            raise MaskmillError(
                f"{engine} has no tag {path.name} beside it, which says what GPU and version it is for. Copy both, or "
                "build the engine anew."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise MaskmillError(f"{path} is no tag of an engine ({error!r}). {ELSEWHERE}.") from error

    def require_files(self, engine: Path, onnx: str) -> None:
        """Raise MaskmillError where the engine's bytes are not the tagged ones, or it is of another ONNX model.

        onnx: SHA-256 of the model that it should be.
        """
        if sha256_file(engine) != self.engine:
            raise MaskmillError(f"{engine} is damaged: it differs from the digest in its tag. {ELSEWHERE}.")
        if onnx != self.onnx:
            raise MaskmillError(
                f"{engine} was built from another ONNX model (SHA-256 {self.onnx[:12]}…, the model here has "
                f"{onnx[:12]}…). {ELSEWHERE}."
            )

    def require_backend(self, backend: Backend) -> None:
        """Raise MaskmillError where another version of TensorRT is installed."""
        if backend.version != self.version:
            raise MaskmillError(
                f"the engine was built with {self.backend} {self.version}, and {backend.version} is installed; engines "
                f"of one version do not run in another. {ELSEWHERE}, or install {self.backend} {self.version}."
            )

    def require_gpu(self, gpu: Gpu) -> None:
        """Raise MaskmillError on a GPU that the engine was not built for.

        One that was tuned on a GPU by timing (backend `tensorrt`) is for GPUs of the very name.
        """
        if gpu.compute_capability not in self.compute_capabilities or (
            self.backend == "tensorrt" and gpu.name != self.gpu
        ):
            built = self.gpu or "any GPU"
            raise MaskmillError(
                f"the engine is for {built} (compute capability {', '.join(self.compute_capabilities)}), and here is "
                f"{gpu.name} ({gpu.compute_capability}). {ELSEWHERE}."
            )


def tag_path(engine: Path) -> Path:
    """Where the tag of an engine lies."""
    return engine.with_name(f"{engine.name}.json")


def message_logger(module: ModuleType) -> Any:
    """What TensorRT tells: into the log, and errors also into the list `errors`."""

    class Messages(module.ILogger):
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity.value <= module.ILogger.ERROR.value:
                self.errors.append(message.strip())
            level = logging.INFO if severity.value <= module.ILogger.WARNING.value else logging.DEBUG
            logger.log(level, "TensorRT: %s", message)

    return Messages()


class TensorRTRuntime:
    """An engine on this machine's GPU, in its own stream; one batch at a time, whichever thread asks.

    A batch is copied once into page-locked memory and once to the GPU; the answer comes back the same way, into an
    array that is the caller's.
    """

    def __init__(self, engine: Path, onnx: str):
        """Open an engine. onnx: SHA-256 of the model that it must be of. Raises MaskmillError where it does not fit."""
        tag = EngineTag.read(engine)
        tag.require_files(engine, onnx)
        backend = find_backend(tag.backend)
        tag.require_backend(backend)
        tag.require_gpu(find_gpu())
        self.profile = tag.profile
        self._lock = threading.Lock()
        self._messages = message_logger(backend.module)
        self._runtime = backend.module.Runtime(self._messages)
        self._engine = self._runtime.deserialize_cuda_engine(engine.read_bytes())
        if self._engine is None:
            raise self._failure(f"{engine} cannot be loaded", ELSEWHERE)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise self._failure(
                f"{engine} finds too little GPU memory for tiles {written(tag.profile.most)}",
                "Free some (`nvidia-smi` shows who holds it), or build the engine with a smaller predict.batch_size",
            )
        self._stream = Stream()
        self._shape: tuple[int, ...] | None = None
        self._set_shape(tag.profile.most)
        sizes = [float32_bytes(tag.profile.most), float32_bytes(self._context.get_tensor_shape(OUTPUT))]
        self._device = dict(zip((INPUT, OUTPUT), map(DeviceBuffer, sizes), strict=True))
        self._pinned = dict(zip((INPUT, OUTPUT), map(PinnedBuffers, sizes), strict=True))
        for name, buffer in self._device.items():
            self._context.set_tensor_address(name, buffer.address)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels, within the engine's profile."""
        self.profile.require(batch.shape)
        source = self._pinned[INPUT].take(batch.shape)
        np.copyto(source, batch)
        with self._lock:
            self._set_shape(batch.shape)
            result = self._pinned[OUTPUT].take(self._context.get_tensor_shape(OUTPUT))
            self._stream.upload(source, self._device[INPUT])
            if not self._context.execute_async_v3(self._stream.handle):
                raise self._failure("the engine stopped", ELSEWHERE)
            self._stream.download(self._device[OUTPUT], result)
            self._stream.wait()
        return result

    def _set_shape(self, shape: tuple[int, ...]) -> None:
        if shape != self._shape and not self._context.set_input_shape(INPUT, shape):
            raise self._failure(f"the engine does not take tiles {written(shape)}", ELSEWHERE)
        self._shape = shape

    def _failure(self, what: str, remedy: str) -> MaskmillError:
        reasons = "".join(f"\n  - {line}" for line in self._messages.errors)
        self._messages.errors.clear()
        return MaskmillError(f"{what}. {remedy}.{reasons and f' TensorRT says:{reasons}'}")
