"""The few commands of conda that Snakemake calls. Run as a program; `install` puts it where Snakemake looks.

`conda env create` is done by the function `create` of one of two modules: `links` (packages installed here, as links)
or `solver` (rattler's solver and installer, pip for the section `pip`).
"""

import argparse
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

VERSION = "25.0.0"  # Snakemake asks for 24.7.1 at least

ACTIVATE = """\
export CONDA_PREFIX="$1" CONDA_SHLVL=1 PATH="$1/bin:$PATH"
"""


def install(root: Path, python: Path, creator: str) -> Path:
    """Write `conda` and `activate` below `root`; the folder to put on PATH.

    python: what runs the stand-in, and has what `creator`, "links" or "solver", imports.
    """
    for folder in ("condabin", "bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    command = root / "condabin/conda"
    command.write_text(f'#!/bin/sh\nexec "{python}" "{Path(__file__).resolve()}" "{root}" {creator} "$@"\n')
    command.chmod(0o755)
    (root / "bin/activate").write_text(ACTIVATE)
    return command.parent


def main(root: Path, creator: str, command: list[str]) -> int:
    """Do one command of conda; its exit status."""
    if command == ["--version"]:
        print(f"conda {VERSION}")
    elif command[:1] == ["info"]:
        print(json.dumps({"conda_prefix": str(root), "platform": "linux-64", "conda_version": VERSION}))
    elif command[:1] == ["config"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif command[:1] == ["clean"]:
        pass  # nothing is kept that would have to be removed
    elif command[:2] == ["env", "create"]:
        options = argparse.ArgumentParser()
        options.add_argument("--file", type=Path)
        options.add_argument("--prefix", type=Path)
        options.add_argument("--quiet", action="store_true")
        options.add_argument("--no-default-packages", action="store_true")
        asked = options.parse_args(command[2:])
        try:
            importlib.import_module(creator).create(root, asked.file, asked.prefix)
        except Exception as error:
            shutil.rmtree(asked.prefix, ignore_errors=True)
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return 1
    else:
        print(f"not played here: conda {' '.join(command)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
