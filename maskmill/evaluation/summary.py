"""Summarise an experiment: its members, the best of them, and its test metrics with intervals."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import yaml

from maskmill.evaluation.averages import MEAN, CaseValues, over_classes, read_case_values, summarize_cases
from maskmill.evaluation.measure import count_outcomes
from maskmill.files import read_json, read_table, write_json
from maskmill.metrics import EXTRA_METRICS, METRICS, significant
from maskmill.metrics.calibration import join_reliability
from maskmill.metrics.statistics import LEVEL


class Member(NamedTuple):
    """One training of an experiment and its files: config.yaml, history.csv, and its validation and test metrics."""

    name: str
    config: str | PathLike
    history: str | PathLike
    validation: str | PathLike
    test: str | PathLike


def extra_columns(table: str | PathLike) -> list[str]:
    """The metrics of `EXTRA_METRICS` that a table has."""
    columns = read_table(table)[0]
    return [name for kind in EXTRA_METRICS.values() for name in kind if name in columns]


def summarize_experiment(
    experiment: str,
    members: Sequence[Member],
    tolerance: float,
    output: str | PathLike,
    extra: Sequence[str | PathLike] = (),
    pooled: Sequence[str | PathLike] = (),
    ensemble: str | PathLike | None = None,
    ensemble_extra: Sequence[str | PathLike] = (),
    ensemble_pooled: Sequence[str | PathLike] = (),
) -> None:
    """Write an experiment's summary.json.

    experiment, run_ids, classes, unit (of distances), boundary_tolerance (in that unit), level (of the intervals);
    members: what each was (fold, seed, run_id, epochs, training_seconds) and its validation means;
    best_member: highest validation mean IoU, the first name among equals;
    test: class (and "mean", over classes) → metric → mean, median, q1, q3 (quartiles), low, high, resampled, n_cases,
        n_groups, undefined, each case's value averaged over the members first; member_low, member_high: the smallest
        and largest of the members' own means;
    outcomes: class → counts of empty masks over all members (see `count_outcomes`);
    extra: metrics (names of the extra metrics, in the tables `extra`), test as above, and pooled: class → metric →
        value over all pixels together, mean of the members' (in the files `pooled`); where calibration is measured,
        reliability: class → bins of all members' pixels. Without such files, not there;
    ensemble: test, outcomes and extra, as above, of the masks that the members make together. Without its table, not
        there.
    """
    described = [_describe_member(member) for member in members]
    best = max(sorted(described, key=lambda m: m["member"]), key=lambda m: _or_least(m["validation"]["mean_iou"]))
    tables = [member.test for member in members]
    cases = read_case_values(tables)
    content = {
        "experiment": experiment,
        "run_ids": [member["run_id"] for member in described],
        "classes": list(cases.classes),
        "unit": cases.unit,
        "boundary_tolerance": tolerance,
        "level": LEVEL,
        "members": described,
        "best_member": best["member"],
        "test": _summarize_classes(tables),
        "outcomes": count_outcomes(row for table in tables for row in read_table(table)),
    }
    if extra:
        content["extra"] = _summarize_extra(extra, pooled)
    if ensemble is not None:
        content["ensemble"] = {
            "test": _summarize_classes([ensemble]),
            "outcomes": count_outcomes(read_table(ensemble)),
        }
        if ensemble_extra:
            content["ensemble"]["extra"] = _summarize_extra(ensemble_extra, ensemble_pooled)
    write_json(output, content)


def deployed_results(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A summary whose test, outcomes and extra are those of what is deployed: of the ensemble where there is one."""
    return {**summary, **summary.get("ensemble", {})}


def validation_score(point: Mapping[str, Any]) -> float | None:
    """Mean IoU on validation at an operating point (see `choose_operating_point`), None where none is defined.

    It is that of pictures that had no part in its choice, or of all where the choice could not be repeated.
    """
    optimism = point["optimism"]
    return optimism["apparent"] if optimism["nested"] is None else optimism["nested"]


def _summarize_extra(tables: Sequence[str | PathLike], pooled: Sequence[str | PathLike]) -> dict[str, Any]:
    metrics = extra_columns(tables[0])
    wholes = [read_json(file) for file in pooled]
    content = {
        "metrics": metrics,
        "test": _summarize_classes(tables, metrics),
        "pooled": {
            name: {metric: _mean([whole[name][metric] for whole in wholes]) for metric in metrics if metric in values}
            for name, values in wholes[0].items()
        },
    }
    if all("reliability" in values for values in wholes[0].values()):
        tables = {name: join_reliability(whole[name]["reliability"] for whole in wholes) for name in wholes[0]}
        content["reliability"] = {
            name: [row | {key: significant(row[key]) for key in ("probability", "share")} for row in rows]
            for name, rows in tables.items()
        }
    return content


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return significant(float(np.mean(defined))) if defined else None


def _describe_member(member: Member) -> dict[str, Any]:
    with open(member.config, encoding="utf-8") as file:
        config = yaml.safe_load(file)
    history = read_table(member.history)
    validation = read_case_values([member.validation])
    return {
        "member": member.name,
        "fold": config["fold"],
        "seed": config["seed"],
        "run_id": config["run_id"],
        "epochs": len(history),
        "training_seconds": round(sum(float(epoch["seconds"]) for epoch in history), 1),
        "validation": {f"mean_{metric}": over_classes(np.mean, validation.values[metric]) for metric in METRICS},
    }


def _summarize_classes(
    tables: Sequence[str | PathLike], metrics: Iterable[str] = METRICS
) -> dict[str, dict[str, dict[str, Any]]]:
    """class, or `MEAN` → metric → summary; tables: one a member."""
    metrics = tuple(metrics)
    cases, members = read_case_values(tables, metrics), [read_case_values([table], metrics) for table in tables]
    return {
        name: {metric: _summarize(cases, members, metric, name) for metric in metrics}
        for name in (*cases.classes, MEAN)
    }


def _summarize(cases: CaseValues, members: Sequence[CaseValues], metric: str, class_name: str) -> dict[str, Any]:
    means = [over_classes(np.mean, member.of(metric, class_name)) for member in members]
    defined = [mean for mean in means if mean is not None]
    spread = {"member_low": min(defined, default=None), "member_high": max(defined, default=None)}
    return summarize_cases(cases, metric, class_name) | spread


def _or_least(value: float | None) -> float:
    return -np.inf if value is None else value
