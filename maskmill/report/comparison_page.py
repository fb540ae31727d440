"""Write the comparison of all experiments: a table, and a page with charts, pictures and costs."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial, reduce
from operator import or_
from os import PathLike
from typing import Any

from maskmill.classes import Classes
from maskmill.evaluation.comparison import (
    COMPARISON_COLUMNS,
    HEADLINE,
    Comparison,
    class_title,
    compare_results,
    headline_sentences,
    show_value,
)
from maskmill.evaluation.measure import describe_outcome
from maskmill.files import atomic_path, write_table
from maskmill.metrics import ALL_METRICS, EXTRA_METRICS, HEADLINE_METRICS, METRICS
from maskmill.metrics.statistics import min_groups_for_verdict
from maskmill.report.cases import CaseImages, most_different, read_cases
from maskmill.report.charts import draw_losses, draw_validation_iou
from maskmill.report.data import colours_of
from maskmill.report.environment import page_environment, rows_of_classes
from maskmill.report.interval_chart import Point, draw_intervals
from maskmill.report.pictures import data_uri, draw_masks
from maskmill.report.results import Experiment, ExperimentFiles
from maskmill.svg import COLOURS, shorten

logger = logging.getLogger(__name__)

SHOWN = len(COLOURS)
"""Experiments in charts and pictures, which colours must tell apart; the tables have all of them."""

CASES = 6
"""Cases shown with the masks of all experiments."""


def compare_experiments(
    classes: Sequence[str] | Mapping[str, str],
    samples: str | PathLike,
    labels: Sequence[str | PathLike],
    experiments: Sequence[ExperimentFiles],
    table: str | PathLike,
    page: str | PathLike,
    extra: Sequence[str | PathLike] = (),
) -> None:
    """Write comparison.csv (`COMPARISON_COLUMNS`) and comparison.html; the first experiment is what others are held to.

    classes: the `dataset.classes` option. samples: table of the samples. labels: the label folders of the shards.
    extra: tables of the extra metrics of what is deployed, as `ExperimentFiles.deployed_metrics` orders the others.
    The page needs nothing beside it, and the same files give the same bytes.
    """
    comparison = compare_results(
        [files.name for files in experiments],
        [files.summary for files in experiments],
        [table for files in experiments for table in files.deployed_metrics],
        extra,
    )
    write_table(table, comparison.rows, COMPARISON_COLUMNS)
    trained = [Experiment.read(files) for files in experiments]
    shown = shown_experiments(trained)
    names = [experiment.name for experiment in shown]
    content = _numbers(comparison, names) | {
        "experiments": trained,
        "shown": shown,
        "charts": _charts(comparison, names),
        "curves": {"Losses": draw_losses(shown), "Validation IoU": draw_validation_iou(shown)},
        "cases": _cases(shown, samples, labels, Classes.from_config(classes)) if len(shown) > 1 else [],
        "legend": colours_of(Classes.from_config(classes)),
    }
    environment = page_environment()
    environment.filters |= {"outcome": partial(describe_outcome, one="picture"), "spread": describe_spread}
    with atomic_path(page) as aside:
        aside.write_text(environment.get_template("comparison.html.jinja").render(content), encoding="utf-8")
    logger.info("%s", " ".join(content["sentences"]))


def shown_experiments(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The first and those best on validation, `SHOWN` at most, in the order given. The test chooses nothing."""
    others = sorted(experiments[1:], key=lambda experiment: -experiment.validation_iou)[: SHOWN - 1]
    return [experiments[0], *(experiment for experiment in experiments[1:] if experiment in others)]


def describe_spread(row: Mapping[str, Any]) -> str:
    """Median and quartiles of the cases of a row of comparison.csv in words; empty where there is none."""
    if row["median"] is None:
        return ""
    median, q1, q3 = (show_value(row | {"mean": row[key]}) for key in ("median", "q1", "q3"))
    return f"median {median}, quartiles {q1} and {q3}"


def _numbers(comparison: Comparison, shown: Sequence[str]) -> dict[str, Any]:
    """What sentences and tables say; the page opens with the sentences on the experiments shown."""
    first = comparison.first
    classes = rows_of_classes(first.cases.classes)
    sentences = headline_sentences(comparison)
    others = [result.name for result in comparison.results[1:]] or [first.name]
    titles = {name: metric.title(first.cases.unit) for name, metric in HEADLINE_METRICS.items()}
    measured = [[name for name in kind if name in first.cases.values] for kind in EXTRA_METRICS.values()]
    extra_titles = [{name: ALL_METRICS[name].label for name in names} for names in measured if names]
    opening = [sentence for name, sentence in zip(others, sentences, strict=True) if name in shown]
    return {
        "results": comparison.results,
        "first": first,
        "sentences": opening,
        "more_sentences": [sentence for sentence in sentences if sentence not in opening],
        "classes": classes,
        "titles": titles,
        "extra_titles": extra_titles,
        "compared": reduce(or_, extra_titles, titles),
        "unit": first.cases.unit,
        "by_key": {(row["experiment"], row["class"], row["metric"]): row for row in comparison.rows},
        "level": round(100 * first.summary["level"]),
        "min_groups": min_groups_for_verdict(together=max(1, len(comparison.results) - 1)),
        "members": len(first.summary["members"]),
        "ensembles": "ensemble" in first.summary,
    }


def _charts(comparison: Comparison, shown: Sequence[str]) -> list[str]:
    """The means of the experiments shown, and where there are several, the differences from the first."""
    label, first = METRICS[HEADLINE].label, comparison.first.name
    classes = rows_of_classes(comparison.first.cases.classes)
    rows = [
        row
        for row in comparison.rows
        if row["metric"] == HEADLINE and row["class"] in classes and row["experiment"] in shown
    ]
    charts = [draw_intervals(_points(rows, ""), f"{label} on the test split (1 = perfect)", "means")]
    others = [row for row in rows if row["experiment"] != first]
    if others:
        differences = _points(others, "difference")
        charts.append(
            draw_intervals(differences, f"{label} minus that of {shorten(first)}", "differences", zero_line=True)
        )
    return charts


def _points(rows: Sequence[Mapping[str, Any]], quantity: str) -> list[Point]:
    """Points of the means, or of what `quantity` names."""
    keys = (quantity, f"{quantity}_low", f"{quantity}_high") if quantity else ("mean", "low", "high")
    return [Point(class_title(row["class"]), row["experiment"], *(row[key] for key in keys)) for row in rows]


def _cases(
    experiments: Sequence[Experiment], samples: str | PathLike, labels: Sequence[str | PathLike], classes: Classes
) -> list[dict[str, Any]]:
    """Test cases with the mask of what each experiment deploys: id, place, spread of the IoU, panels."""
    found = [{case.id: case for case in read_cases(experiment.deployed.metrics)} for experiment in experiments]
    images = CaseImages(samples, labels, [experiment.deployed.masks for experiment in experiments])
    shown = []
    for identifier in most_different(found, CASES):
        picture = images.read(identifier)
        drawn = draw_masks(picture.image, (picture.reference, *picture.predictions), classes)
        scores = [cases[identifier].mean_iou for cases in found]
        names = ("picture", "annotation", *(experiment.name for experiment in experiments))
        panels = zip(names, (None, None, *scores), map(data_uri, drawn), strict=True)
        spread = max(scores) - min(scores)
        shown.append({"id": identifier, "place": picture.place, "spread": spread, "panels": list(panels)})
    return shown
