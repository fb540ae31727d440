"""What a training computes with: device, threads and precision, resolved once because the numbers depend on them."""

import logging
import os
import platform
from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric

import maskmill
from maskmill.errors import MaskmillError

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""The option `train.precision` in Fabric's words."""


def find_device() -> str:
    """Kind of device to train on: "cuda" where a GPU answers, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_compute(train: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Replace "auto" in the options `train.threads` and `train.precision`: {"threads", "precision", "device"}.

    Threads: the cores this process may use. Precision: bf16 where the device has it in hardware; else fp16 on a GPU and
    32 bits on a CPU. Raises MaskmillError for an impossible precision.
    """
    threads, precision = train["threads"], str(train["precision"])
    if threads == "auto":
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else {"cuda": "fp16", "cpu": "32"}[device]
    if precision not in PRECISIONS:
        raise MaskmillError(f'train.precision is "{precision}"; possible are auto, {", ".join(PRECISIONS)}')
    if precision == "fp16" and device == "cpu":
        raise MaskmillError("train.precision fp16 needs a GPU, and none was found; choose auto, bf16 or 32")
    return {"threads": int(threads), "precision": precision, "device": device}


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def start_compute(compute: Mapping[str, Any]) -> Fabric:
    """Make torch compute as `resolve_compute` decided, in deterministic algorithms only."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time
    torch.set_num_threads(compute["threads"])
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return Fabric(accelerator=compute["device"], devices=1, precision=PRECISIONS[compute["precision"]])


def describe_compute(compute: Mapping[str, Any]) -> dict[str, str]:
    """Versions and hardware, as tags of a tracked run."""
    if compute["device"] == "cuda":
        hardware = torch.cuda.get_device_name()
    else:
        hardware = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    return {
        "maskmill": maskmill.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "hardware": f"{hardware}, {compute['threads']} threads",
    }
