"""Failures in words that help."""

import errno
import re
import signal

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.training import failures
from maskmill.training.failures import explain_failures, is_shortage, warn_of_shortage
from tests.unit.training.jobs import make_job
from tests.unit.training.runs import arguments, start
from tests.unit.training_data import options


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_shortages_are_told_with_values_that_fit(error):
    assert is_shortage(error)
    found = r"out of memory: .*(?s:.*)batch_size: \d+, accumulate: \d+"
    with pytest.raises(MaskmillError, match=found), explain_failures(make_job(batch_size=4000, patch=512), "cpu"):
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), explain_failures(make_job(), "cpu"):
        raise RuntimeError("shapes differ")
    with pytest.raises(MaskmillError, match=r"^out of memory there$"), explain_failures(make_job(), "cpu"):
        raise MaskmillError("out of memory there")
    assert not is_shortage(OSError(errno.ENOSPC, "No space left on device"))


def test_operations_that_a_gpu_lacks_deterministic_kernels_for_are_named():
    error = RuntimeError(
        "upsample_trilinear3d_backward_out_cuda does not have a deterministic implementation, but you set …"
    )
    found = r"upsample_trilinear3d_backward_out_cuda .*train.deterministic to false"
    with pytest.raises(MaskmillError, match=found), explain_failures(make_job(), "cpu"):
        raise error


@pytest.mark.parametrize(
    "words",
    [
        "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are out "
        "of shared memory. Please try to raise your shared memory limit.",
        "Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared memory(shm) for file "
        "</torch_7_8_0>: No space left on device (28)",
        "unable to write to file </torch_7_8_0>: No space left on device (28)",
        "unable to mmap 64 bytes: unable to open shared memory object </torch_7_8_0>: Cannot allocate memory (12)",
    ],
)
def test_a_lack_of_shared_memory_names_what_gives_more(words):
    found = r"/dev/shm.*set train.workers to 0, or .*--shm-size"
    with pytest.raises(MaskmillError, match=found), explain_failures(make_job(), "cpu"):
        raise RuntimeError(words)


def test_a_training_too_large_for_the_memory_is_warned_of_before_it_starts(monkeypatch, caplog):
    job = make_job(batch_size=64, patch=512)
    monkeypatch.setattr(failures, "free_megabytes", lambda *_: 100_000)
    warn_of_shortage(job, "cpu")
    assert not caplog.text
    monkeypatch.setattr(failures, "free_megabytes", lambda *_: 1000)
    warn_of_shortage(job, "cpu")
    assert re.search(r"memory may not be enough: .*and 650 MB are available(?s:.*)batch_size: \d+, acc", caplog.text)


LIMIT = """
import resource
from maskmill.training.free_memory import mapped_bytes
torch_threads = __import__("torch").zeros(1)
resource.setrlimit(resource.RLIMIT_AS, ((mapped_bytes() + {megabytes} * 2**20),) * 2)
"""


@pytest.mark.slow
def test_a_training_without_enough_memory_names_values_that_then_fit(data, store, tmp_path):
    before = LIMIT.format(megabytes=1500)
    large = options(batch_size=256, patch=128, patches_per_epoch=256, epochs=1)
    failed = start(tmp_path / "train.py", arguments(data, tmp_path, store, large), before)
    _, said = failed.communicate()
    assert failed.returncode == 1
    assert "Traceback" not in said
    fitting, accumulated = map(int, re.search(r"\{batch_size: (\d+), accumulate: (\d+)\}", said).groups())
    assert fitting * accumulated >= 256
    large["train"] |= {"batch_size": fitting, "accumulate": accumulated}
    with start(tmp_path / "train.py", arguments(data, tmp_path, store, large), before) as mended:
        if mended.wait(300) != 0:
            mended.send_signal(signal.SIGKILL)
            pytest.fail(mended.stderr.read())
