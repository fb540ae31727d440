"""Sweeps: an experiment that names several values of options becomes one experiment for each combination of them.

Imports nothing beyond what Snakemake itself brings, like `maskmill.dag.configuration`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from maskmill.dag.config_checks import nearest_name, schema_mistakes
from maskmill.dag.searches import nested

MOST = 64
"""Combinations of a sweep above which it is refused: each is trained for every fold and seed."""

Sweep = Mapping[str, Sequence[Any]]
"""Option, such as `train.lr` → its values."""


def sweep_mistakes(experiments: Mapping[str, Mapping[str, Any]], schema: Mapping[str, Any]) -> Iterator[str]:
    """A line on each mistake in the sweeps of `experiments`, whose form the schema of the config has approved.

    Mistakes are options that do not exist, values that they cannot have, too many combinations, and combinations
    that have the name of another or of an experiment.
    """
    overrides = {"$defs": schema["$defs"]} | schema["properties"]["experiments"]["additionalProperties"]
    options = [
        f"{section}.{option}"
        for section in overrides["properties"]
        if section in schema["$defs"]
        for option in schema["$defs"][section]["properties"]
    ]
    names: Counter[str] = Counter()
    for experiment, content in experiments.items():
        sweep, place = content.get("sweep", {}), f"experiments.{experiment}.sweep"
        mistakes = list(_option_mistakes(sweep, options, overrides))
        yield from (f"{place}: {mistake}" for mistake in mistakes)
        count = math.prod(map(len, sweep.values()))
        if count > MOST:
            factors = " x ".join(str(len(values)) for values in sweep.values())
            yield f"{place}: {factors} = {count} combinations, each a training; write {MOST} at most"
        elif not mistakes:
            names.update(name for name, _ in _combinations(experiment, sweep))
    for name in [name for name, count in names.items() if count > 1]:
        yield f"experiments: {names[name]} would be called {name}; rename an experiment, or leave out a value"


def _option_mistakes(sweep: Sweep, options: Sequence[str], overrides: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in names and values; options: those that there are; overrides: the schema of an experiment."""
    for option, values in sweep.items():
        if option in options:
            each = (nested({option: value}) for value in values)
            yield from (line for one in each for _, line in schema_mistakes(one, overrides))
        else:
            hint = nearest_name(str(option), options) or "write section.option, such as `train.lr`"
            yield f"unknown option `{option}`; {hint}"


def expand_sweeps(experiments: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The experiments, each with a sweep replaced, in its place, by those of its combinations.

    A combination is called after its values, such as `rates-lr_0.001-width_8`, with the whole name of an option
    (`train.batch_size`) where the last part of two is the same. Other overrides of the experiment hold for all of its
    combinations; the value of the sweep wins over one of the same option.
    """
    expanded = {}
    for experiment, content in experiments.items():
        overrides = {section: options for section, options in content.items() if section != "sweep"}
        for name, values in _combinations(experiment, content.get("sweep", {})):
            swept = nested(values)
            expanded[name] = {
                section: overrides.get(section, {}) | swept.get(section, {}) for section in overrides | swept
            }
    return expanded


def _combinations(experiment: str, sweep: Sweep) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and option → value of each combination, the last option changing fastest; one where nothing is swept."""
    last_parts = Counter(option.rpartition(".")[2] for option in sweep)
    for values in product(*sweep.values()):
        chosen = dict(zip(sweep, values, strict=True))
        parts = [str(experiment)]
        for option, value in chosen.items():
            last = option.rpartition(".")[2]
            parts.append(f"{last if last_parts[last] == 1 else option}_{_text(value)}")
        yield "-".join(parts), chosen


def _text(value: Any) -> str:
    """A value as part of the name of an experiment: letters, digits, `_`, `-` and `.` alone."""
    if isinstance(value, list):
        return "x".join(map(_text, value)) or "none"
    if isinstance(value, Mapping):
        return "_".join(map(_text, value.values()))
    plain = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^A-Za-z0-9_.-]", "_", plain)
