"""What is wrong with a configuration, in words that say what to write instead.

One line a mistake: against the schema, and where options do not go together. Imports nothing beyond what Snakemake
itself brings, like `maskmill.dag.configuration`.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from maskmill.classes import BACKGROUND_LABEL, IGNORE_LABEL, Classes
from maskmill.errors import MaskmillError

GROUPING_NEEDS = {"regex": "pattern", "blocks": "block", "column": "table"}
"""What a value of dataset.split.group cannot do without, beside it in dataset.split."""

KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping, {} where it is empty",
    "string": "text, in quotes if YAML takes it for something else",
}
"""What the types of the schema are called."""

Place = tuple[str | int, ...]


def schema_mistakes(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Where the configuration breaks the schema, and a line on each mistake, sorted by place."""
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    return [(tuple(error.absolute_path), line) for error in errors for line in _describe(error)]


def _describe(error: ValidationError) -> Iterator[str]:
    place = ".".join(map(str, error.absolute_path)) or "top level"
    found = _yaml(error.instance)
    match error.validator:
        case "additionalProperties" if "properties" in error.schema:
            known = list(error.schema["properties"])
            for key in sorted(set(error.instance) - set(known), key=str):
                hint = nearest_name(str(key), known) or f"known are: {', '.join(known)}"
                yield f"{place}: unknown key `{key}`; {hint}"
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            yield f"{place}: missing {', '.join(f'`{key}`' for key in missing)}"
        case "enum":
            possible = [_yaml(value) for value in error.validator_value]
            hint = nearest_name(found.strip('"'), possible)
            yield f"{place}: {found} is not possible; {f'{hint} ' if hint else ''}possible: {', '.join(possible)}"
        case "pattern" if "title" in error.schema:
            yield f"{place}: {found} is not possible; write {error.schema['title']}"
        case "oneOf":
            yield from _describe_choice(error, place, found)
        case "type":
            kinds = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
            expected = " or ".join(KINDS[kind] for kind in kinds)
            hint = _number_hint(error.instance, kinds)
            yield f"{place}: {hint or f'{found} is not possible; write {expected}'}"
        case _:
            yield f"{place}: {error.message}"


def _describe_choice(error: ValidationError, place: str, found: str) -> Iterator[str]:
    """Lines on an error of `oneOf`: on the alternative of the kind that was written, else on all of them."""
    alternatives = [list(errors) for _, errors in groupby(error.context, key=lambda part: part.schema_path[0])]
    for errors in alternatives:
        if not any(part.validator in ("type", "const") and not part.path for part in errors):
            for part in errors:
                yield from _describe(part)
            return
    meaning = error.schema.get("description", "")
    hint = _number_hint(error.instance, [option.get("type") for option in error.validator_value])
    yield f"{place}: {hint or f'{found} is not possible here. {meaning}'}"


def nearest_name(word: str, known: Iterable[str]) -> str:
    """The question whether one of the known words was meant; empty where none is like it."""
    near = {name.strip('"'): name for name in known}
    found = difflib.get_close_matches(word, near, n=1, cutoff=0.5)
    return f"did you mean `{near[found[0]]}`?" if found else ""


def _number_hint(value: Any, kinds: Iterable[str | None]) -> str | None:
    """What to write for a number that YAML took for text, such as 1e-3; None where `value` is no such thing."""
    if not isinstance(value, str) or {"number", "integer"}.isdisjoint(kinds):
        return None
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", value, re.IGNORECASE):
        return None
    plain = f"{Decimal(value):f}"
    if "e" not in value.lower():
        return f'"{value}" is text; write {plain}, without quotes'
    mantissa, _, exponent = value.lower().partition("e")
    power = f"{mantissa if '.' in mantissa else f'{mantissa}.0'}e{int(exponent):+d}"
    return f"{value} is text in YAML, whose powers need a point and a sign; write {plain}" + (
        f" or {power}" if "number" in kinds else ""
    )


def _yaml(value: Any) -> str:
    """A value as it is written in YAML, on one line; text in quotes where YAML would take it for something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        odd = not value or re.fullmatch(r"[-+.\d].*|true|false|yes|no|on|off|null|~", value, re.IGNORECASE)
        return f'"{value}"' if odd else value
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_yaml(part)}' for key, part in value.items())}}}"
    return str(value)


def dataset_mistakes(dataset: Mapping[str, Any]) -> Iterator[str]:
    """A line on each place where options of the section, fine by themselves, do not go together."""
    try:
        classes = Classes.from_config(dataset["classes"])
    except MaskmillError as error:
        yield str(error)
    else:
        yield from _label_mistakes(classes, dataset["background"])
    yield from _split_mistakes(dataset["split"])


def _label_mistakes(classes: Classes, background: str | Sequence[str]) -> Iterator[str]:
    """What would make a class of pixels that are to be none."""
    meanings = {BACKGROUND_LABEL: "background", IGNORE_LABEL: "what nothing is learnt from"}
    for name in [name for name in classes.names if name in meanings]:
        yield f"dataset.classes: {name} is always known and means {meanings[name]}; leave it out"
    known = {*classes.names, *classes.as_dict().values()}
    both = [] if background == "rest" else [entry for entry in background if {entry, entry.lower()} & known]
    if both:
        yield f"dataset.background: {', '.join(both)} is in dataset.classes too; take it out of one of the two"


def _split_mistakes(split: Mapping[str, Any]) -> Iterator[str]:
    test, validation, group = split["test"], split["validation"], split["group"]
    if not split.get("official") and test + validation >= 1:
        yield (
            f"dataset.split: test {test:g} and validation {validation:g} leave nothing for training; "
            "make their sum less than 1, such as 0.2 and 0.2"
        )
    needed = GROUPING_NEEDS.get(group)
    if needed and split.get(needed) is None:
        yield f"dataset.split: group {group} needs `{needed}` beside it"
    elif group == "regex":
        yield from _pattern_mistakes(split["pattern"])


def _pattern_mistakes(pattern: str) -> Iterator[str]:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        yield f'dataset.split.pattern: "{pattern}" is no regular expression: {error.msg}{where}'
    else:
        if not groups:
            yield (
                f'dataset.split.pattern: "{pattern}" captures nothing; put the part of the id that names the group in '
                "parentheses, such as '^([^_]+)_' for A12 in A12_003"
            )
