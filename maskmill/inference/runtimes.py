"""Runtimes that turn normalised tiles into foreground probabilities: PyTorch, ONNX Runtime and OpenVINO.

Each imports its library only when it is made, so that `maskmill predict` starts without PyTorch.
"""

import math
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from maskmill.errors import MaskmillError

PIXELS_AT_ONCE = 512 * 512
"""Pixels of the tiles that go through a network together on a processor at most, where one tile has no more.

Larger batches take more memory there and no less time: docs/scaling.md has figures.
"""

OPENVINO_MISSING = 'OpenVINO is not installed; run: pip install "maskmill[openvino]"'


class Runtime(Protocol):
    """What turns a batch of normalised tiles into foreground probabilities."""

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32, normalised (N, C, H, W), or (N, C, D, H, W) for a network of three dimensions.

        Returns float32 in [0, 1] with K channels instead of C. All sides are multiples of the stride.
        """


def in_parts(run: Callable[[np.ndarray], np.ndarray], batch: np.ndarray) -> np.ndarray:
    """What a network gives for a batch of tiles (N, C, …), of which so many go through it as `PIXELS_AT_ONCE` says."""
    count = max(1, PIXELS_AT_ONCE // math.prod(batch.shape[2:]))
    if len(batch) <= count:
        return run(batch)
    return np.concatenate([run(batch[first : first + count]) for first in range(0, len(batch), count)])


class TorchRuntime:
    """PyTorch FP32 in inference mode: the reference that every export is compared with, unless it is compiled."""

    def __init__(self, model_path: Path, threads: int, compiled: bool = False):
        import torch

        from maskmill.models import foreground_probabilities, load_model

        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = False  # convolutions on GPUs would round their input to 10 bits
        self._torch = torch
        self._head = foreground_probabilities
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, self.metadata = load_model(model_path)
        self.stride, self.dimensions = model.stride, model.dimensions
        model = model.eval().to(self.device)
        self._model = torch.compile(model) if compiled else model

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        return in_parts(self._run, batch) if self.device.type == "cpu" else self._run(batch)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            probabilities = self._head(self._model(self._torch.from_numpy(batch).to(self.device)))
        return probabilities.float().cpu().numpy()


class OnnxRuntime:
    """ONNX Runtime on the CPU, or on CUDA where its CUDA provider is installed."""

    def __init__(self, model_path: Path, threads: int):
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read as it is loaded: it reports to its makers otherwise
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        if "CUDAExecutionProvider" in providers:
            onnxruntime.preload_dlls()  # CUDA's libraries, where pip installed them
        self._session = onnxruntime.InferenceSession(str(model_path), options, providers=providers)
        self._input = self._session.get_inputs()[0].name
        self.on_gpu = "CUDAExecutionProvider" in self._session.get_providers()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        return self._run(batch) if self.on_gpu else in_parts(self._run, batch)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._input: batch})[0]


@cache
def openvino_core():
    """The one openvino.Core of this process.

    Each core lays the thread an alternate signal stack and, when it goes, restores the one before: of two that go in
    the order in which they came, the second restores the stack that the first has freed, and the next signal that
    Python handles ends the process (OpenVINO 2026.4).

    Raises MaskmillError where OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MaskmillError(OPENVINO_MISSING) from error
    return openvino.Core()


class OpenVinoRuntime:
    """OpenVINO on the CPU, in "fp32" or in "bf16", for which processors with AVX-512 BF16 or AMX have instructions.

    The precision is always given: left to itself, OpenVINO takes bf16 wherever the processor has it. Where it has not,
    bf16 is computed in float32. Not for several threads at once.
    """

    def __init__(self, model_path: Path, threads: int, precision: str = "fp32"):
        options = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        }
        self._request = openvino_core().compile_model(str(model_path), "CPU", options).create_infer_request()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        return in_parts(lambda part: self._request.infer([part])[0], batch)
