"""The operating point: temperature, thresholds and steps chosen on validation pictures, never on the test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import Classes
from maskmill.data.cases import label_paths, read_cases_of_folds
from maskmill.evaluation.evidence import Evidence, ValidationCase
from maskmill.evaluation.selection import mean_difference, mean_scores
from maskmill.evaluation.trials import Trials, make_trials, rounded
from maskmill.files import write_json
from maskmill.steps import StepOption, read_steps


def choose_operating_point(
    probabilities: Path,
    labels: Sequence[Path],
    samples: Path,
    splits: Path,
    classes: Classes,
    folds: Sequence[int],
    options: Mapping[str, Any],
    output: Path,
) -> None:
    """Choose on the validation pictures of `folds` and write the choice with the scores behind it as JSON.

    probabilities: of each picture by members that were not trained on it. options: `postprocess`.
    The temperature is the one with the least negative log-likelihood of the labels; each class's threshold the one with
    the best mean IoU over pictures; then each step in turn has, for each class, the parameter with the best mean score,
    and is left out where it gains nothing. What loses on pictures that had no part in choosing its parameter is not
    used either. A picture where a class neither is nor is predicted does not count; one where it is predicted but
    absent counts as 0.

    Beside the operating point the file holds: candidates; pictures; samples; validation (of each class: threshold_iou,
    iou_at_half, iou, and nested_iou of pictures that had no part in the choice); optimism (of the mean over classes);
    ablation (a row for the temperature, each class's threshold and each step and class, see `Gain`).
    """
    cases = read_cases_of_folds(samples, splits, folds, "validation")
    files = [
        ValidationCase(case, probabilities / f"{case.id}.npy", label)
        for case, label in zip(cases, label_paths(cases, labels), strict=True)
    ]
    steps, candidates = read_steps(options["steps"]), {name: options[name] for name in ("temperatures", "thresholds")}
    evidence = Evidence(
        files, len(classes), **candidates, steps=steps, values=[_values_of(step, classes) for step in steps]
    )
    trials = make_trials(evidence, [case.group for case in cases])
    scores = {"iou_at_half": trials.at_half, "iou": trials.apparent}
    nested = {} if trials.nested is None else {"nested_iou": trials.nested}
    curves = evidence.threshold_scores(trials.chosen.point.temperature)
    content = {
        "candidates": candidates | {"steps": list(options["steps"])},
        "pictures": len(cases),
        "validation": _class_figures(classes, curves, scores | nested),
        "optimism": _optimism(trials),
        "ablation": [gain.as_row(classes.names) for gain in trials.gains],
        "samples": [case.id for case in cases],
    }
    write_json(output, trials.chosen.point.as_dict() | content)


def _values_of(step: StepOption, classes: Classes) -> list[int]:
    """The classes (1 … K) that a step works on."""
    return [value for value, name in enumerate(classes.names, 1) if step.classes is None or name in step.classes]


def _class_figures(
    classes: Classes, curves: np.ndarray, scores: Mapping[str, np.ndarray]
) -> dict[str, dict[str, float | list[float | None] | None]]:
    """Means over cases of each class; curves: IoU at each threshold (cases, K, thresholds), scores: (cases, K)."""
    curve, means = mean_scores(curves), {key: _listed(mean_scores(values)) for key, values in scores.items()}
    return {
        name: {"threshold_iou": _listed(curve[index])} | {key: values[index] for key, values in means.items()}
        for index, name in enumerate(classes.names)
    }


def _optimism(trials: Trials) -> dict[str, Any]:
    """How much the mean IoU over classes is too good, since the pictures chose what they are scored with.

    resampled: what was left out in turn, `Resampling.units`; parts: how often. apparent, nested: mean IoU; difference:
    of the two, the optimism, with low and high. None where it cannot be told.
    """
    apparent, nested, resampling = trials.apparent, trials.nested, trials.resampling
    difference, low, high = (None,) * 3 if nested is None else mean_difference(apparent, nested, trials.groups)
    figures = {
        "apparent": _mean_over_classes(apparent),
        "nested": None if nested is None else _mean_over_classes(nested),
        "difference": rounded(difference),
        "low": rounded(low),
        "high": rounded(high),
    }
    return {"resampled": resampling.units, "parts": len(resampling.parts)} | figures


def _mean_over_classes(scores: np.ndarray) -> float | None:
    means = mean_scores(scores)
    return None if np.isnan(means).all() else rounded(float(np.nanmean(means)))


def _listed(scores: np.ndarray) -> list[float | None]:
    return [None if np.isnan(score) else round(float(score), 6) for score in scores]
