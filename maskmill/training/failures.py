"""Failures of torch in words that say what to change."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from maskmill.errors import MaskmillError
from maskmill.models import output_channels
from maskmill.planning.memory import memory_advice
from maskmill.training.job import Job

MB = 2**20
SHORTAGES = (
    "DefaultCPUAllocator", "out of memory", "bad_alloc", "Cannot allocate memory", "Insufficient memory",
    "could not create a primitive", "CUBLAS_STATUS_ALLOC_FAILED", "is killed by signal: Killed",
)  # fmt: skip
"""Words of the errors that torch, oneDNN, cuBLAS, OpenCV and the loader's processes end with for want of memory."""

USABLE = 0.65
"""Share of the free memory that advice may fill, as trainings take up to 1.55 times what is estimated."""

NO_KERNEL = "does not have a deterministic implementation"


@contextmanager
def explain_failures(job: Job, device: str, number: int = 0) -> Iterator[None]:
    """Turn a lack of memory, or of a deterministic kernel, into a MaskmillError that names what to change.

    device: "cuda", where process `number` of the node has the GPU of that number, or "cpu", whose memory all of the
    node's processes share.
    """
    free = free_megabytes(device, number) / (job.train["devices"] if device == "cpu" else 1)
    try:
        yield
    except MaskmillError:
        raise
    except Exception as error:
        if is_shortage(error):
            advice = memory_advice(
                job.options, job.preprocessing.channels, output_channels(len(job.classes)), available_mb=USABLE * free
            )
            raise MaskmillError(f"out of memory: {advice}") from error
        if NO_KERNEL in str(error):
            raise MaskmillError(
                f"{str(error).split(NO_KERNEL)[0].strip()} has no kernel on this GPU that gives the same bytes each "
                "time; set train.deterministic to false, or model.upsampling to transposed"
            ) from error
        raise


def is_shortage(error: Exception) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return any(words in str(error) for words in SHORTAGES)


def free_megabytes(device: str, number: int = 0) -> float:
    """Memory that this process may still take: of GPU `number`, or of the machine and within this process's limits."""
    if device == "cuda":
        return torch.cuda.mem_get_info(number)[0] / MB
    free = [_available()]
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        free.append(limit - _mapped())
    return min(free) / MB


def _available() -> int:
    """Bytes that programs can still get; all that the machine has where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _mapped() -> int:
    """Bytes of this process's address space in use; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
