"""Failures of torch in words that say what to change."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from maskmill.errors import MaskmillError
from maskmill.models import output_channels
from maskmill.planning.memory import footprint_of, memory_advice
from maskmill.training.free_memory import free_megabytes
from maskmill.training.job import Job

logger = logging.getLogger(__name__)

SHORTAGES = (
    "DefaultCPUAllocator", "out of memory", "bad_alloc", "Cannot allocate memory", "Insufficient memory",
    "could not create a primitive", "CUBLAS_STATUS_ALLOC_FAILED", "is killed by signal: Killed",
)  # fmt: skip
"""Words of the errors that torch, oneDNN, cuBLAS, OpenCV and the loader's processes end with for want of memory."""

NO_SHARED_MEMORY = (
    "out of shared memory", "shared memory(shm)", "shared memory object", "unable to write to file </torch_",
    "unable to resize file </torch_",
)  # fmt: skip
"""Words of the errors that the loader's processes, and torch about them, end with where /dev/shm is full."""

USABLE = 0.65
"""Share of the free memory that advice may fill, as trainings take up to 1.55 times what is estimated."""

NO_KERNEL = "does not have a deterministic implementation"


@contextmanager
def explain_failures(job: Job, device: str, number: int = 0) -> Iterator[None]:
    """Turn a lack of memory, or of a deterministic kernel, into a MaskmillError that names what to change.

    device: "cuda", where process `number` of the node has the GPU of that number, or "cpu", whose memory all of the
    node's processes share.
    """
    free = _free_megabytes(job, device, number)
    try:
        yield
    except MaskmillError:
        raise
    except Exception as error:
        if any(words in str(error) for words in NO_SHARED_MEMORY):
            raise MaskmillError(
                "the processes that read patches ran out of shared memory (/dev/shm, 64 MB in many containers); set "
                "train.workers to 0, or start the container with more, such as --shm-size=2g"
            ) from error
        if is_shortage(error):
            raise MaskmillError(f"out of memory: {_advice(job, free)}") from error
        if NO_KERNEL in str(error):
            raise MaskmillError(
                f"{str(error).split(NO_KERNEL)[0].strip()} has no kernel on this GPU that gives the same bytes each "
                "time; set train.deterministic to false, or model.upsampling to transposed"
            ) from error
        raise


def warn_of_shortage(job: Job, device: str) -> None:
    """Log what to change where a training is going to take more memory than there is.

    Linux hands out more than it has, and kills the process that uses it, without a word.
    """
    free = _free_megabytes(job, device)
    channels, outputs = job.preprocessing.channels, output_channels(len(job.classes))
    if footprint_of(job.options, channels, outputs, job.patch).megabytes(job.train["batch_size"]) > free:
        logger.warning("memory may not be enough: %s", _advice(job, free))


def _free_megabytes(job: Job, device: str, number: int = 0) -> float:
    return free_megabytes(device, number) / (job.train["devices"] if device == "cpu" else 1)


def _advice(job: Job, free: float) -> str:
    return memory_advice(
        job.options, job.preprocessing.channels, output_channels(len(job.classes)), available_mb=USABLE * free
    )


def is_shortage(error: Exception) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return any(words in str(error) for words in SHORTAGES)
