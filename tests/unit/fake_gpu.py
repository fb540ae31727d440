"""A GPU that there is not: CUDA's runtime and TensorRT's Python API, as far as they are used, on the host's memory.

As on a GPU, what goes into a stream happens when the stream is waited for; copies are checked to be between page-locked
and device memory. An "engine" is the ONNX file's bytes, run by ONNX Runtime.
"""

import ctypes
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime

NAME, CAPABILITY, VERSION = "NVIDIA L4", (8, 9), "11.4.0.106"


class CudaError(IntEnum):
    """Errors of CUDA."""

    cudaSuccess = 0  # noqa: N815
    cudaErrorMemoryAllocation = 2  # noqa: N815
    cudaErrorNoDevice = 100  # noqa: N815


class FakeCuda:
    """The module `cuda.bindings.runtime`; `copies`: (kind, bytes) of each copy; `memory`: what is allocated."""

    cudaError_t = CudaError  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(  # noqa: N815
        cudaMemcpyHostToDevice="to the device", cudaMemcpyDeviceToHost="to the host"
    )
    cudaStreamNonBlocking = 1  # noqa: N815

    def __init__(self, devices: int = 1, free: int = 1 << 33) -> None:
        self.devices, self.free = devices, free
        self.memory: dict[str, dict[int, ctypes.Array]] = {"device": {}, "host": {}}
        self.streams: dict[int, list[Callable]] = {}
        self.copies: list[tuple[str, int]] = []

    def cudaGetDeviceCount(self):  # noqa: N802
        return (CudaError.cudaSuccess, self.devices) if self.devices else (CudaError.cudaErrorNoDevice, None)

    def cudaGetErrorString(self, error):  # noqa: N802
        return CudaError.cudaSuccess, error.name.encode()

    def cudaGetDeviceProperties(self, device):  # noqa: N802
        properties = SimpleNamespace(name=NAME.encode(), major=CAPABILITY[0], minor=CAPABILITY[1])
        return CudaError.cudaSuccess, properties

    def cudaSetDevice(self, device):  # noqa: N802
        return (CudaError.cudaSuccess,)

    def cudaMemGetInfo(self):  # noqa: N802
        return CudaError.cudaSuccess, self.free, 1 << 34

    def cudaStreamCreateWithFlags(self, flags):  # noqa: N802
        handle = len(self.streams) + 1
        self.streams[handle] = []
        return CudaError.cudaSuccess, handle

    def cudaStreamDestroy(self, stream):  # noqa: N802
        del self.streams[stream]
        return (CudaError.cudaSuccess,)

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        for work in self.streams[stream]:
            work()
        self.streams[stream].clear()
        return (CudaError.cudaSuccess,)

    def cudaMalloc(self, size):  # noqa: N802
        return self._allocate("device", size)

    def cudaHostAlloc(self, size, flags):  # noqa: N802
        return self._allocate("host", size)

    def _allocate(self, kind, size):
        if size > self.free:
            return CudaError.cudaErrorMemoryAllocation, None
        block = (ctypes.c_byte * size)()
        address = ctypes.addressof(block)
        self.memory[kind][address] = block
        return CudaError.cudaSuccess, address

    def cudaFree(self, address):  # noqa: N802
        del self.memory["device"][address]
        return (CudaError.cudaSuccess,)

    def cudaFreeHost(self, address):  # noqa: N802
        del self.memory["host"][address]
        return (CudaError.cudaSuccess,)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):  # noqa: N802
        host, device = (source, target) if kind == "to the device" else (target, source)
        for address, memory in ((host, "host"), (device, "device")):
            assert size <= len(self.memory[memory][address]), "a copy beyond the end"
        self.copies.append((kind, size))
        self.streams[stream].append(lambda: ctypes.memmove(target, source, size))
        return (CudaError.cudaSuccess,)


class FakeTensorRT:
    """The module `tensorrt`. `timings`: what the next timing cache serialises to; `refused`: caches that do not fit."""

    __version__ = VERSION
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=3)
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    BuilderFlag = SimpleNamespace(TF32="tf32")

    class ILogger:
        """Levels as TensorRT numbers them."""

        ERROR, WARNING = SimpleNamespace(value=1), SimpleNamespace(value=2)

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda
        self.config: FakeConfig | None = None
        self.context: FakeContext | None = None
        self.timings, self.refused = b"timed", set()

    def Builder(self, messages):  # noqa: N802
        return SimpleNamespace(
            create_network=lambda flags: SimpleNamespace(flags=flags, file=None),
            create_builder_config=self._make_config,
            create_optimization_profile=FakeShapes,
            build_serialized_network=lambda network, config: network.file,
        )

    def _make_config(self):
        self.config = FakeConfig(self)
        return self.config

    def OnnxParser(self, network, messages):  # noqa: N802
        def parse(path):
            with open(path, "rb") as file:
                network.file = file.read()
            return True

        return SimpleNamespace(parse_from_file=parse)

    def Runtime(self, messages):  # noqa: N802
        def deserialize(engine):
            try:
                onnx.load_from_string(engine)
            except Exception:
                messages.log(self.ILogger.ERROR, "the magic number is wrong")
                return None
            return SimpleNamespace(create_execution_context=lambda: self._make_context(engine))

        return SimpleNamespace(deserialize_cuda_engine=deserialize)

    def _make_context(self, engine):
        self.context = FakeContext(engine, self._cuda)
        return self.context


class FakeShapes:
    """An optimisation profile."""

    def set_shape(self, name, least, usual, most):
        self.shapes = name, least, usual, most


class FakeConfig:
    """A builder's configuration: what it was told."""

    def __init__(self, module: FakeTensorRT) -> None:
        self._module, self.told, self.cache = module, [], None

    def set_memory_pool_limit(self, pool, size):
        self.told.append((pool, size))

    def clear_flag(self, flag):
        self.told.append(("clear", flag))

    def add_optimization_profile(self, profile):
        self.told.append(profile.shapes)

    def create_timing_cache(self, content):
        return content

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        if cache in self._module.refused:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return SimpleNamespace(serialize=lambda: self._module.timings)


class FakeContext:
    """An execution context; `fails`: whether execution does."""

    def __init__(self, engine: bytes, cuda: FakeCuda) -> None:
        self._cuda, self._session = cuda, onnxruntime.InferenceSession(engine)
        self.addresses: dict[str, int] = {}
        self.shape: tuple[int, ...] = ()
        self.fails, self.shapes_set = False, 0

    def set_input_shape(self, name, shape):
        assert name == "tiles"
        self.shape, self.shapes_set = tuple(shape), self.shapes_set + 1
        return True

    def get_tensor_shape(self, name):
        assert name == "probabilities"
        channels = self._session.get_outputs()[0].shape[1]
        return (self.shape[0], channels, *self.shape[2:])

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        shapes = {"tiles": self.shape, "probabilities": self.get_tensor_shape("probabilities")}

        def run():
            arrays = {name: self._array(name, shape) for name, shape in shapes.items()}
            arrays["probabilities"][:] = self._session.run(None, {"tiles": arrays["tiles"]})[0]

        self._cuda.streams[stream].append(run)
        return not self.fails

    def _array(self, name, shape):
        block = self._cuda.memory["device"][self.addresses[name]]
        return np.frombuffer(block, np.float32, int(np.prod(shape))).reshape(shape)
