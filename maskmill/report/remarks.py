"""What the report remarks on a run, and the measurements that remarks are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskmill.metrics.statistics import Interval

History = Sequence[Mapping[str, float | None]]
Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Remark:
    """A symptom with its figures, its likely cause, and what to try."""

    symptom: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """What was measured of a member.

    classes: names, without background. history: its epochs. kept_iou: validation IoU of the epoch kept.
    validation: rows of its metrics table on validation. means: its mean IoU on validation, and that on the test.
    point: its operating point and the scores behind it. seams: see `pool_seams`. config: its resolved options.
    recalls: class → recall on the test by size (`SIZE_BINS`), None where it was not measured. groups: of the test.
    """

    classes: Sequence[str]
    history: History
    kept_iou: float | None
    validation: Rows
    means: tuple[Interval, Interval]
    point: Mapping[str, Any]
    seams: Mapping[str, float | None]
    config: Mapping[str, Any]
    recalls: Mapping[str, Mapping[str, float | None]] | None
    groups: int
