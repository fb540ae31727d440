"""CUDA through its bindings: which GPU there is, and memory that is used again and given back."""

import gc
import importlib.util
import sys

import numpy as np
import pytest

from maskmill.errors import MaskmillError
from maskmill.inference import cuda
from tests.unit.fake_gpu import FakeCuda


@pytest.fixture
def fake(monkeypatch):
    made = FakeCuda()
    monkeypatch.setattr(cuda, "_runtime", lambda: made)
    return made


@pytest.fixture
def bindings():
    """CUDA's own bindings, on a machine without a GPU."""
    if importlib.util.find_spec("cuda") is None:
        pytest.skip("cuda-bindings is not installed")
    runtime = pytest.importorskip("cuda.bindings.runtime")
    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("this machine has a GPU")
    return runtime


def test_a_machine_without_a_gpu_is_told_what_to_do(bindings):
    with pytest.raises(MaskmillError, match=r"no NVIDIA GPU can be used here: .*(driver|device).*tensorrt: false"):
        cuda.find_gpu()


def test_the_bindings_have_what_is_used(bindings):
    used = [name for name in dir(FakeCuda) if name.startswith("cuda")]

    assert len(used) > 12
    assert not [name for name in used if not hasattr(bindings, name)]
    assert {"cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"} <= set(bindings.cudaMemcpyKind.__members__)
    assert not {"name", "major", "minor"} - set(dir(bindings.cudaDeviceProp))


def test_missing_bindings_are_named(monkeypatch):
    cuda._runtime.cache_clear()
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)

    with pytest.raises(MaskmillError, match="pip install cuda-bindings"):
        cuda.find_gpu()


def test_the_gpu_is_described(fake):
    assert cuda.find_gpu() == cuda.Gpu("NVIDIA L4", "8.9", 1 << 34, 1 << 33)


def test_no_device_is_an_error(fake):
    fake.devices = 0

    with pytest.raises(MaskmillError, match="cudaErrorNoDevice"):
        cuda.find_gpu()


def test_too_little_memory_is_an_error_in_cudas_words(fake):
    fake.free = 10

    with pytest.raises(MaskmillError, match="cudaMalloc of CUDA failed: cudaErrorMemoryAllocation"):
        cuda.DeviceBuffer(11)


def test_an_array_is_used_again_only_once_nobody_holds_it(fake):
    buffers = cuda.PinnedBuffers(24)
    first, second = buffers.take((2, 3)), buffers.take((6,))
    first[:], second[:] = 1, 2
    view, address = first[0], first.ctypes.data
    del first
    third = buffers.take((6,))
    third[:] = 3
    np.testing.assert_array_equal(view, [1, 1, 1])  # a view still holds it
    del view
    assert buffers.take((1,)).ctypes.data == address
    assert len(fake.memory["host"]) == 3


def test_memory_goes_back_with_what_held_it(fake):
    buffers, device, stream = cuda.PinnedBuffers(24), cuda.DeviceBuffer(24), cuda.Stream()
    array = buffers.take((2, 3))
    del buffers, device, stream
    gc.collect()
    assert [len(blocks) for blocks in fake.memory.values()] == [0, 1]  # the array is still held
    array[:] = 1
    del array
    gc.collect()
    assert fake.memory == {"device": {}, "host": {}}
    assert not fake.streams


def test_copies_happen_when_the_stream_is_waited_for(fake):
    buffers, device, stream = cuda.PinnedBuffers(24), cuda.DeviceBuffer(24), cuda.Stream()
    source, target = buffers.take((2, 3)), buffers.take((2, 3))
    source[:], target[:] = [[0, 1, 2], [3, 4, 5]], 9

    stream.upload(source, device)
    stream.download(device, target)
    assert (target == 9).all()
    stream.wait()

    np.testing.assert_array_equal(target, source)
    assert fake.copies == [("to the device", 24), ("to the host", 24)]
