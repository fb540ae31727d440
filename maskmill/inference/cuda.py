"""The little of CUDA that engines need: which GPU there is, a stream, device memory, page-locked host memory.

Through NVIDIA's own bindings (package cuda-bindings, which the CUDA builds of PyTorch bring), imported when first used.
"""

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from maskmill.errors import MaskmillError

INSTALL = "pip install cuda-bindings"


@dataclass(frozen=True)
class Gpu:
    """The GPU in use. compute_capability: such as "8.9"; memory, free: bytes."""

    name: str
    compute_capability: str
    memory: int
    free: int


@cache
def _runtime() -> ModuleType:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MaskmillError(f"TensorRT needs CUDA's Python bindings ({error}); install them: {INSTALL}") from error
    return runtime


def _call(name: str, *arguments: Any) -> Any:
    """Call a function of the CUDA runtime; its result, several as a list.

    Raises MaskmillError with CUDA's words where it fails.
    """
    runtime = _runtime()
    error, *result = getattr(runtime, name)(*arguments)
    if error != runtime.cudaError_t.cudaSuccess:
        words = runtime.cudaGetErrorString(error)[1].decode()
        raise MaskmillError(f"{name} of CUDA failed: {words} ({int(error)})")
    return result[0] if len(result) == 1 else result


def find_gpu() -> Gpu:
    """The GPU that CUDA counts first, as CUDA_VISIBLE_DEVICES has it.

    Raises MaskmillError where there is none, or its driver is missing or too old.
    """
    try:
        count = _call("cudaGetDeviceCount")
    except MaskmillError as error:
        raise MaskmillError(
            f"no NVIDIA GPU can be used here: {error}. Run this on a machine with a GPU and its driver, or do without: "
            "export: {tensorrt: false}"
        ) from error
    if count == 0:
        raise MaskmillError(
            "no NVIDIA GPU can be used here: CUDA finds none; look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, or do "
            "without: export: {tensorrt: false}"
        )
    device = _call("cudaGetDeviceProperties", 0)
    _call("cudaSetDevice", 0)
    free, total = _call("cudaMemGetInfo")
    return Gpu(device.name.decode(), f"{device.major}.{device.minor}", total, free)


class Stream:
    """A queue of copies and computations on the GPU, apart from those of others."""

    def __init__(self) -> None:
        flags = _runtime().cudaStreamNonBlocking
        self._stream = _call("cudaStreamCreateWithFlags", flags)
        self.handle = int(self._stream)
        weakref.finalize(self, _runtime().cudaStreamDestroy, self._stream)

    def upload(self, source: np.ndarray, target: "DeviceBuffer") -> None:
        """Queue the copy of a C-contiguous page-locked array to the GPU."""
        self._copy(target.address, source.ctypes.data, source.nbytes, "cudaMemcpyHostToDevice")

    def download(self, source: "DeviceBuffer", target: np.ndarray) -> None:
        """Queue the copy from the GPU into a C-contiguous page-locked array."""
        self._copy(target.ctypes.data, source.address, target.nbytes, "cudaMemcpyDeviceToHost")

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        _call("cudaMemcpyAsync", target, source, size, getattr(_runtime().cudaMemcpyKind, kind), self._stream)

    def wait(self) -> None:
        """Return when all that was queued is done."""
        _call("cudaStreamSynchronize", self._stream)


class DeviceBuffer:
    """So many bytes of GPU memory, given back with the object."""

    def __init__(self, size: int) -> None:
        self.address = int(_call("cudaMalloc", size))
        weakref.finalize(self, _runtime().cudaFree, self.address)


class PinnedBuffers:
    """Page-locked host arrays, which the GPU copies to and from directly; each is used again once nobody holds it.

    size: bytes of the largest array.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: list[int] = []
        weakref.finalize(self, _free_host, self._free)

    def take(self, shape: Sequence[int]) -> np.ndarray:
        """A float32 array of this shape with arbitrary values, that is the caller's for as long as it is held."""
        try:
            address = self._free.pop()
        except IndexError:  # not asked before: another thread may take the last one in between
            address = int(_call("cudaHostAlloc", self._size, 0))
        block = _Block(address, shape)
        weakref.finalize(block, self._give_back, block.address)  # which holds these buffers while arrays exist
        return np.asarray(block)

    def _give_back(self, address: int) -> None:
        self._free.append(address)


class _Block:
    """What numpy makes an array of; the array holds it."""

    def __init__(self, address: int, shape: Sequence[int]) -> None:
        self.address = address
        self.__array_interface__ = {"version": 3, "typestr": "<f4", "shape": tuple(shape), "data": (address, False)}


def _free_host(addresses: list[int]) -> None:
    for address in addresses:
        _runtime().cudaFreeHost(address)


def float32_bytes(shape: Sequence[int]) -> int:
    """Bytes of a float32 array of this shape."""
    return 4 * math.prod(shape)
