"""Write envs/*.yaml from the locks: each environment gets the pins of its packages and of what they need.

Snakemake copies environment files before it creates them, so that a reference to the lock would not resolve; hence the
pins themselves. Run by `make docs` and `make lock`; a test keeps the files in step.
"""

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHON = "3.11"
MARKERS = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}

IMAGING = [
    *("filelock", "numpy", "scipy", "scikit-image", "opencv-python-headless", "pillow", "tifffile", "tqdm"),
    *("ImageHash", "shapely", "pyogrio", "rasterio", "nibabel", "pydicom", "requests"),
    *("PyYAML", "jsonschema", "matplotlib", "Jinja2", "onnxruntime"),
]
TRAINING = [
    *("torch", "lightning-fabric", "albumentations", "safetensors", "mlflow", "tensorboard", "onnx", "onnxscript"),
    "openvino",
    "optuna",
]


@dataclass(frozen=True)
class Environment:
    """What an environment file is written from."""

    purpose: str
    lock: str
    """Lock whose pins it takes: requirements/<lock>.txt."""
    packages: list[str] | None
    """Packages whose pins, and those of what they need, it takes; None for all of the lock."""
    gpu: str = ""
    """Regular expression for the pins of requirements/gpu.txt that it takes besides."""
    cpu_build: bool = False
    """Whether torch is the build for processors alone, which no default index has for Linux."""


CUDA, CUDA_AND_TENSORRT = "(?!tensorrt)", "."
ENVIRONMENTS = {
    "imaging": Environment("rules that read, draw and measure pictures", "run", IMAGING),
    "training": Environment(
        "rules that train, predict and export; on Linux with CUDA, which runs without a GPU too",
        "run",
        IMAGING + TRAINING,
        CUDA,
    ),
    "training-cpu": Environment(
        "the same for processors alone (option `torch: cpu`): pip needs an index with CPU builds of torch",
        "run",
        IMAGING + TRAINING,
        cpu_build=True,
    ),
    "tensorrt": Environment(
        "rules that build and time TensorRT engines (option `export.tensorrt`); proprietary packages of NVIDIA",
        "run",
        IMAGING + TRAINING,
        CUDA_AND_TENSORRT,
    ),
    "labelme": Environment("the rule that opens labelme", "annotate", None),
}


def read_pins(lock: str) -> dict[str, str]:
    """Canonical package name → the line of a lock that pins it, markers included."""
    lines = (ROOT / f"requirements/{lock}.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(Requirement(line).name): line for line in lines if re.match(r"[A-Za-z0-9]", line)}


def closure(packages: list[str], pins: dict[str, str]) -> list[str]:
    """Pins of the packages and, transitively, of what they need on this Python, sorted by name."""
    needed: set[str] = set()
    pending = [(package, "") for package in packages]
    while pending:
        name, extra = pending.pop()
        name = canonicalize_name(name)
        if name not in pins or (name in needed and not extra):
            continue
        needed.add(name)
        try:
            requirements = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:  # only needed on another platform
            continue
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra} | MARKERS):
                wanted = canonicalize_name(requirement.name)
                if wanted not in needed:
                    pending += [(wanted, ""), *((wanted, extra) for extra in requirement.extras)]
    return [pins[name] for name in sorted(needed)]


def gpu_pins(pattern: str) -> list[str]:
    """Pins of requirements/gpu.txt that run.txt does not have, of packages whose name matches."""
    others = read_pins("run")
    return [pin for name, pin in read_pins("gpu").items() if name not in others and re.match(pattern, name)]


def pins_of(name: str) -> list[str]:
    """All pins of an environment, sorted by name."""
    chosen = ENVIRONMENTS[name]
    pins = read_pins(chosen.lock)
    lines = closure(chosen.packages, pins) if chosen.packages else list(pins.values())
    if chosen.gpu:
        lines += gpu_pins(chosen.gpu)
    if chosen.cpu_build:
        torch = pins["torch"]
        lines = [line for line in lines if line != torch]
        lines += [f"{torch}+cpu ; sys_platform != 'darwin'", f"{torch} ; sys_platform == 'darwin'"]
    return sorted(lines, key=lambda line: line.partition("==")[0])


def environment(name: str) -> str:
    """Text of one conda environment file."""
    chosen = ENVIRONMENTS[name]
    locks = [f"requirements/{lock}.txt" for lock in (chosen.lock, *(["gpu"] if chosen.gpu else []))]
    lines = [
        f"# {chosen.purpose[0].upper()}{chosen.purpose[1:]}.",
        f"# Written from {' and '.join(locks)} by `make docs`: do not edit.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python ={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {pin}" for pin in pins_of(name)),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every environment file."""
    for name in ENVIRONMENTS:
        (ROOT / f"envs/{name}.yaml").write_text(environment(name), encoding="utf-8")


if __name__ == "__main__":
    main()
