"""Write the report: one HTML file that needs nothing else."""

import logging
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment
from PIL import Image

from maskmill import __version__
from maskmill.classes import Classes
from maskmill.evaluation.averages import MEAN, read_case_values
from maskmill.evaluation.comparison import HEADLINE, class_title
from maskmill.evaluation.seams import describe_seams, pool_seams
from maskmill.files import atomic_path, read_json, read_table, sha256_file
from maskmill.imaging.overlay import ERROR_COLOURS
from maskmill.metrics import EXTRA_METRICS, HEADLINE_METRICS
from maskmill.metrics.statistics import RESAMPLES, Interval, bootstrap_interval, min_groups_for_verdict
from maskmill.report.advice import advise
from maskmill.report.cases import Case, CaseImages, Slice, best_and_worst, choose_showcase, read_cases
from maskmill.report.charts import (
    draw_losses,
    draw_reliability,
    draw_risk_coverage,
    draw_thresholds,
    draw_validation_iou,
)
from maskmill.report.data import ROWS, DataFiles, chosen_sheets, colours_of, describe_data
from maskmill.report.environment import page_environment, rows_of_classes
from maskmill.report.interval_chart import Point, draw_intervals
from maskmill.report.pictures import data_uri, draw_showcase, entropy_scale, fit
from maskmill.report.remarks import Evidence, Remark
from maskmill.report.results import Experiment, ExperimentFiles, choose_experiment, verdict_sentences
from maskmill.report.tuning import describe_gain, describe_optimism, describe_steps, describe_used
from maskmill.report.uncertainty import describe_order, show_uncertain
from maskmill.sizes import describe_size

logger = logging.getLogger(__name__)

_EXTRA_TITLES = {
    "relaxed": "Lines, within a tolerance",
    "rand": "Areas that the class divides",
    "instances": "Objects",
    "cldice": "Centre lines",
    "calibration": "Calibration of the probabilities",
    "sizes": "Objects by their size",
}
_PACKAGES = ("numpy", "scipy", "torch", "onnxruntime", "opencv-python-headless", "pillow", "scikit-image", "matplotlib")


def render_report(
    dataset: str,
    classes: Sequence[str] | Mapping[str, str],
    data: DataFiles,
    experiments: Sequence[ExperimentFiles],
    comparison: str | PathLike,
    output: str | PathLike,
) -> None:
    """Write the report of a run as one HTML file with its pictures and charts inside.

    classes: the `dataset.classes` option. comparison: comparison.csv. The experiment shown in pictures is the one that
    is best on validation, by what it deploys: its best member or its ensemble. The same files give the same bytes.
    """
    shown_classes = Classes.from_config(classes)
    results = [Experiment.read(files) for files in experiments]
    best = choose_experiment(results)
    content = (
        {
            "dataset": dataset,
            "classes": shown_classes.names,
            "experiments": results,
            "best": best,
            "unit": best.summary["unit"],
            "min_groups": min_groups_for_verdict(together=max(1, len(results) - 1)),
            "sentences": verdict_sentences(best, results, comparison),
            "seams": describe_seams(best.deployed.seams),
            "advice": _advice(best),
            "data": describe_data(data, shown_classes, best.best.config["fold"]),
            "sheets": [row | {"picture": _embed(row["path"])} for row in chosen_sheets(data.sheets)],
            "legend": colours_of(shown_classes),
            "error_colours": ERROR_COLOURS,
        }
        | _cases(data, best, shown_classes)
        | _uncertainty(data, best, shown_classes)
        | _charts(results, colours_of(shown_classes))
        | _provenance(data)
    )
    with atomic_path(output) as aside:
        aside.write_text(_environment().get_template("report.html.jinja").render(content), encoding="utf-8")
    logger.info("%s", " ".join(content["sentences"]))


def _cases(data: DataFiles, best: Experiment, classes: Classes) -> dict[str, Any]:
    """The showcase and the best and worst cases of what is deployed."""
    cases = read_cases(best.deployed.metrics)
    images = CaseImages(data.samples, data.labels, [best.deployed.masks])
    chosen = choose_showcase(cases)
    good, bad = best_and_worst(cases)
    return {
        "showcase": chosen and _showcase(chosen, images.read(chosen.id), classes),
        "best_cases": [images.show(case, classes) for case in good],
        "worst_cases": [images.show(case, classes) for case in bad],
        "case_count": len(cases),
    }


def _showcase(case: Case, shown: Slice, classes: Classes) -> dict[str, Any]:
    drawn = draw_showcase(shown.image, shown.reference, shown.predictions[0], classes)
    return {"case": case, "picture": data_uri(drawn), "place": shown.place}


def _uncertainty(data: DataFiles, best: Experiment, classes: Classes) -> dict[str, Any]:
    """How sure what is deployed is of the test cases, and those that it is least sure of."""
    files = best.deployed
    judged = read_json(files.uncertainty)
    cases = {case.id: case for case in read_cases(files.metrics)}
    images = CaseImages(data.samples, data.labels, [files.masks])
    return {
        "judged": judged,
        "order": describe_order(judged),
        "risk_chart": draw_risk_coverage(judged) if judged["cases"] else None,
        "uncertain_cases": show_uncertain(judged["listed"], Path(files.maps), cases, images, classes),
        "entropy_scale": entropy_scale(),
    }


def _advice(best: Experiment) -> list[Remark]:
    """What stands out in the best member."""
    training, summary = best.best, best.summary
    evidence = Evidence(
        classes=summary["classes"],
        history=training.history,
        kept_iou=training.kept["validation_iou"],
        validation=read_table(training.files.validation),
        means=(_mean_iou(training.files.validation), _mean_iou(training.files.metrics)),
        point=read_json(training.files.point),
        seams=pool_seams(training.files.seams),
        config=training.config,
        recalls=_recalls(summary),
        groups=summary["test"][MEAN][HEADLINE]["n_groups"],
    )
    return advise(evidence)


def _mean_iou(table: str | PathLike) -> Interval:
    """The mean IoU over the cases of a metrics table, and over its classes."""
    cases = read_case_values([table], [HEADLINE])
    return bootstrap_interval(cases.of(HEADLINE, MEAN), cases.groups)


def _recalls(summary: Mapping[str, Any]) -> dict[str, dict[str, float | None]] | None:
    """class → recall by size → mean on the test; None where it was not measured."""
    names = [name for name in EXTRA_METRICS["sizes"] if name in summary.get("extra", {}).get("metrics", ())]
    if not names:
        return None
    return {one: {name: summary["extra"]["test"][one][name]["mean"] for name in names} for one in summary["classes"]}


def _charts(experiments: Sequence[Experiment], colours: Mapping[str, str]) -> dict[str, Any]:
    return {
        "curves": {"Losses": draw_losses(experiments), "Validation IoU": draw_validation_iou(experiments)},
        "intervals": draw_intervals(_points(experiments), "IoU on the test pictures (1 = perfect)", "intervals"),
        "thresholds": {
            experiment.name: draw_thresholds(experiment, colours, f"thresholds {experiment.name}")
            for experiment in experiments
        },
        "reliability": {
            experiment.name: draw_reliability(experiment, colours, f"reliability {experiment.name}")
            for experiment in experiments
            if "reliability" in experiment.results.get("extra", {})
        },
    }


def _points(experiments: Sequence[Experiment]) -> list[Point]:
    """The mean IoU and its interval, class by class, experiment by experiment."""
    points = []
    for class_name in rows_of_classes(experiments[0].summary["classes"]):
        for experiment in experiments:
            value = experiment.results["test"][class_name][HEADLINE]
            points.append(Point(class_title(class_name), experiment.name, value["mean"], value["low"], value["high"]))
    return points


def _provenance(data: DataFiles) -> dict[str, Any]:
    return {
        "digests": {Path(file).name: sha256_file(file) for file in (data.samples, data.splits)},
        "versions": {"maskmill": __version__, "Python": platform.python_version()}
        | {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _embed(path: str | PathLike) -> str:
    with Image.open(path) as picture:
        return data_uri(*fit(np.asarray(picture.convert("RGB"))))


def _environment() -> Environment:
    environment = page_environment()
    environment.filters |= {
        "share": _share,
        "size": describe_size,
        "plain": lambda value: "none" if value is None else str(value).strip("[]"),
        "steps_of": describe_steps,
        "used": describe_used,
        "gain": describe_gain,
        "optimism": describe_optimism,
        "yaml": lambda value: yaml.safe_dump(value, sort_keys=False, allow_unicode=True),
    }
    environment.globals |= {
        "metrics": HEADLINE_METRICS,
        "extra_metrics": {_EXTRA_TITLES[kind]: metrics for kind, metrics in EXTRA_METRICS.items()},
        "resamples": RESAMPLES,
        "row_limit": ROWS,
        "trial_options": lambda trials: [name for name in trials[0] if "." in name],
    }
    return environment


def _share(value: float) -> str:
    """A share of 1 as per cent: one decimal, or two significant digits below one per cent."""
    return f"{100 * value:.1f} %" if value >= 0.01 else f"{100 * value:.2g} %"
