"""What a training computes with: device, threads and precision, resolved once because the numbers depend on them."""

import logging
import os
import platform
import re
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy

import maskmill
from maskmill.errors import MaskmillError
from maskmill.training.nodes import LEADER

_STATUS = Path("/proc/self/status")

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
"""The option `train.precision` in Fabric's words."""


def find_device() -> str:
    """Kind of device to train on: "cuda" where a GPU answers, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_compute(train: Mapping[str, Any], device: str, thin: bool = False) -> dict[str, Any]:
    """Replace "auto" in the options `train.threads` and `train.precision`: {"threads", "precision", "device"}.

    Threads, those of each of a node's `train.devices` processes: the cores this one may use, shared out among them.
    Precision: bf16 where the device has it in hardware, but for `thin` volumes (`has_thin_volumes`) on a CPU; else fp16
    on a GPU and 32 bits on a CPU.
    Raises MaskmillError for an impossible precision, or for more devices than there are GPUs.
    """
    threads, precision, devices = train["threads"], str(train["precision"]), train["devices"]
    if threads == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = max(1, cores // devices)
    if precision == "auto":
        usable = _has_bf16(device) and not (thin and device == "cpu")
        precision = "bf16" if usable else {"cuda": "fp16", "cpu": "32"}[device]
    if precision not in PRECISIONS:
        raise MaskmillError(f'train.precision is "{precision}"; possible are auto, {", ".join(PRECISIONS)}')
    if precision == "fp16" and device == "cpu":
        raise MaskmillError('train.precision fp16 needs a GPU, and none was found; choose auto, bf16 or "32"')
    if precision == "bf16" and device == "cpu" and thin:
        raise MaskmillError(
            "train.precision bf16 gives wrong gradients on a CPU where a level of the network has several slices, but "
            'fewer than the convolution\'s kernel; choose auto or "32", a deeper train.patch, or a smaller model.depth'
        )
    if device == "cuda" and devices > torch.cuda.device_count():
        raise MaskmillError(f"train.devices is {devices}, but there are {torch.cuda.device_count()} GPUs; lower it")
    return {"threads": int(threads), "precision": precision, "device": device}


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@dataclass(frozen=True)
class Place:
    """One of the processes that train together: its number, `devices` on each of `nodes`, the port they meet at.

    Process 0 leads; it is on node 0.
    """

    rank: int = 0
    devices: int = 1
    nodes: int = 1
    port: int = 0

    @property
    def world(self) -> int:
        """Number of all processes."""
        return self.devices * self.nodes

    @property
    def node(self) -> int:
        """Number of the node that the process is on."""
        return self.rank // self.devices

    @property
    def device(self) -> int:
        """Number of the process, and of its GPU, on its node."""
        return self.rank % self.devices


class _Environment(LightningEnvironment):
    """Tells Fabric of a `Place`, whatever a cluster's job has put into the environment."""

    creates_processes_externally = True
    main_address = "127.0.0.1"
    main_port = 0

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place
        self.main_port = place.port
        if place.node:
            self.main_address = os.environ[LEADER]

    def local_rank(self) -> int:
        return self._place.device

    def node_rank(self) -> int:
        return self._place.node


def start_compute(compute: Mapping[str, Any], deterministic: bool, place: Place) -> Fabric:
    """Make torch compute as `resolve_compute` decided, in deterministic algorithms only where that is wanted.

    Returns once every process of the training has started.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic  # tries several algorithms and keeps the fastest
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs time
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=compute["device"],
        devices=place.devices,
        num_nodes=place.nodes,
        strategy=DDPStrategy(gradient_as_bucket_view=True) if place.world > 1 else "auto",
        precision=PRECISIONS[compute["precision"]],
        plugins=_Environment(place),
    )
    fabric.launch()
    torch.set_num_threads(compute["threads"])
    return fabric


def peak_memory_mb(device: torch.device) -> float:
    """The most memory this process took so far, in MB: on a GPU that of its tensors, else all of it, libraries too."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if _STATUS.exists():  # getrusage counts what the process that started this one took
        return int(re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, elsewhere kilobytes


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
