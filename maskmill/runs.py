"""What a training leaves beside its weights: its resolved configuration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from maskmill.files import sha256_json


def read_run(config: Path) -> dict[str, Any]:
    """Read the config.yaml of a member: run id, fold, seed, classes, preprocessing and every resolved option.

    classes is a list in index order (`Classes.as_list`).
    """
    return yaml.safe_load(config.read_text(encoding="utf-8"))


def joined_run_id(run_ids: Sequence[str]) -> str:
    """Run id of an ensemble, given those of its members in their order; a single one keeps its own."""
    return run_ids[0] if len(run_ids) == 1 else sha256_json(list(run_ids))[:12]
