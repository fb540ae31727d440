"""`maskmill evaluate`: masks against references, without any training."""

import argparse
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskmill.annotating.import_command import in_options, parse_classes
from maskmill.errors import MaskmillError
from maskmill.metrics import CASE_COLUMNS, EXTRA_METRICS, METRICS, Metric
from maskmill.wording import count_of

KINDS = [kind for kind in EXTRA_METRICS if kind != "calibration"]
"""Kinds of extra metrics that masks give; calibration needs probabilities."""

CONVENTIONS = """\
A class that is neither in a reference nor found there has no value in overlap and distances and is left out of their
means. Where it is absent but found, or present but not found, overlap and boundary shares are 0 and distances are the
diagonal of the picture or volume. Pixels with the value 255 count nowhere. Formulas: docs/metrics.md."""

_OTHER_OPTION = "; if they are object numbers, take [^\n]*"
"""Advice of messages that this command has no option for."""

logger = logging.getLogger(__name__)


def add_evaluate_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `evaluate` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("evaluate", help="measure masks against references", description=_run.__doc__)
    command.add_argument("predictions", type=Path, metavar="PRED_DIR", help="folder of the masks")
    command.add_argument("labels", type=Path, metavar="LABEL_DIR", help="folder of the references, files named alike")
    classes = "what the values 1, 2, ... of masks, or their colours, are called: a,b or a=#rrggbb,b=#rrggbb"
    command.add_argument("--classes", type=parse_classes, default=(), help=f"{classes} (default: the values)")
    command.add_argument("--extra", nargs="+", choices=KINDS, default=[], metavar="KIND", help=", ".join(KINDS))
    tolerance = "of boundary F1 and NSD, in pixels, of volumes in millimetres (default: 2)"
    command.add_argument("--tolerance", type=float, default=2.0, metavar="DISTANCE", help=tolerance)
    groups = "what in a file's path without suffix names its group, such as '^([^_]+)_' (default: its folder)"
    command.add_argument("--group-regex", metavar="PATTERN", help=groups)
    command.add_argument("-o", "--output", type=Path, help="CSV file for the metrics of every case and class")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    """Measure masks (PNG, TIFF and BMP of class indices or colours, NIfTI) against the references of the same path.

    Prints means over the cases with their 95 % intervals, which resample whole groups, and writes all cases to a table.
    """
    from maskmill.evaluation.extra import extra_metrics
    from maskmill.evaluation.folders import measure_folders
    from maskmill.files import write_table

    if arguments.tolerance < 0:
        raise MaskmillError(f"--tolerance {arguments.tolerance:g} is no distance; it must not be negative")
    try:
        rows, left_over = measure_folders(
            arguments.predictions,
            arguments.labels,
            arguments.classes,
            arguments.extra,
            arguments.tolerance,
            arguments.group_regex,
        )
    except MaskmillError as error:
        raise MaskmillError(in_options(re.sub(_OTHER_OPTION, "", str(error)))) from error
    metrics = METRICS | extra_metrics(arguments.extra, probabilities=False)
    if arguments.output:
        write_table(arguments.output, rows, (*CASE_COLUMNS, *(name for name in metrics if name not in METRICS)))
    for line in _report(rows, metrics, arguments.tolerance, left_over):
        print(line)
    if arguments.output:
        logger.info("all cases are in %s", arguments.output)
    return 0


def _report(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Metric], tolerance: float, left_over: Sequence[str]
) -> Iterator[str]:
    """Lines for people: means and intervals class by class, and what they do not show."""
    from maskmill.evaluation.measure import count_outcomes, describe_outcome

    unit = rows[0]["unit"]
    cases, groups = (len({row[key] for row in rows}) for key in ("id", "group"))
    counted = f"{count_of(cases, 'case')} in {count_of(groups, 'group')}"
    yield f"{counted}; distances in {unit}, tolerance {tolerance:g} {unit}"
    outcomes = count_outcomes(rows)
    for name, outcome in outcomes.items():
        own = [row for row in rows if row["class"] == name]
        yield ""
        yield f"{name:<28}{'mean':>9}   {'95 % interval':<20}{'cases':>7}"
        for key, metric in metrics.items():
            yield _metric_line(metric, unit, [row[key] for row in own], [row["group"] for row in own])
        yield describe_outcome(outcome)
    yield ""
    if groups < 3:
        yield (
            "With fewer than three groups single cases are resampled, and the intervals say nothing about other "
            "groups: give --group-regex if the names tell which cases belong together."
        )
    yield CONVENTIONS
    if left_over:
        yield f"{count_of(len(left_over), 'mask')} without a reference, not measured: {', '.join(left_over)}"


def _metric_line(metric: Metric, unit: str, values: Sequence[float | None], groups: Sequence[str]) -> str:
    from maskmill.metrics.statistics import bootstrap_interval

    interval = bootstrap_interval(values, groups)
    decimals = 2 if metric.is_distance else 4
    mean, low, high = (
        "–" if end is None else f"{end:.{decimals}f}" for end in (interval.estimate, interval.low, interval.high)
    )
    reach = "too few cases" if interval.low is None else f"{low} to {high}"
    return f"  {metric.title(unit):<26}{mean:>9}   {reach:<20}{interval.n_cases:>7}"
