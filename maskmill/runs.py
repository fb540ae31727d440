"""What a training leaves beside its weights: its resolved configuration."""

from pathlib import Path
from typing import Any

import yaml


def read_run(config: Path) -> dict[str, Any]:
    """Read the config.yaml of a member: run id, fold, seed, classes, preprocessing and every resolved option.

    classes is a list in index order (`Classes.as_list`).
    """
    return yaml.safe_load(config.read_text(encoding="utf-8"))
