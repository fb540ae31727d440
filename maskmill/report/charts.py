"""The charts of the pages as SVG text: training curves, threshold curves, risk over coverage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from maskmill.report.results import Experiment
from maskmill.svg import COLOURS, MARKERS, draw_legend, svg_text

_EDGE = "#555555"
_FEW = 40  # points that are marked one by one


def draw_losses(experiments: Sequence[Experiment]) -> str:
    """Training loss (dashed) and validation loss (solid) over the epochs; one colour an experiment."""
    figure, axes = _chart("epoch", "loss")
    for style, column in (("--", "loss"), ("-", "validation_loss")):
        for index, experiment in enumerate(experiments):
            for number, training in enumerate(experiment.trainings):
                axes.plot(
                    [epoch["epoch"] for epoch in training.history],
                    [_or_nan(epoch[column]) for epoch in training.history],
                    color=COLOURS[index % len(COLOURS)],
                    linestyle=style,
                    linewidth=1.6,
                    label=experiment.name if style == "-" and not number else None,
                )
    for style, label in (("--", "training"), ("-", "validation")):
        axes.plot([], [], color=_EDGE, linestyle=style, linewidth=1.6, label=label)
    axes.set_ylim(0, _highest_loss(experiments))
    return _finish(figure, axes, "losses")


def _highest_loss(experiments: Sequence[Experiment]) -> float:
    """Where the axis of losses ends: a few high ones of the first epochs must not flatten all others.

    Losses that are no numbers have no place on it; 1 where there are no others.
    """
    losses = [
        epoch[column]
        for experiment in experiments
        for training in experiment.trainings
        for epoch in training.history
        for column in ("loss", "validation_loss")
        if epoch[column] is not None and np.isfinite(epoch[column])
    ]
    return 1.05 * min(max(losses), 1.5 * float(np.quantile(losses, 0.95))) if losses else 1.0


def draw_validation_iou(experiments: Sequence[Experiment]) -> str:
    """Validation IoU over the epochs, one colour an experiment, one line a member, the epoch kept marked."""
    figure, axes = _chart("epoch", "validation IoU at threshold 0.5")
    for index, experiment in enumerate(experiments):
        for number, training in enumerate(experiment.trainings):
            axes.plot(
                [epoch["epoch"] for epoch in training.history],
                [_or_nan(epoch["validation_iou"]) for epoch in training.history],
                color=COLOURS[index % len(COLOURS)],
                linewidth=1.6,
                marker=MARKERS[index % len(MARKERS)],
                markersize=7,
                markevery=[training.history.index(training.kept)],
                label=None if number else experiment.name,
            )
    axes.set_ylim(0, 1)
    return _finish(figure, axes, "validation")


def draw_thresholds(experiment: Experiment, colours: Mapping[str, str], salt: str) -> str:
    """Validation IoU of each class over the threshold, the threshold chosen marked; of the experiment's best member.

    colours: class → "#rrggbb". A dark edge keeps light ones visible on the white page.
    """
    figure, axes = _chart("threshold on the probability", "validation IoU")
    point = experiment.point
    thresholds = point["candidates"]["thresholds"]
    for index, (name, chosen) in enumerate(zip(experiment.summary["classes"], point["thresholds"], strict=True)):
        scores = [_or_nan(score) for score in point["validation"][name]["threshold_iou"]]
        (line,) = axes.plot(thresholds, scores, color=colours[name], linewidth=2)
        line.set_path_effects([Stroke(linewidth=3.2, foreground=_EDGE), Normal()])
        axes.plot(
            chosen,
            scores[thresholds.index(chosen)],
            color=colours[name],
            linewidth=2,
            marker=MARKERS[index % len(MARKERS)],
            markersize=7,
            markeredgecolor=_EDGE,
            label=name,
        )
    axes.axvline(0.5, color="#999999", linewidth=1, zorder=0)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _finish(figure, axes, salt)


def draw_reliability(experiment: Experiment, colours: Mapping[str, str], salt: str) -> str:
    """How often test pixels are of a class over the probability that they were given; the diagonal is perfect.

    colours: class → "#rrggbb". A mark's area grows with the logarithm of the pixels in its bin.
    """
    figure, axes = _chart("probability given, mean of its bin", "share of the pixels that are of the class")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, zorder=0)
    for index, name in enumerate(experiment.summary["classes"]):
        rows = experiment.results["extra"]["reliability"][name]
        places = [row["probability"] for row in rows], [row["share"] for row in rows]
        (line,) = axes.plot(*places, color=colours[name], linewidth=1.2)
        line.set_path_effects([Stroke(linewidth=2.2, foreground=_EDGE), Normal()])
        sizes = [6 + 12 * np.log10(row["pixels"]) for row in rows]
        marker = MARKERS[index % len(MARKERS)]
        axes.scatter(*places, sizes, color=colours[name], edgecolors=_EDGE, marker=marker, label=name, zorder=3)
    axes.set_xlim(-0.03, 1.03)  # marks at the ends stand whole
    axes.set_ylim(-0.03, 1.03)
    return _finish(figure, axes, salt)


def draw_risk_coverage(judged: Mapping[str, Any]) -> str:
    """Risk over coverage by confidence, by the IoU itself (the best there is), and in any order; of `judge_order`."""
    figure, axes = _chart("coverage: share of the pictures kept", "risk: 1 − IoU, mean of those kept")
    coverage = judged["coverage"]
    axes.axhline(judged["random_aurc"], color="#777777", linewidth=1.4, linestyle=":", label="in any order")
    axes.plot(
        coverage, judged["ideal_risk"], color=COLOURS[1], linewidth=1.6, linestyle="--", label="by the IoU itself"
    )
    axes.plot(
        coverage,
        judged["risk"],
        color=COLOURS[0],
        linewidth=1.8,
        marker=MARKERS[0] if len(coverage) <= _FEW else None,
        markersize=4,
        label="by confidence",
    )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, min(1.0, 1.15 * max(*judged["risk"], *judged["ideal_risk"]) + 0.01))
    return _finish(figure, axes, "risk")


def _chart(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _finish(figure: Figure, axes: Axes, salt: str) -> str:
    if axes.get_xlabel() == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw_legend(figure)
    return svg_text(figure, salt)


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
