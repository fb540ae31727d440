"""Means, medians and quartiles of metrics over cases and over classes, with intervals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from maskmill.errors import MaskmillError
from maskmill.files import read_table
from maskmill.metrics import ALL_METRICS, METRICS, significant
from maskmill.metrics.statistics import LEVEL, bootstrap_interval

MEAN = "mean"
"""Stands for the mean over classes where the name of a class is expected."""


@dataclass(frozen=True)
class CaseValues:
    """Metrics of cases: `values[metric]` is an array (cases, classes), NaN where undefined; cases are sorted by id.

    unit: that of distances. absent: boolean (cases, classes), where the reference is empty.
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    unit: str
    values: dict[str, np.ndarray]
    absent: np.ndarray

    def of(self, metric: str, class_name: str) -> np.ndarray:
        """Values (cases, 1) of a class, or (cases, classes) of all of them for `MEAN`."""
        return self._columns(self.values[metric], class_name)

    def absent_of(self, class_name: str) -> np.ndarray:
        """`absent` of a class or of all, shaped as `of` shapes values."""
        return self._columns(self.absent, class_name)

    def _columns(self, table: np.ndarray, class_name: str) -> np.ndarray:
        return table if class_name == MEAN else table[:, [self.classes.index(class_name)]]


def read_case_values(tables: Sequence[str | PathLike], metrics: Iterable[str] = METRICS) -> CaseValues:
    """Read these metrics from the tables of an experiment's members and average each case's values over the members.

    A value undefined for some members is the mean of the others'; but where the reference is empty, members that found
    nothing count as perfect beside others that found something. Raises MaskmillError if the tables disagree.
    """
    return case_values([row for table in tables for row in read_table(table)], metrics)


def case_values(rows: Sequence[Mapping[str, Any]], metrics: Iterable[str] = METRICS) -> CaseValues:
    """These metrics of the rows of tables, as `read_case_values` does; undefined values are None or ""."""
    classes = tuple(dict.fromkeys(row["class"] for row in rows))
    if MEAN in classes:
        raise MaskmillError(f'a class is called "{MEAN}", which stands for the mean over classes; rename it')
    units = sorted({row["unit"] for row in rows})
    if len(units) > 1:
        raise MaskmillError(
            f"distances are in {' and '.join(units)}; evaluate all masks again, so that they are measured alike"
        )
    groups = {row["id"]: row["group"] for row in rows}
    ids = tuple(sorted(groups))
    row_of, column_of = ({key: i for i, key in enumerate(keys)} for keys in (ids, classes))
    place = tuple(np.array([(row_of[row["id"]], column_of[row["class"]]) for row in rows], int).reshape(-1, 2).T)
    shape = len(ids), len(classes)
    absent = np.zeros(shape, bool)
    absent[place] = [str(row["reference_pixels"]) == "0" for row in rows]
    values = {}
    for metric in metrics:
        cells = np.array([np.nan if row[metric] in (None, "") else row[metric] for row in rows], float)
        found = np.zeros(shape, bool)
        np.logical_or.at(found, place, ~np.isnan(cells))
        cells[np.isnan(cells) & (absent & found)[place]] = ALL_METRICS[metric].best
        sums, counts = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, place, np.nan_to_num(cells))
        np.add.at(counts, place, ~np.isnan(cells))
        values[metric] = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
    return CaseValues(ids, tuple(groups[case] for case in ids), classes, *units, values, absent)


def summarize_cases(cases: CaseValues, metric: str, class_name: str) -> dict[str, Any]:
    """mean, median, q1, q3, low, high, resampled, n_cases, n_groups and undefined of a class, or of `MEAN`, rounded."""
    values = cases.of(metric, class_name)
    interval = asdict(bootstrap_interval(values, cases.groups, level=LEVEL))
    summary = {
        "mean": interval.pop("estimate"),
        "median": over_classes(np.median, values),
        "q1": over_classes(partial(np.quantile, q=0.25), values),
        "q3": over_classes(partial(np.quantile, q=0.75), values),
        **interval,
    }
    return {key: significant(value) if isinstance(value, float) else value for key, value in summary.items()}


def over_classes(statistic: Callable, values: np.ndarray) -> float | None:
    """Mean over the classes of a statistic of their defined cases, rounded; None where there are none."""
    columns = [column[~np.isnan(column)] for column in values.T]
    results = [statistic(column) for column in columns if column.size]
    return significant(float(np.mean(results))) if results else None
