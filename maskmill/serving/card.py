"""What a bundle is, for people: its bundle.json and parity.json as tables and sentences."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskmill.deployment.bundle import Bundle
from maskmill.evaluation.averages import MEAN
from maskmill.evaluation.comparison import class_title, describe_resampled, show_range, show_value
from maskmill.files import read_json
from maskmill.inference.preprocess import describe_ranges
from maskmill.inference.recipe import Recipe
from maskmill.metrics import EXTRA_METRICS, HEADLINE_METRICS, PIXELS, Metric
from maskmill.metrics.statistics import LEVEL
from maskmill.report.tuning import describe_steps
from maskmill.wording import count_of

Rows = list[dict[str, str]]
"""Rows of a table: title of the column → text."""

_TO = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"
_PERCENT = f"{100 * LEVEL:.0f}"


@dataclass(frozen=True)
class ModelCard:
    """Texts for people. headline: the IoU in one line; evidence: what the metrics are over."""

    headline: str
    classes: Rows
    metrics: Rows
    evidence: str
    data: Rows
    provenance: Rows


def read_card(bundle: Bundle) -> ModelCard:
    """The card of a bundle whose files have been checked."""
    content, parity = read_json(bundle.folder / "bundle.json"), read_json(bundle.folder / "parity.json")
    metrics, run = content["metrics"], next(iter(content["provenance"]["configs"].values()))
    return ModelCard(
        _headline(metrics),
        _classes(bundle.recipe),
        _metrics(metrics, bundle.recipe),
        _evidence(metrics, bundle.recipe),
        _facts(_data(run, bundle.recipe)),
        _facts(_provenance(content, parity, run, bundle.onnx)),
    )


def _facts(facts: Mapping[str, str]) -> Rows:
    return [{"what": what, "value": value} for what, value in facts.items()]


def _headline(metrics: Mapping[str, Any]) -> str:
    """Such as "test IoU 0.667 (95 % interval 0.587 to 0.736)"."""
    iou = metrics[MEAN]["iou"]
    interval = "" if iou["low"] is None else f" ({_PERCENT} % interval {show_range(iou)})"
    return f"test IoU {show_value(iou)}{interval}"


def _classes(recipe: Recipe) -> Rows:
    point = recipe.point.as_dict()
    return [
        {"class": name, "threshold": f"{threshold:g}", "then": describe_steps(point, value)}
        for value, (name, threshold) in enumerate(zip(recipe.classes.names, recipe.point.thresholds, strict=True), 1)
    ]


def _metrics(metrics: Mapping[str, Any], recipe: Recipe) -> Rows:
    """A row a metric, a column a class: mean and interval."""
    distances = "" if recipe.volumes else PIXELS
    extras = {name: metric for kind in EXTRA_METRICS.values() for name, metric in kind.items()}
    named = {name: metric for name, metric in (HEADLINE_METRICS | extras).items() if name in metrics[MEAN]}
    columns = [*recipe.classes.names, *([MEAN] if len(recipe.classes) > 1 else [])]
    return [
        {"metric": metric.title(distances) if distances else metric.label}
        | {class_title(column): _estimate(metrics[column], name, metric, distances) for column in columns}
        for name, metric in named.items()
    ]


def _estimate(of_class: Mapping[str, Any], name: str, metric: Metric, distances: str) -> str:
    if name not in of_class:
        return "–"
    unit = metric.unit(distances or "mm")
    interval = "" if of_class[name]["low"] is None else f" ({show_range(of_class[name], unit=unit)})"
    return f"{show_value(of_class[name], unit=unit)}{interval.replace(' to ', _TO)}"


def _evidence(metrics: Mapping[str, Any], recipe: Recipe) -> str:
    iou = metrics[MEAN]["iou"]
    over = describe_resampled(iou)
    intervals = "" if iou["low"] is None else f", with {_PERCENT} % intervals over {over}"
    cases = count_of(iou["n_cases"], "test volume" if recipe.volumes else "test picture")
    return f"Means over {cases} that no training and no choice has seen{intervals}."


def _data(run: Mapping[str, Any], recipe: Recipe) -> dict[str, str]:
    preprocessing, patch = recipe.preprocessing, run["train"]["patch"]
    ranges = preprocessing.intensity_ranges
    taken = "each picture’s own range" if ranges is None else describe_ranges(ranges)
    repeated = " (grey pictures are repeated)" if preprocessing.channels > 1 else ""
    return {
        "Channels": f"{preprocessing.channels}{repeated}",
        "Pixel type": ", ".join(preprocessing.pixel_types) or "not recorded",
        "Range of values": taken,
        "Scale": f"{preprocessing.scale:g} × the picture’s own, masks come back at full size",
        "Trained on patches of": " × ".join(str(side) for side in patch[-recipe.dimensions :]) + " pixels",
        "Tiles": " × ".join(str(side) for side in recipe.tiling.tile[-recipe.dimensions :]) + " pixels",
    }


def _provenance(
    content: Mapping[str, Any], parity: Mapping[str, Any], run: Mapping[str, Any], onnx: Path
) -> dict[str, str]:
    made, model = content["provenance"], run["model"]
    worst = parity["artifacts"][0]["worst"]["mask_disagreement"]["value"]  # ONNX Runtime in FP32, which the page runs
    agreement = f"at most {100 * worst:.2g} % of a mask’s pixels differ from PyTorch’s" if worst else "PyTorch’s masks"
    return {
        "Run": content["run_id"],
        "Experiment": run["experiment"],
        "Members": ", ".join(f"{one['member']} (run {one['run_id']})" for one in content["members"]),
        "Network": f"{model['architecture']}, {model['dimensions']}D, width {model['width']}, depth {model['depth']}",
        "Size": f"{onnx.stat().st_size / 1e6:.1f} MB (model.onnx)",
        "Export": f"{agreement} on {count_of(parity['pictures'], 'validation picture')}",
        "Model SHA-256": content["files"]["model.onnx"],
        "Made by": f"Maskmill {made['maskmill']}, Python {made['python']}",
    }
