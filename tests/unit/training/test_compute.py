"""Threads, precision and device."""

import os
import subprocess
import sys

import pytest
import torch

from maskmill.errors import MaskmillError
from maskmill.training.compute import Place, describe_compute, peak_memory_mb, resolve_compute, start_compute
from tests.unit.training.jobs import COMPUTE

AUTO = {"threads": "auto", "precision": "auto", "devices": 1}


def test_auto_takes_the_cores_this_process_may_use():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert resolve_compute(AUTO, "cpu")["threads"] == cores
    assert resolve_compute(AUTO | {"threads": 3}, "cpu")["threads"] == 3


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert [resolve_compute(AUTO | {"devices": devices}, "cpu")["threads"] for devices in (1, 3, 20)] == [8, 2, 1]


def test_more_devices_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert resolve_compute(AUTO | {"devices": 2}, "cuda")["device"] == "cuda"
    with pytest.raises(MaskmillError, match=r"train\.devices is 3, but there are 2 GPUs"):
        resolve_compute(AUTO | {"devices": 3}, "cuda")


@pytest.mark.parametrize("deterministic", [True, False])
def test_determinism_is_as_wanted(deterministic):
    fabric = start_compute(COMPUTE, deterministic, Place())
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.benchmark == (not deterministic)
    assert (fabric.world_size, fabric.global_rank, fabric.device.type) == (1, 0, "cpu")
    assert torch.get_num_threads() == 1


def test_the_environment_of_a_cluster_is_not_asked(monkeypatch):
    """The job of a SLURM cluster may have more tasks than this training has processes."""
    job = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "3", "SLURM_LOCALID": "3"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_RANK", "3")
    fabric = start_compute(COMPUTE, True, Place())
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx2": True}, "32")],
)
def test_auto_precision_is_bf16_where_the_cpu_has_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_compute(AUTO, "cpu")["precision"] == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp16")])
def test_auto_precision_on_a_gpu(monkeypatch, supported, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert resolve_compute(AUTO, "cuda") == {
        "threads": resolve_compute(AUTO, "cpu")["threads"],
        "precision": expected,
        "device": "cuda",
    }


def test_a_number_or_a_text_asks_for_32_bits():
    assert resolve_compute(AUTO | {"precision": 32}, "cpu")["precision"] == "32"
    assert resolve_compute(AUTO | {"precision": "32"}, "cpu")["precision"] == "32"


def test_impossible_precisions_are_refused():
    with pytest.raises(MaskmillError, match="fp16 needs a GPU"):
        resolve_compute(AUTO | {"precision": "fp16"}, "cpu")
    with pytest.raises(MaskmillError, match="possible are auto, 32, bf16, fp16"):
        resolve_compute(AUTO | {"precision": "64"}, "cpu")


def test_description():
    described = describe_compute({"threads": 2, "precision": "32", "device": "cpu"})
    assert described["torch"] == torch.__version__
    assert described["hardware"].endswith(", 2 threads")


HOARD = """
import torch
from maskmill.training.compute import peak_memory_mb
before = peak_memory_mb(torch.device("cpu"))
hoard = torch.ones(100 * 2**18)  # 100 MB
hoard = None
print(peak_memory_mb(torch.device("cpu")) - before)
"""


def test_memory_that_was_given_back_counts():
    run = subprocess.run([sys.executable, "-c", HOARD], capture_output=True, text=True, check=True)
    assert 90 < float(run.stdout) < 120


def test_of_a_gpu_its_tensors_count(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    assert peak_memory_mb(torch.device("cuda", 0)) == 3
