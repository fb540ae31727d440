"""The choice of an operating point in words, for the report."""

from collections.abc import Mapping
from typing import Any

from maskmill.steps import KINDS, TEMPERATURE, THRESHOLD
from maskmill.wording import signed

_MEASURES = {"iou": "IoU", "pq": "PQ", "log-likelihood": "log-likelihood"}


def describe_steps(point: Mapping[str, Any], value: int) -> str:
    """The steps that a class (1 … K) goes through, such as "fill holes (area 50), keep largest"."""
    steps = [step for step in point["steps"] if step["class"] == value]
    return ", ".join(_words(step) for step in steps) or "none"


def describe_used(row: Mapping[str, Any]) -> str:
    """What became of the temperature, a threshold or a step: the parameter chosen, "used", or why it is left out."""
    if row["used"] is None:
        return "left out" if row["gain"] is not None else "left out: cannot be judged"
    if row["used"] is True:
        return "used"
    return (
        f"{row['used']:g}"
        if row["step"] in (TEMPERATURE, THRESHOLD)
        else f"{KINDS[row['step']].parameter} {row['used']}"
    )


def describe_gain(row: Mapping[str, Any]) -> str:
    """The gain in a measure with its interval, such as "+0.012 IoU (0.004 to 0.020)"."""
    if row["gain"] is None:
        return "–"
    interval = "" if row["low"] is None else f" ({signed(row['low'])} to {signed(row['high'])})"
    return f"{signed(row['gain'])} {_MEASURES[row['measure']]}{interval}"


def describe_optimism(optimism: Mapping[str, Any]) -> str:
    """How much of the validation score is owed to the choice."""
    if optimism["difference"] is None:
        reason = "There is one validation picture" if optimism["resampled"] == "nothing" else "Validation has no IoU"
        return f"{reason}: how much of a score is owed to the choice cannot be told."
    left_out = {"groups": "groups", "cases": "pictures of one group"}[optimism["resampled"]]
    interval = "" if optimism["low"] is None else f", interval {signed(optimism['low'])} to {signed(optimism['high'])}"
    return (
        f"The validation IoU is {optimism['apparent']:.3f} as chosen and {optimism['nested']:.3f} on {left_out} left "
        f"out of the choice in turn: {signed(optimism['difference'])} is owed to the choice itself{interval}."
    )


def _words(step: Mapping[str, Any]) -> str:
    """A step as `Step.as_dict` writes it, such as "fill holes (area 50)"."""
    name, parameter = step["step"].replace("_", " "), KINDS[step["step"]].parameter
    return f"{name} ({parameter} {step[parameter]})" if parameter else name
