"""Metrics of segmentation masks: what they are called, in which unit they are, and the columns of a table of them."""

from dataclasses import dataclass

PIXELS = "px"
"""Unit of distances in pictures. Those of volumes are in the unit of their spacing, mostly "mm"."""

LEVELS = 255
"""Probability 1 as it is stored: probabilities are multiples of 1/255."""


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: `label` for people, whether it is a distance or a share of 1, and which way is better.

    headline: whether it stands in the tables of pages; all metrics stand in the tables of files.
    """

    label: str
    is_distance: bool = False
    lower_is_better: bool = False
    headline: bool = False

    @property
    def best(self) -> float:
        """The value of a perfect mask."""
        return 0.0 if self.lower_is_better else 1.0

    def unit(self, distances: str) -> str:
        """Its unit, where `distances` is that of distances; "" for a share."""
        return distances if self.is_distance else ""

    def title(self, distances: str) -> str:
        """Its label with its unit, such as "HD95 (mm)"."""
        return f"{self.label} ({distances})" if self.is_distance else self.label


METRICS = {
    "iou": Metric("IoU", headline=True),
    "dice": Metric("Dice", headline=True),
    "precision": Metric("Precision", headline=True),
    "recall": Metric("Recall", headline=True),
    "specificity": Metric("Specificity"),
    "accuracy": Metric("Accuracy"),
    "boundary_f1": Metric("Boundary F1", headline=True),
    "boundary_iou": Metric("Boundary IoU"),
    "nsd": Metric("NSD"),
    "hd95": Metric("HD95", is_distance=True, lower_is_better=True, headline=True),
    "hd": Metric("HD", is_distance=True, lower_is_better=True),
    "assd": Metric("ASSD", is_distance=True, lower_is_better=True),
}
"""What is measured of every case."""

HEADLINE_METRICS = {name: metric for name, metric in METRICS.items() if metric.headline}

SIZE_BINS = {"tiny": 0, "small": 25, "medium": 32**2, "large": 96**2}
"""Pixels from which an object is in each bin; small, medium and large as COCO cuts them."""

EXTRA_METRICS = {
    "relaxed": {
        "relaxed_precision": Metric("Relaxed precision"),
        "relaxed_recall": Metric("Relaxed recall"),
        "break_even": Metric("Relaxed break-even"),
    },
    "rand": {"v_rand": Metric("V-Rand"), "v_info": Metric("V-Info")},
    "instances": {
        "pq": Metric("PQ"),
        "sq": Metric("SQ"),
        "rq": Metric("RQ"),
        "ap50": Metric("AP at IoU 0.5"),
        "ap": Metric("AP, mean over IoU"),
        "aji": Metric("AJI"),
    },
    "cldice": {"cldice": Metric("clDice")},
    "calibration": {
        "ece": Metric("ECE", lower_is_better=True),
        "brier": Metric("Brier score", lower_is_better=True),
    },
    "sizes": {f"recall_{name}": Metric(f"Recall of {name} objects") for name in SIZE_BINS},
}
"""What is measured besides where a task asks for it (option `evaluate.extra`): kind → metrics."""

ALL_METRICS = METRICS | {name: metric for kind in EXTRA_METRICS.values() for name, metric in kind.items()}

COUNT_COLUMNS = ("reference_pixels", "predicted_pixels", "tp", "fp", "fn", "tn")

CASE_COLUMNS = ("id", "group", "class", "unit", *COUNT_COLUMNS, *METRICS)
"""Columns of a metrics table: one row a case and class, an empty cell where a metric is undefined.

unit: that of distances, the same in all rows.
"""


def significant(value: float) -> float:
    """The number rounded to six significant digits, as tables hold it."""
    return float(f"{value:.6g}")
