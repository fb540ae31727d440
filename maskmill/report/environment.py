"""What the templates of pages share: filters that turn numbers into words."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from maskmill.evaluation.averages import MEAN
from maskmill.evaluation.comparison import class_title, describe_resampled, show_range, show_value


def page_environment() -> Environment:
    """An environment with the filters of all pages, which escapes what it fills in and refuses undefined names."""
    environment = Environment(loader=PackageLoader("maskmill"), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {
        "value": show_value,
        "range": show_range,
        "resampled": describe_resampled,
        "duration": _duration,
        "megabytes": _megabytes,
        "class_title": class_title,
        "rows_of_classes": rows_of_classes,
        "optional": _optional,
    }
    return environment


def rows_of_classes(classes: Sequence[str]) -> list[str]:
    """The classes, and their mean where there are several."""
    return [*classes, MEAN] if len(classes) > 1 else list(classes)


def _optional(value: float | None, pattern: str = "%.3f") -> str:
    return "–" if value is None else pattern % value


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} MB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
