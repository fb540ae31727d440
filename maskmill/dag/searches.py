"""Searches: an experiment that names ranges or choices of options, of which trials find the ones it is trained with.

The trials are jobs whose names are known while planning; what they try is in files that other jobs write. Imports
nothing beyond what Snakemake itself brings, like `maskmill.dag.configuration`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from maskmill.dag.config_checks import nearest_name, schema_mistakes
from maskmill.dag.option_checks import option_mistakes

SECTIONS = ("model", "loss", "augment", "train")
"""Sections whose options may be searched: those that a training follows from."""

FIXED = ("train.threads", "train.devices", "train.nodes", "train.workers")
"""What Snakemake has to know of a training before it starts."""

MOST_CHECKED = 256
"""Combinations of choices and ends of ranges that are checked for going together."""


def complete_search(search: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A search of a resolved config as its jobs take it: options, trials, parallel and seed.

    options: option, such as `train.lr` → {"choices": list}, or {"whole": whether it is a whole number, low, high, log}.
    """
    options = {
        name: {"choices": list(space)}
        if isinstance(space, Sequence)
        else {"whole": "number" not in _kinds(name, schema), "log": False, **space}
        for name, space in search["options"].items()
    }
    return dict(search) | {"options": options}


def trial_names(count: int) -> list[str]:
    """The first trials of a search, in the order of their numbers, from 1."""
    return [f"{number:03d}" for number in range(1, count + 1)]


def earlier_trials(trial: str, parallel: int) -> list[str]:
    """The trials of the rounds before that of a trial, whose scores are known when it is suggested."""
    return trial_names((int(trial) - 1) // parallel * parallel)


def search_mistakes(experiments: Mapping[str, Mapping[str, Any]], schema: Mapping[str, Any]) -> Iterator[str]:
    """A line on each mistake in the searches of `experiments`, whose form the schema of the config has approved."""
    for experiment, content in experiments.items():
        if "search" not in content:
            continue
        place = f"experiments.{experiment}"
        if "sweep" in content:
            yield f"{place}: has a sweep and a search; write them as two experiments"
        search = content["search"]
        mistakes = [line for name, space in search["options"].items() for line in _space_mistakes(name, space, schema)]
        yield from (f"{place}.search: {line}" for line in mistakes)
        count = math.prod(len(space) if isinstance(space, list) else math.inf for space in search["options"].values())
        if count < search["trials"]:
            yield f"{place}.search: {search['trials']} trials, but the choices have {count} combinations; write fewer"


def _space_mistakes(name: str, space: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    options = [f"{section}.{option}" for section in SECTIONS for option in schema["$defs"][section]["properties"]]
    if name in FIXED or str(name).startswith(("predict.", "postprocess.")):
        yield f"`{name}` cannot be searched; write options of {', '.join(SECTIONS)}, but for {', '.join(FIXED)}"
        return
    if name not in options:
        hint = nearest_name(str(name), options) or "write section.option, such as `train.lr`"
        yield f"unknown option `{name}`; {hint}"
        return
    values = space if isinstance(space, list) else [space["low"], space["high"]]
    if space is not values and not {"number", "integer"} & _kinds(name, schema):
        yield f"{name} is no number, so that it has no range; write a list of values"
        return
    overrides = {"$defs": schema["$defs"]} | schema["properties"]["experiments"]["additionalProperties"]
    for value in values:
        yield from (line for _, line in schema_mistakes(nested({name: value}), overrides))
    if space is values:
        return
    if space["low"] >= space["high"]:
        yield f"{name}: low {space['low']} is not below high {space['high']}; swap them"
    if space.get("log") and space["low"] <= 0:
        yield f"{name}: log needs a low above 0, not {space['low']}; raise it, or leave out log"


def combination_mistakes(
    experiment: str, options: Mapping[str, Mapping[str, Any]], search: Mapping[str, Any], dataset: Mapping[str, Any]
) -> Iterator[str]:
    """A line on each way in which values of a complete search do not go together, with the first that do not.

    options: the sections of the experiment. dataset: the section of that name. Of many combinations the first
    `MOST_CHECKED` are looked at; a trial of another tells the mistake in its score.
    """
    volumes, classes = dataset["source"]["stacks"] == "volume", list(dataset["classes"])
    spaces = {name: space.get("choices") or [space["low"], space["high"]] for name, space in search["options"].items()}
    found = set()
    for values in islice(product(*spaces.values()), MOST_CHECKED):
        chosen = nested(dict(zip(spaces, values, strict=True)))
        tried = {section: content | chosen.get(section, {}) for section, content in options.items()}
        for finding, remedy in option_mistakes(tried, volumes, classes):
            if (finding, remedy) not in found:
                found.add((finding, remedy))
                words = ", ".join(f"{name} {value}" for name, value in zip(spaces, values, strict=True))
                yield f"{finding} (experiment {experiment}, where its search tries {words}); {remedy}"


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"train.lr": 0.1}` as `{"train": {"lr": 0.1}}`."""
    sections: dict[str, dict[str, Any]] = {}
    for option, value in values.items():
        section, _, name = option.partition(".")
        sections.setdefault(section, {})[name] = value
    return sections


def _kinds(option: str, schema: Mapping[str, Any]) -> set[str]:
    """The types that an option may have."""
    section, _, name = option.partition(".")
    rule = schema["$defs"][section]["properties"][name]
    kinds = [one.get("type", "") for one in rule.get("oneOf", [rule])]
    return {kind for one in kinds for kind in ([one] if isinstance(one, str) else one)}
