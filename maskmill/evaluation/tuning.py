"""The operating point: thresholds and steps chosen on validation pictures, never on the test."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskmill.classes import Classes
from maskmill.data.cases import label_paths, read_cases_of_folds
from maskmill.evaluation.evidence import Evidence, ValidationCase
from maskmill.evaluation.selection import (
    Choice,
    Resampling,
    choose,
    deal_parts,
    mean_difference,
    mean_scores,
    nested_choices,
)
from maskmill.files import write_json
from maskmill.inference.postprocess import OperatingPoint, threshold_level
from maskmill.steps import THRESHOLD, StepOption, read_steps


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
    Each class's threshold is the one with the best mean IoU over pictures; then each step in
    turn has, for each class, the parameter with the best mean score, and is left out where it gains nothing. A picture
    where a class neither is nor is predicted does not count; one where it is predicted but absent counts as 0.

    Beside the operating point the file holds: candidates; pictures; samples; validation (of each class: threshold_iou,
    iou_at_half, iou, and nested_iou of pictures that had no part in the choice); optimism (of the mean over classes);
    ablation (a row for each class's threshold and each step and class, see `_ablation_rows`).
    """
    cases = read_cases_of_folds(samples, splits, folds, "validation")
    files = [
        ValidationCase(case, probabilities / f"{case.id}.npy", label)
        for case, label in zip(cases, label_paths(cases, labels), strict=True)
    ]
    steps, thresholds = read_steps(options["steps"]), options["thresholds"]
    evidence = Evidence(files, len(classes), steps, [_values_of(step, classes) for step in steps])
    curves = evidence.threshold_curves()
    chosen = choose(evidence, curves, thresholds, np.arange(len(files)))
    groups = [case.group for case in cases]
    resampling = deal_parts(groups)
    trials = nested_choices(evidence, curves, thresholds, resampling)
    apparent = evidence.final_scores(chosen.point)
    nested = _left_out(resampling, [evidence.final_scores(trial.point) for trial in trials])
    half = evidence.final_scores(OperatingPoint((0.5,) * len(classes)))
    scores = {"iou_at_half": half, "iou": apparent} | ({} if nested is None else {"nested_iou": nested})
    levels = [threshold_level(threshold) for threshold in thresholds]
    ablation = _ablation_rows(evidence, chosen, resampling, trials, groups, half)
    content = {
        "candidates": {"thresholds": list(thresholds), "steps": list(options["steps"])},
        "pictures": len(cases),
        "validation": _class_figures(classes, curves[..., levels], scores),
        "optimism": _optimism(apparent, nested, resampling, groups),
        "ablation": [row | {"class": classes.names[row["class"] - 1]} for row in ablation],
        "samples": [case.id for case in cases],
    }
    write_json(output, chosen.point.as_dict() | content)


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


def _left_out(resampling: Resampling, tables: Sequence[np.ndarray]) -> np.ndarray | None:
    """Of each case the row of the table that was chosen without it; None where nothing was left out."""
    if not tables:
        return None
    rows = np.empty_like(tables[0])
    for part, table in zip(resampling.parts, tables, strict=True):
        rows[part] = table[part]
    return rows


def _optimism(
    apparent: np.ndarray, nested: np.ndarray | None, resampling: Resampling, groups: Sequence[str]
) -> dict[str, Any]:
    """How much the mean IoU over classes is too good, since the pictures chose what they are scored with.

    resampled: what was left out in turn, `Resampling.units`; parts: how often. apparent, nested: mean IoU; difference:
    of the two, the optimism, with low and high. None where it cannot be told.
    """
    difference, low, high = (None,) * 3 if nested is None else mean_difference(apparent, nested, groups)
    figures = {
        "apparent": _mean_over_classes(apparent),
        "nested": None if nested is None else _mean_over_classes(nested),
        "difference": _rounded(difference),
        "low": _rounded(low),
        "high": _rounded(high),
    }
    return {"resampled": resampling.units, "parts": len(resampling.parts)} | figures


def _ablation_rows(
    evidence: Evidence,
    chosen: Choice,
    resampling: Resampling,
    trials: Sequence[Choice],
    groups: Sequence[str],
    half: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """What each threshold and step gains, given what comes before it: a row a class.

    step, class (1 … K), used (the parameter, true of a step without one, None where it is left out), measure,
    gain, low, high. The gain is measured on pictures that had no part in choosing the parameter, where there are such;
    of a step that is left out, it is what its best parameter would have brought. None where it cannot be judged.
    """
    for index, threshold in enumerate(chosen.point.thresholds):
        plain = [evidence.final_scores(OperatingPoint(one.point.thresholds)) for one in trials or [chosen]]
        with_it = plain[0] if not trials else _left_out(resampling, plain)
        figures = _gain(with_it[:, index], half[:, index], groups)
        yield {"step": THRESHOLD, "class": index + 1, "used": threshold, "measure": "iou"} | figures
    for number, option in enumerate(evidence.steps):
        used = {step.value: step.parameter for step in chosen.used[number]}
        for value in evidence.values[number]:
            pairs = [_step_pair(evidence, one, number, value - 1) for one in trials or [chosen]]
            pair = pairs[0] if not trials else _left_out(resampling, pairs)
            used_one = used.get(value) if option.kind.parameter else (value in used or None)
            yield {
                "step": option.step, "class": value, "used": used_one, "measure": option.kind.judged_by
            } | _gain(pair[:, 1], pair[:, 0], groups)  # fmt: skip


def _step_pair(evidence: Evidence, choice: Choice, number: int, index: int) -> np.ndarray:
    """Scores of a class without a step and with its best parameter: (cases, 2)."""
    table = evidence.step_scores(choice.before[number], number)[:, index]
    column = choice.best[number][index]
    return table[:, [0, column]] if column else np.full((len(table), 2), np.nan)


def _gain(with_it: np.ndarray, without: np.ndarray, groups: Sequence[str]) -> dict[str, float | None]:
    gain, low, high = mean_difference(with_it[:, np.newaxis], without[:, np.newaxis], groups)
    return {"gain": _rounded(gain), "low": _rounded(low), "high": _rounded(high)}


def _mean_over_classes(scores: np.ndarray) -> float | None:
    means = mean_scores(scores)
    return None if np.isnan(means).all() else _rounded(float(np.nanmean(means)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _listed(scores: np.ndarray) -> list[float | None]:
    return [None if np.isnan(score) else round(float(score), 6) for score in scores]
