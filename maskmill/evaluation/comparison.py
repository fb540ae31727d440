"""Compare experiments on the test cases: a table of differences, and the verdict in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from os import PathLike
from typing import Any

from maskmill.errors import MaskmillError
from maskmill.evaluation.averages import MEAN, CaseValues, read_case_values
from maskmill.evaluation.summary import deployed_results, extra_columns
from maskmill.files import read_json
from maskmill.metrics import ALL_METRICS
from maskmill.metrics.statistics import (
    ALIKE,
    BETTER,
    LEVEL,
    MIN_GROUPS,
    TOO_FEW,
    WORSE,
    judge_together,
    min_groups_for_verdict,
    paired_difference,
)
from maskmill.wording import count_of, signed

COMPARISON_COLUMNS = (
    "experiment",
    "class",
    "metric",
    "unit",
    "mean",
    "median",
    "q1",
    "q3",
    "member_mean",
    "member_low",
    "member_high",
    "low",
    "high",
    "resampled",
    "n_cases",
    "n_groups",
    "undefined",
    "compared_with",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
    "paired_cases",
    "paired_groups",
    "verdict",
    "groups_for_verdict",
)

HEADLINE = "iou"


@dataclass(frozen=True)
class Results:
    """Test results of what an experiment deploys: its summary (`deployed_results`) and the values of its cases.

    members: class → metric → the summary of its members by themselves. There, in `test` of the summary and in the
    values of cases the extra metrics stand beside the others.
    """

    name: str
    summary: Mapping[str, Any]
    members: Mapping[str, Any]
    cases: CaseValues


@dataclass(frozen=True)
class Comparison:
    """The results of all experiments, and the rows of comparison.csv (`COMPARISON_COLUMNS`)."""

    results: list[Results]
    rows: list[dict[str, Any]]

    @property
    def first(self) -> Results:
        """The experiment that the others are held to."""
        return self.results[0]


def compare_results(
    experiments: Sequence[str],
    summaries: Sequence[str | PathLike],
    metrics: Sequence[str | PathLike],
    extra: Sequence[str | PathLike] = (),
) -> Comparison:
    """Compare the test results of experiments; the first is what the others are held to.

    summaries: summary.json of each experiment. metrics: the test metrics tables of the first experiment's members,
    then those of the second's, and so on; each experiment has the same number of members. Where ensembles are deployed,
    one table an experiment, its ensemble's. extra: the tables of their extra metrics in the same order, or none.
    A difference is experiment − first, paired by case, each case's value averaged over the experiment's members; the
    differences of one class and metric are judged together (Holm), the more experiments, the stricter.
    """
    if not experiments or len(summaries) != len(experiments) or len(metrics) % len(experiments):
        raise MaskmillError(
            f"{len(experiments)} experiments come with {len(summaries)} summaries and {len(metrics)} metrics tables; "
            "give one summary an experiment and the same number of tables for each"
        )
    if extra and len(extra) != len(metrics):
        raise MaskmillError(f"{len(metrics)} metrics tables come with {len(extra)} of extra metrics; give as many")
    share = len(metrics) // len(experiments)
    results = []
    for i, (name, file) in enumerate(zip(experiments, summaries, strict=True)):
        own = slice(i * share, (i + 1) * share)
        summary, cases = read_json(file), _read_cases(metrics[own], extra[own])
        deployed = deployed_results(summary)
        results.append(Results(name, deployed | {"test": _test_of(deployed)}, _test_of(summary), cases))
    _check_alike(results)
    differences = _differences(results)
    return Comparison(results, [row for result in results for row in _rows(result, results[0], differences)])


def _read_cases(metrics: Sequence[str | PathLike], extra: Sequence[str | PathLike]) -> CaseValues:
    """The values of the cases of an experiment, of extra metrics too where there are such tables."""
    cases = read_case_values(metrics)
    if not extra:
        return cases
    more = read_case_values(extra, extra_columns(extra[0]))
    if (more.ids, more.classes) != (cases.ids, cases.classes):
        raise MaskmillError(f"{extra[0]} has other cases or classes than {metrics[0]}; evaluate the masks again")
    return replace(cases, values=cases.values | more.values)


def _test_of(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """class → metric → its summary on the test, of extra metrics too."""
    extra = summary.get("extra", {}).get("test", {})
    return {name: metrics | extra.get(name, {}) for name, metrics in summary["test"].items()}


def _check_alike(results: Sequence[Results]) -> None:
    first = results[0]
    odd = [result.name for result in results if result.cases.classes != first.cases.classes]
    if odd:
        raise MaskmillError(
            f"experiments with other classes than {first.name} ({', '.join(first.cases.classes)}): {', '.join(odd)}; "
            "evaluate them all with the same dataset.classes"
        )
    odd = [f"{result.name} ({result.cases.unit})" for result in results if result.cases.unit != first.cases.unit]
    if odd:
        raise MaskmillError(
            f"distances of {first.name} are in {first.cases.unit}, others in another unit: {', '.join(odd)}; "
            "evaluate them all anew on the same data set"
        )


def _rows(result: Results, first: Results, differences: Mapping[tuple, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of comparison.csv of an experiment: class by class and the mean over classes, metric by metric."""
    for class_name, name in _measured(first):
        summary = result.summary["test"][class_name][name]
        unit = ALL_METRICS[name].unit(result.cases.unit)
        row = {"experiment": result.name, "class": class_name, "metric": name, "unit": unit}
        alone = result.members[class_name][name]
        members = {"member_mean": alone["mean"], "member_low": alone["member_low"], "member_high": alone["member_high"]}
        yield row | summary | members | differences.get((result.name, class_name, name), {})


def _measured(result: Results) -> Iterator[tuple[str, str]]:
    """Every class, and their mean, with every metric that is measured."""
    return product((*result.cases.classes, MEAN), result.cases.values)


def _differences(results: Sequence[Results]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Columns of (experiment, class, metric): the difference from the first, all experiments' judged together."""
    first, *others = results
    groups = dict(zip(first.cases.ids, first.cases.groups, strict=True))
    columns = {}
    for class_name, metric in _measured(first):
        values = [dict(zip(r.cases.ids, r.cases.of(metric, class_name), strict=True)) for r in results]
        absent = dict(zip(first.cases.ids, first.cases.absent_of(class_name), strict=True))
        lower = ALL_METRICS[metric].lower_is_better
        alone = [paired_difference(one, values[0], groups, lower, absent) for one in values[1:]]
        for result, difference in zip(others, judge_together(alone, lower), strict=True):
            columns[result.name, class_name, metric] = {
                "compared_with": first.name,
                "difference": difference.interval.estimate,
                "difference_low": difference.interval.low,
                "difference_high": difference.interval.high,
                "p": difference.p,
                "p_holm": difference.p_holm,
                "paired_cases": difference.interval.n_cases,
                "paired_groups": difference.interval.n_groups,
                "verdict": difference.verdict,
                "groups_for_verdict": min_groups_for_verdict(together=len(others)),
            }
    return columns


def verdict_sentence(row: Mapping[str, Any]) -> str:
    """The row of an experiment other than the first in words."""
    name, first, metric = row["experiment"], row["compared_with"], ALL_METRICS[row["metric"]]
    verdict = {
        BETTER: f"{name} is better than {first}",
        WORSE: f"{name} is worse than {first}",
        ALIKE: f"{name} and {first} cannot be told apart{_test_result(row)}",
        TOO_FEW: f"There are too few groups to tell {name} and {first} apart",
    }[row["verdict"]]
    if row["difference"] is None:
        return f"{verdict}: they have no test picture in common that has a value."
    label = f"mean {metric.label}" if row["class"] == MEAN else f"{metric.label} of {row['class']}"
    unit = f" {row['unit']}" if row["unit"] else ""
    sentence = f"{verdict}: on {count_of(row['paired_groups'], 'group')} ({count_of(row['paired_cases'], 'picture')}) "
    sentence += f"{label} differs by {show_value(row, 'difference')}{unit}"
    if row["difference_low"] is not None:
        over = "" if row["paired_groups"] >= MIN_GROUPS else "interval over single pictures "
        sentence += f" ({over}{show_range(row, 'difference')})"
    if row["verdict"] == TOO_FEW:
        sentence += f"; a verdict needs at least {row['groups_for_verdict']} groups in the test split"
    return sentence + "."


def _test_result(row: Mapping[str, Any]) -> str:
    """Why a difference is no verdict though its interval leaves out zero, in parentheses; empty where it does not."""
    low, high = row["difference_low"], row["difference_high"]
    if row["p_holm"] is None or low is None or low <= 0 <= high:
        return ""
    adjusted = "" if row["p_holm"] == row["p"] else "adjusted for the number of experiments "
    return (
        f" ({adjusted}p = {row['p_holm']:.2g}, which would have to be below {1 - LEVEL:.2g}, "
        "though the interval leaves out zero)"
    )


def headline_sentences(comparison: Comparison) -> list[str]:
    """What the comparison comes to in words: a sentence on each experiment but the first, or on the only one."""
    chosen = [row for row in comparison.rows if row["class"] == MEAN and row["metric"] == HEADLINE]
    if len(chosen) > 1:
        return [verdict_sentence(row) for row in chosen[1:]]
    first, label = comparison.first, ALL_METRICS[HEADLINE].label
    value = f"{show_value(chosen[0])} ({describe_interval(chosen[0], first.summary['level'])})"
    return [f"There is one experiment, {first.name}: mean {label} {value} on the test split."]


def describe_interval(row: Mapping[str, Any], level: float) -> str:
    """The interval of the mean in words, and over what it is: "95 % interval over single pictures 0.790 to 0.834"."""
    if row["low"] is None:
        return "too few pictures for an interval"
    over = "" if row["resampled"] == "groups" else " over single pictures"
    return f"{100 * level:.0f} % interval{over} {show_range(row)}"


def class_title(class_name: str) -> str:
    """A class as pages name it, their mean in words."""
    return "mean over classes" if class_name == MEAN else class_name


def describe_resampled(row: Mapping[str, Any]) -> str:
    """What the interval of a row is over: "6 groups", "single pictures", or "nothing" where there is none."""
    names = {"groups": count_of(row["n_groups"], "group"), "cases": "single pictures"}
    return names.get(row["resampled"], row["resampled"])


def show_value(row: Mapping[str, Any], key: str = "mean", unit: str = "") -> str:
    """The "mean" or "difference" of a row of comparison.csv for people, such as "0.812" or "+0.020"; "–" if none.

    unit: of the metric where the row does not say it; numbers with a unit have one decimal, shares three.
    """
    if row[key] is None:
        return "–"
    return _show(row[key], row.get("unit", unit), is_difference=key == "difference")


def show_range(row: Mapping[str, Any], key: str = "mean", unit: str = "") -> str:
    """The interval of the "mean" or "difference" of a row, such as "0.790 to 0.834", or that there is none.

    key: "member" for the range of the members' means.
    """
    prefix = "" if key == "mean" else f"{key}_"
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    if low is None:
        return "no interval"
    return " to ".join(_show(end, row.get("unit", unit), is_difference=key == "difference") for end in (low, high))


def _show(value: float, unit: str, is_difference: bool) -> str:
    decimals = 1 if unit else 3
    return signed(value, decimals) if is_difference else f"{value:.{decimals}f}"
