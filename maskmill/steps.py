"""The steps of post-processing as options name them; standard library only, since the DAG layer reads them too."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Parameter = int | float | str
"""A number, or an area with its unit: "20 m2"."""


@dataclass(frozen=True)
class Kind:
    """What a step is configured by.

    parameter: the name of its parameter, "" where it has none. tried: the values that are tried where the options name
    none. volumes: whether it works on volumes. judged_by: what tells whether it helps, "iou" of masks or "pq"
    (panoptic quality) of objects.
    """

    parameter: str
    tried: tuple[int | float, ...]
    volumes: bool = True
    judged_by: str = "iou"


KINDS = {
    "closing": Kind("radius", (1, 2, 3)),
    "opening": Kind("radius", (1, 2, 3)),
    "fill_holes": Kind("area", (25, 100, 400)),
    "remove_small": Kind("area", (25, 50, 100, 200, 400)),
    "keep_largest": Kind("", ()),
    "refine_border": Kind("radius", (2, 4, 8)),
    "regularize_polygons": Kind("tolerance", (1, 2, 3), volumes=False),
    "split_touching": Kind("depth", (0.5, 1, 2), volumes=False, judged_by="pq"),
}
"""All steps, by name."""

THRESHOLD = "threshold"
"""In the place of a step, where gains are told: the threshold chosen, against 0.5."""

TEMPERATURE = "temperature"
"""In the place of a step: the temperature chosen, against 1."""

UNITS = {"m2": "square metres of a georeferenced picture", "mm3": "cubic millimetres of a volume"}
"""Units in which areas can be given beside pixels (of volumes, voxels)."""

_AREA = re.compile(rf"(\d+(?:\.\d+)?) ?(px|{'|'.join(UNITS)})")


@dataclass(frozen=True)
class StepOption:
    """A step to be tried. parameters: the values tried, of a step without a parameter one None.

    classes: names of the classes it works on, None: all. always: whether it may not be left out.
    """

    step: str
    parameters: tuple[Parameter | None, ...]
    classes: tuple[str, ...] | None
    always: bool

    @property
    def kind(self) -> Kind:
        """What the step is configured by."""
        return KINDS[self.step]


def read_steps(options: Sequence[str | Mapping[str, Any]]) -> list[StepOption]:
    """The option `postprocess.steps`: names of steps, or mappings with `step`, its parameter, `classes`, `always`.

    A parameter is a value or a list of values.
    """
    return [_read_step({"step": option} if isinstance(option, str) else option) for option in options]


def _read_step(option: Mapping[str, Any]) -> StepOption:
    kind = KINDS[option["step"]]
    values = option.get(kind.parameter, kind.tried) if kind.parameter else (None,)
    values = values if isinstance(values, Sequence) and not isinstance(values, str) else (values,)
    classes = option.get("classes")
    return StepOption(
        option["step"],
        tuple(dict.fromkeys(pixels_or_text(value) for value in values)),
        None if classes is None else tuple(classes),
        option.get("always", False),
    )


def pixels_or_text(value: Parameter | None) -> Parameter | None:
    """A parameter with pixels as a number: "100 px" is 100, "20 m2" stays."""
    if not isinstance(value, str):
        return value
    amount, unit = split_area(value)
    if unit != "px":
        return f"{amount:g} {unit}"
    return int(amount) if amount == int(amount) else amount


def split_area(text: str) -> tuple[float, str]:
    """Amount and unit of an area such as "20 m2". Raises ValueError where it is none."""
    found = _AREA.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is no area; write a number of pixels, or one with its unit: 20 m2')
    return float(found[1]), found[2]


def tried_areas(options: Sequence[str | Mapping[str, Any]]) -> list[int | float]:
    """The areas in pixels below which `remove_small` may remove components, in ascending order; 0 stands for none."""
    areas = {0}
    for step in read_steps(options):
        if step.step == "remove_small":
            areas.update(area for area in step.parameters if not isinstance(area, str))
    return sorted(areas)
