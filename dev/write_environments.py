"""Write envs/*.yaml from the locks: each environment gets the pins of its packages and of what they need.

Snakemake copies environment files before it creates them, so that a reference to the lock would not resolve; hence the
pins themselves. Run by `make docs` and `make lock`; a test keeps the files in step.
"""

import re
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
    *("PyYAML", "matplotlib", "Jinja2", "onnxruntime"),
]
TRAINING = [
    *("torch", "lightning-fabric", "albumentations", "safetensors", "mlflow", "tensorboard", "onnx", "onnxscript"),
    "openvino",
    "optuna",
]
ENVIRONMENTS = {
    "imaging": ("rules that read, draw and measure pictures", "run", IMAGING),
    "training": ("rules that train, predict and export", "run", IMAGING + TRAINING),
    "labelme": ("the rule that opens labelme", "annotate", None),
}
"""Purpose, lock (requirements/*.txt) and packages of each environment; None for all that the lock pins."""


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


def environment(name: str) -> str:
    """Text of one conda environment file."""
    purpose, lock, packages = ENVIRONMENTS[name]
    pins = read_pins(lock)
    lines = [
        f"# {purpose[0].upper()}{purpose[1:]}. Written from requirements/{lock}.txt by `make docs`: do not edit.",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - python ={PYTHON}",
        "  - pip",
        "  - pip:",
        *(f"      - {pin}" for pin in (closure(packages, pins) if packages else pins.values())),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write every environment file."""
    for name in ENVIRONMENTS:
        (ROOT / f"envs/{name}.yaml").write_text(environment(name), encoding="utf-8")


if __name__ == "__main__":
    main()
