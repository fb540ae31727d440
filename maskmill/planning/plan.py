"""The plan of a training, a file to read and to edit: what the training pictures propose, and what training uses."""

import copy
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from maskmill.dag.option_checks import planned_mistakes
from maskmill.errors import MaskmillError
from maskmill.files import atomic_path
from maskmill.sizes import as_size

logger = logging.getLogger(__name__)

HEADER = """\
# What the training pictures propose for a training, and what it uses.
#
# To change what is marked `source: plan`, edit its value `used`, save, and run the same command again: what follows
# from it is made anew. What is marked `source: config` is said by your config file, its preset or a default, which win
# over this file: write `auto` there to have it planned. Edits are lost where the training pictures, these options or
# Maskmill change, as the file is then written anew: what should stay, write into the config.
"""

CLASS_SHARES = "train.class_shares"
"""The one entry that is no option of the config."""


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(one, (int, float)) and one >= 0 for one in value)
        and 0 < sum(value) < math.inf
    )


def _size(value: Any) -> bool:
    return _whole(value, 1) or (
        isinstance(value, list) and len(value) in (2, 3) and all(_whole(side, 1) for side in value)
    )


ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model.dimensions": (lambda value: value in (2, 3), "2 or 3"),
    "model.depth": (lambda value: _whole(value, 1), "a whole number above 0"),
    "model.planar": (lambda value: _whole(value, 0), "a whole number"),
    "train.patch": (_size, "[depth, height, width], [height, width] or one number"),
    "train.batch_size": (lambda value: _whole(value, 1), "a whole number above 0"),
    "train.foreground": (lambda value: isinstance(value, (int, float)) and 0 <= value <= 1, "a number from 0 to 1"),
    CLASS_SHARES: (_numbers, "a list of finite numbers, one for each class, not all 0"),
    "loss.class_weights": (
        lambda value: value is None or _numbers(value),
        "null, or a list of finite numbers, not all 0",
    ),
}
"""The options that a plan decides, with what they may be."""


def write_plan(path: str | os.PathLike, plan: Mapping[str, Any]) -> None:
    """Write a plan, plain values, as YAML with a comment on how to edit it."""
    text = yaml.dump(dict(plan), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=108)
    with atomic_path(path) as aside:
        aside.write_text(f"{HEADER}\n{text}", encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Lists on one line, mappings on several, nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, True))


def read_plan(path: str | os.PathLike) -> dict[str, Any]:
    """A plan as it was written, perhaps edited since.

    Raises MaskmillError where an entry is missing, or its value `used` impossible, with what to write.
    """
    try:
        plan = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        used = {key: plan["options"][key]["used"] for key in ENTRIES}
        classes = len(plan["classes"])
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise MaskmillError(f"{path} is no plan any more ({error}); delete it, and it is written anew") from error
    wrong = [
        f"{key}: {used[key]} is not possible; write {words}"
        for key, (possible, words) in ENTRIES.items()
        if not possible(used[key])
    ]
    if not wrong and len(used[CLASS_SHARES]) != classes:
        wrong = [f"{CLASS_SHARES}: {len(used[CLASS_SHARES])} numbers; write {classes}, one for each class"]
    if wrong:
        raise MaskmillError(f"{path} has mistakes:\n" + "\n".join(f"  - {line}" for line in wrong))
    return plan


def resolve_options(options: Mapping[str, Mapping[str, Any]], plan: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """The options of a training with nothing left that a plan decides.

    options: sections of the config, at least model, loss and train, where explicit values stay and "auto" becomes the
    value `used` of the plan, a file that `write_plan` wrote. `train.patch` becomes [depth, height, width], and
    `train.class_shares` is added: of each class the probability to be in the middle of a patch centred on foreground.
    Raises MaskmillError where the plan holds what is not possible, or what does not go together.
    """
    found = read_plan(plan)
    resolved = {name: copy.deepcopy(dict(section)) for name, section in options.items()}
    for key in ENTRIES:
        section, name = key.split(".")
        used, configured = found["options"][key]["used"], options[section].get(name, "auto")
        if configured == "auto":
            resolved[section][name] = used
        elif used != configured and found["options"][key]["source"] == "config":
            logger.warning("%s: %s is %s there, but the config says %s, which wins", plan, key, used, configured)
    model, train = resolved["model"], resolved["train"]
    if model["dimensions"] == 2:
        model["planar"] = 0
    mistakes = list(planned_mistakes(resolved, volumes=model["dimensions"] == 3, classes=len(found["classes"])))
    if mistakes:
        lines = "\n".join(f"  - {finding}; {remedy}" for finding, remedy in mistakes)
        raise MaskmillError(f"{plan} does not go together:\n{lines}")
    train["patch"] = list(as_size(train["patch"], model["dimensions"]))
    return resolved
