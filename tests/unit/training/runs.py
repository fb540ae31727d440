"""Trainings as tests start them."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import maskmill
from maskmill.files import sha256_file
from maskmill.planning.planner import plan_training
from maskmill.training import train_model
from tests.unit.training_data import options, outputs

SPLITS = ["train"] * 5 + ["validation"] * 2 + ["test"]

SCRIPT = """
import json, sys
from maskmill.logs import configure_logging
from maskmill.training import train_model
{before}
if __name__ == "__main__":
    configure_logging()
    train_model(**json.loads(sys.argv[1]))
"""


def arguments(data: dict, folder: Path, store: Path, chosen: dict | None = None, **changed: Any) -> dict[str, Any]:
    """All arguments of `train_model`; the plan is made for these options, and decides the shares of the classes."""
    chosen = copy.deepcopy(chosen or options())
    chosen["train"].pop("class_shares", None)
    folder.mkdir(parents=True, exist_ok=True)
    plan_training(data["fingerprint"], 0, chosen, folder / "plan.yaml")
    given = {"experiment": "baseline", "fold": 0, "seed": 0, "code_digest": "code"}
    return {**data, "plan": str(folder / "plan.yaml"), **outputs(folder, store), "options": chosen, **given, **changed}


def train(data: dict, folder: Path, store: Path, chosen: dict | None = None, **changed: Any) -> str:
    """Train in this process; the SHA-256 of the weights."""
    train_model(**arguments(data, folder, store, chosen, **changed))
    return sha256_file(folder / "model.safetensors")


def start(script: Path, given: dict[str, Any], before: str = "") -> subprocess.Popen:
    """Train in a process of its own, with text on standard error; `before` is code that runs first."""
    script.write_text(SCRIPT.format(before=before))
    return subprocess.Popen(
        [sys.executable, script, json.dumps(given)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(maskmill.__file__).parents[1])},
    )
