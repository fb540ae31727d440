"""The user's configuration: merging, defaults, validation. Plain values in, plain values out; used by the DAG layer.

Imports nothing beyond what Snakemake itself brings, so that a bare Snakemake can plan every rule.
"""

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from maskmill.dag.config_checks import dataset_mistakes, schema_mistakes
from maskmill.dag.option_checks import experiment_mistakes
from maskmill.dag.searches import combination_mistakes, complete_search, search_mistakes
from maskmill.dag.sweeps import expand_sweeps, sweep_mistakes
from maskmill.errors import MaskmillError

OVERRIDABLE = ("model", "loss", "augment", "train", "predict", "postprocess")
"""Sections that an experiment may override."""


def deep_merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `override` on top, mappings merged key by key, everything else replaced whole.

    `dataset.classes` mappings are replaced too where the override gives classes: keys of the base must not leak in.
    """
    merged = copy.deepcopy(dict(base))
    for key, value in override.items():
        mergeable = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping) and key != "classes"
        merged[key] = deep_merge(merged[key], value) if mergeable else copy.deepcopy(value)
    return merged


def resolve_config(
    user: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]], schema: Mapping[str, Any]
) -> dict[str, Any]:
    """Complete and validate a configuration: schema defaults < preset < user; sweeps become experiments.

    What comes out may be given again, and comes out the same: a run is reproduced by what is recorded of it.
    A configuration that only segments needs no data set: see `segments_alone`.
    Raises MaskmillError with one line for each mistake: unknown keys (with the nearest known one), invalid values, and
    options that do not go together in one of the experiments.
    """
    if segments_alone(user):
        user = deep_merge({"dataset": _stand_in(user["segment"]["images"])}, user)
    found = schema_mistakes(user, schema)
    lines, unsound = [line for _, line in found], {place[0] for place, _ in found if place}
    if "experiments" in user and "experiments" not in unsound:
        mistakes = [*sweep_mistakes(user["experiments"], schema), *search_mistakes(user["experiments"], schema)]
        lines += mistakes
        unsound |= {"experiments"} if mistakes else set()
    preset = user.get("preset", schema["properties"]["preset"]["default"])
    config = fill_defaults(deep_merge({} if "preset" in unsound else presets[preset], user), schema, schema)
    if "experiments" not in unsound:
        config["experiments"] = expand_sweeps(config["experiments"])
        form = schema["properties"]["experiments"]["additionalProperties"]["properties"]["search"]
        for content in config["experiments"].values():
            if "search" in content:
                content["search"] = fill_defaults(content["search"], form, schema)
    if "dataset" in user and "dataset" not in unsound:
        lines += dataset_mistakes(config["dataset"])
        if unsound.isdisjoint(("preset", "experiments", *OVERRIDABLE)):
            experiments = {name: experiment_options(config, name) for name in config["experiments"]}
            lines += experiment_mistakes(experiments, config["dataset"])
            for name, search in searches(config, schema).items():
                lines += combination_mistakes(name, experiments[name], search, config["dataset"])
    if lines:
        raise MaskmillError("The configuration has mistakes:\n" + "\n".join(f"  - {line}" for line in lines))
    return config


def segments_alone(config: Mapping[str, Any]) -> bool:
    """Whether all that a configuration asks for is masks of pictures from a bundle that exists already."""
    section = config.get("segment")
    places = [section.get(key) for key in ("images", "bundle")] if isinstance(section, Mapping) else [None]
    return all(isinstance(place, str) for place in places) and "dataset" not in config


def _stand_in(images: str) -> dict[str, Any]:
    """A data set called as the folder of the pictures to segment, of a pattern as the last folder before it.

    A digest of the whole place follows: /data/2024/images and /data/2025/images, or a data set called images, are not
    to take each other's results.
    """
    folder = PurePath(re.split(r"[*?\[]", images)[0])
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-._") or "pictures"
    digest = hashlib.sha256(PurePath(images).as_posix().encode("utf-8", "surrogateescape")).hexdigest()
    return {"name": f"{name}-{digest[:8]}", "source": {"images": images, "annotations": images}, "classes": ["object"]}


def fill_defaults(value: Any, part: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """`value` with the defaults of the schema `part` filled in, at every level; `schema` is the root for `$ref`."""
    part = _dereference(part, schema)
    if not isinstance(value, Mapping) or "properties" not in part:
        return value
    filled = dict(value)
    for key, rule in part["properties"].items():
        if key not in filled and "default" in rule:
            filled[key] = copy.deepcopy(rule["default"])
        elif key not in filled and "default" in _dereference(rule, schema):
            filled[key] = copy.deepcopy(_dereference(rule, schema)["default"])
        if key in filled:
            filled[key] = fill_defaults(filled[key], rule, schema)
    return filled


def experiment_options(config: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """The overridable sections of a resolved config, with the overrides of one experiment on top."""
    base = {section: config[section] for section in OVERRIDABLE}
    overrides = config["experiments"][experiment]
    return deep_merge(base, {section: overrides[section] for section in OVERRIDABLE if section in overrides})


def searches(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Experiment → its search (see `complete_search`), of those of a resolved config that have one."""
    return {
        name: complete_search(content["search"], schema)
        for name, content in config["experiments"].items()
        if "search" in content
    }


def _dereference(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    return schema["$defs"][part["$ref"].removeprefix("#/$defs/")]


def option_rows(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Rows (option, values, default, meaning) of the option table, in the schema's order; sections have no default."""
    yield from _rows("", schema, schema)


def _rows(prefix: str, part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for key, rule in part["properties"].items():
        default = rule.get("default")
        rule = _dereference(rule, schema)
        default = rule.get("default") if default is None else default
        name = f"{prefix}{key}"
        if "properties" in rule:
            yield name, "section", "", rule["description"]
            yield from _rows(f"{name}.", rule, schema)
        else:
            required = key in part.get("required", [])
            yield name, _values(rule), "**required**" if required else _shown(default, rule), rule["description"]


def _values(rule: Mapping[str, Any]) -> str:
    if "enum" in rule:
        return ", ".join(f"`{value}`" for value in rule["enum"])
    if "const" in rule:
        return f"`{rule['const']}`"
    if "oneOf" in rule:
        return " or ".join(_values(option) for option in rule["oneOf"])
    kind = rule["type"]
    names = {"array": "list", "object": "mapping", "null": "`null`"}
    return " or ".join(names.get(k, k) for k in ([kind] if isinstance(kind, str) else kind))


def _shown(default: Any, rule: Mapping[str, Any]) -> str:
    if default is None and "default" not in rule:
        return "–"
    return f"`{json.dumps(default)}`" if not isinstance(default, str) else f"`{default}`"
