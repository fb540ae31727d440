"""The machine and the packages that a training runs with."""

import os
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any


def describe_environment() -> dict[str, Any]:
    """Packages as "name==version", sorted, and the hardware: {"requirements": list, "hardware": mapping}."""
    found = {dist.metadata["Name"]: dist.version for dist in distributions() if "Name" in dist.metadata}
    requirements = sorted((f"{name}=={version}" for name, version in found.items()), key=str.lower)
    return {"requirements": requirements, "hardware": describe_hardware()}


def describe_hardware() -> dict[str, Any]:
    """Processor, its cores (of the machine, and those this process may use), memory in GiB, GPUs and their driver."""
    import torch

    gpus = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "cores_usable": usable,
        "memory_gib": _memory(),
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30, 1)} for gpu in gpus],
        "gpu_driver": _first_line(Path("/proc/driver/nvidia/version")) if gpus else None,
        "cuda": torch.version.cuda if gpus else None,
    }


def processor_name() -> str:
    """What the processor of this machine is called."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    if sys.platform == "win32":
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return None
