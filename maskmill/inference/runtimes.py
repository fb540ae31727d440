"""Runtimes that turn normalised tiles into foreground probabilities: PyTorch and ONNX Runtime.

Each imports its library only when it is made, so that `maskmill predict` starts without PyTorch.
"""

from pathlib import Path
from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """What turns a batch of normalised tiles into foreground probabilities."""

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32, normalised (N, C, H, W), or (N, C, D, H, W) for a network of three dimensions.

        Returns float32 in [0, 1] with K channels instead of C. All sides are multiples of the stride.
        """


class TorchRuntime:
    """PyTorch FP32 in inference mode: the reference that every export is compared with."""

    def __init__(self, model_path: Path, threads: int):
        import torch

        from maskmill.models import foreground_probabilities, load_model

        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = False  # convolutions on GPUs would round their input to 10 bits
        self._torch = torch
        self._head = foreground_probabilities
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, self.metadata = load_model(model_path)
        self.stride, self.dimensions = model.stride, model.dimensions
        self._model = model.eval().to(self.device)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        with self._torch.inference_mode():
            probabilities = self._head(self._model(self._torch.from_numpy(batch).to(self.device)))
        return probabilities.float().cpu().numpy()


class OnnxRuntime:
    """ONNX Runtime on the CPU, or on CUDA where its CUDA provider is installed."""

    def __init__(self, model_path: Path, threads: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        self._session = onnxruntime.InferenceSession(str(model_path), options, providers=providers)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) or (N, C, D, H, W) -> float32 with K channels."""
        return self._session.run(None, {self._input: batch})[0]
