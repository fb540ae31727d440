"""Steps of post-processing that cannot work as they are written; standard library only."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from maskmill.steps import KINDS, UNITS, StepOption, read_steps, split_area

Mistake = tuple[str, str]
"""What is wrong, and what to write instead."""

_PARAMETERS = {kind.parameter for kind in KINDS.values() if kind.parameter}


def step_mistakes(
    options: Sequence[str | Mapping[str, Any]], classes: Sequence[str], volumes: bool
) -> Iterator[Mistake]:
    """Mistakes in the option `postprocess.steps`; classes: their names; volumes: whether samples are volumes."""
    for option, step in zip(options, read_steps(options), strict=True):
        if not isinstance(option, str):
            yield from _parameter_mistakes(option, step)
        for name in step.classes or ():
            if name not in classes:
                yield (
                    f"postprocess.steps: {step.step} is to work on {name}, which is no class",
                    f"write some of {', '.join(classes)}",
                )
        if volumes and step.always and not step.kind.volumes:
            yield (
                f"postprocess.steps: {step.step} works on pictures, but samples are volumes",
                "leave it out, or write dataset: {source: {stacks: slices}}",
            )
        yield from _unit_mistakes(step, volumes)


def _parameter_mistakes(option: Mapping[str, Any], step: StepOption) -> Iterator[Mistake]:
    for name in sorted(_PARAMETERS & set(option) - {step.kind.parameter}):
        needed = f"use `{step.kind.parameter}`" if step.kind.parameter else "leave it out"
        yield f"postprocess.steps: {step.step} has no `{name}`", needed


def _unit_mistakes(step: StepOption, volumes: bool) -> Iterator[Mistake]:
    for area in step.parameters:
        if isinstance(area, str) and (split_area(area)[1] == "mm3") != volumes:
            _, unit = split_area(area)
            yield (
                f"postprocess.steps: {step.step} has the area {area}, {UNITS[unit]}, but samples are "
                f"{'volumes' if volumes else 'pictures'}",
                f"give it in {'mm3' if volumes else 'm2'}, or as a number of {'voxels' if volumes else 'pixels'}",
            )
