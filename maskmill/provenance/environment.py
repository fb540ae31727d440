"""What the numbers of a run depend on beside options, data and code: interpreter, packages, class of the processor."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from maskmill.tracking.environment import processor_name

FEATURES = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")
"""Abilities of a processor by which libraries of arithmetic choose their code."""


def describe_run_environment() -> dict[str, Any]:
    """{"python", "system", "processor", "features", "cores", "packages"}; packages are name → version."""
    found = {dist.metadata["Name"]: dist.version for dist in distributions() if "Name" in dist.metadata}
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "features": _features(),
        "cores": os.cpu_count(),
        "packages": dict(sorted(found.items(), key=lambda item: item[0].lower())),
    }


def _features() -> list[str]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return []
    for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("flags", "Features")):
            return sorted(set(line.partition(":")[2].split()) & set(FEATURES))
    return []


def environment_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What differs between two environments, a line each, such as "numpy: 2.4.5, then 2.4.6"."""
    lines = [
        f"{key}: {_shown(one.get(key))}, then {_shown(other.get(key))}"
        for key in ("python", "system", "machine", "processor", "features", "cores")
        if one.get(key) != other.get(key)
    ]
    before, after = one.get("packages", {}), other.get("packages", {})
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return lines + [f"{name}: {before.get(name, 'missing')}, then {after.get(name, 'missing')}" for name in names]


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)
