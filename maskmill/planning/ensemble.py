"""Whether members of several folds can be one model, told before they are trained."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from maskmill.files import read_json, write_json
from maskmill.inference.members import join_members
from maskmill.planning.plan import resolve_options


def plan_ensemble(
    fingerprint: Path,
    plans: Sequence[Path],
    seed: int,
    options: Mapping[str, Mapping[str, Any]],
    tiling: Mapping[str, Any],
    output: Path,
) -> None:
    """Write what the members of an ensemble have in common as JSON.

    plans: of each fold. options: sections model, loss and train of the config; tiling: the `predict` options. The file
    holds the common `preprocessing`, and of the member with this seed in each fold what it makes of its input
    (`InputMap`). Raises MaskmillError as `join_members` does, where the members could not be averaged.
    """
    folds = read_json(fingerprint)["folds"]
    runs = [
        {
            "run_id": "",
            "fold": fold,
            "seed": seed,
            "preprocessing": folds[fold]["preprocessing"],
            **resolve_options(options, plan),
        }
        for fold, plan in enumerate(plans)
    ]
    joined = join_members(runs, tiling)
    inputs = {name: asdict(own_input) for name, own_input in zip(joined.names, joined.inputs, strict=True)}
    write_json(output, {"preprocessing": joined.run["preprocessing"], "inputs": inputs})
