"""`maskmill evaluate`: masks against references, without any training."""

import argparse
import logging
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from maskmill.annotating.import_command import in_options, parse_classes
from maskmill.classes import parse_colour
from maskmill.errors import MaskmillError
from maskmill.metrics import CASE_COLUMNS, EXTRA_METRICS, METRICS, Metric
from maskmill.wording import count_of

if TYPE_CHECKING:
    from maskmill.evaluation.folders import Measurement

KINDS = [kind for kind in EXTRA_METRICS if kind != "calibration"]
"""Kinds of extra metrics that masks give; calibration needs probabilities."""

CONVENTIONS = """\
A class that is neither in a reference nor found there has no value in overlap and distances and is left out of their
means. Where it is absent but found, or present but not found, overlap and boundary shares are 0 and distances are the
diagonal of the picture or volume. Pixels whose reference is 255 count nowhere; where only a prediction is 255, nothing
is found. Formulas: docs/metrics.md."""

_MESSAGES = {
    "; if they are object numbers, take [^\n]*": "",
    r'"background: rest"': "--background rest",
    r"dataset\.background": "--background",
}
"""What messages on the options of a config say of this command: it has no option for some advice."""

logger = logging.getLogger(__name__)


def add_evaluate_command(commands: argparse._SubParsersAction) -> None:
    """Add the command `evaluate` to the sub-commands of a parser; its `run` gives the exit status."""
    command = commands.add_parser("evaluate", help="measure masks against references", description=_run.__doc__)
    command.add_argument("predictions", type=Path, metavar="PRED_DIR", help="folder of the masks")
    command.add_argument("labels", type=Path, metavar="LABEL_DIR", help="folder of the references, files named alike")
    classes = "what the values 1, 2, ... of masks, or their colours, are called: a,b or a=#rrggbb,b=#rrggbb"
    command.add_argument("--classes", type=parse_classes, default=(), help=f"{classes} (default: the values)")
    background = (
        "colours that are no class, #rrggbb,#rrggbb, or rest, all others (default: black, or white if that is one)"
    )
    command.add_argument("--background", type=_parse_background, metavar="COLOURS", help=background)
    command.add_argument("--extra", nargs="+", choices=KINDS, default=[], metavar="KIND", help=", ".join(KINDS))
    tolerance = "of boundary F1 and NSD, in pixels, of volumes in millimetres (default: 2)"
    command.add_argument("--tolerance", type=float, default=2.0, metavar="DISTANCE", help=tolerance)
    groups = "what in a file's path without suffix names its group, such as '^([^_]+)_' (default: its folder)"
    command.add_argument("--group-regex", metavar="PATTERN", help=groups)
    command.add_argument("-o", "--output", type=Path, help="CSV file for the metrics of every case and class")
    command.set_defaults(run=_run)


def _parse_background(text: str) -> str | list[str]:
    """`dataset.background` from a command line."""
    if text == "rest":
        return text
    colours = text.split(",")
    try:
        for colour in colours:
            parse_colour(colour)
    except MaskmillError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return colours


def _run(arguments: argparse.Namespace) -> int:
    """Measure masks (PNG, TIFF and BMP of class indices or colours, NIfTI) against the references of the same path.

    Prints means over the cases with their 95 % intervals, which resample whole groups, medians and quartiles, and
    writes all cases to a table.
    """
    from maskmill.evaluation.extra import extra_metrics
    from maskmill.evaluation.folders import measure_folders
    from maskmill.files import write_table

    if not 0 <= arguments.tolerance < math.inf:
        raise MaskmillError(f"--tolerance {arguments.tolerance:g} is no distance; give a number that is not negative")
    if arguments.output:
        _require_writable(arguments.output)
    try:
        measured = measure_folders(
            arguments.predictions,
            arguments.labels,
            arguments.classes,
            arguments.extra,
            arguments.tolerance,
            arguments.group_regex,
            arguments.background,
        )
    except MaskmillError as error:
        message = str(error)
        for found, said in _MESSAGES.items():
            message = re.sub(found, said, message)
        raise MaskmillError(in_options(message)) from error
    metrics = METRICS | extra_metrics(arguments.extra, probabilities=False)
    if arguments.output:
        columns = (*CASE_COLUMNS, *(name for name in metrics if name not in METRICS))
        write_table(arguments.output, measured.rows, columns)
    for line in _report(measured, metrics, arguments.tolerance):
        print(line)
    if arguments.output:
        logger.info("all cases are in %s", arguments.output)
    return 0


def _require_writable(path: Path) -> None:
    """Raise MaskmillError where a file could not be written. Makes its folder."""
    if path.is_dir():
        raise MaskmillError(f"-o {path} is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise MaskmillError(f"-o {path} cannot be written ({error.strerror}); name another file") from error


def _report(measured: "Measurement", metrics: Mapping[str, Metric], tolerance: float) -> Iterator[str]:
    """Lines for people: means and intervals class by class, and what they do not show."""
    from maskmill.evaluation.averages import MEAN, case_values, summarize_cases
    from maskmill.evaluation.measure import count_outcomes, describe_outcome
    from maskmill.metrics.statistics import MIN_GROUPS

    cases = case_values(measured.rows, metrics)
    groups = len(set(cases.groups))
    counted = f"{count_of(len(cases.ids), 'case')} in {count_of(groups, 'group')}"
    yield f"{counted}; distances in {cases.unit}, tolerance {tolerance:g} {cases.unit}"
    outcomes = count_outcomes(measured.rows)
    for name in (*cases.classes, MEAN) if len(cases.classes) > 1 else cases.classes:
        yield ""
        title = "mean over classes" if name == MEAN else name
        yield f"{title:<28}{'mean':>9}   {'95 % interval':<20}{'median':>9}   {'quartiles':<20}{'cases':>7}"
        for key, metric in metrics.items():
            yield _metric_line(metric, cases.unit, summarize_cases(cases, key, name))
        if name in outcomes:
            yield describe_outcome(outcomes[name])
    yield ""
    if groups < MIN_GROUPS:
        yield (
            "With fewer than three groups single cases are resampled, and the intervals say nothing about other "
            "groups: give --group-regex if the names tell which cases belong together."
        )
    yield CONVENTIONS
    if measured.blank:
        pixels, missed = (sum(counts) for counts in zip(*measured.blank.values(), strict=True))
        where = f"{count_of(pixels, 'pixel')} in {count_of(len(measured.blank), 'mask')}"
        yield f"Only the prediction is 255: {where}, of which {missed:,} of a class in the reference count as missed."
    if measured.left_over:
        left_over = count_of(len(measured.left_over), "mask")
        yield f"{left_over} without a reference, not measured: {', '.join(measured.left_over)}"


def _metric_line(metric: Metric, unit: str, summary: Mapping[str, Any]) -> str:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.{2 if metric.is_distance else 4}f}"

    mean, low, high, median, q1, q3 = (number(summary[key]) for key in ("mean", "low", "high", "median", "q1", "q3"))
    interval = "too few cases" if summary["low"] is None else f"{low} to {high}"
    quartiles = "–" if summary["q1"] is None else f"{q1} to {q3}"
    return f"  {metric.title(unit):<26}{mean:>9}   {interval:<20}{median:>9}   {quartiles:<20}{summary['n_cases']:>7}"
