"""Metrics of segmentation masks: what they are called, in which unit they are, and the columns of a table of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: `label` for people, `unit` ("" for a share between 0 and 1), and which way is better."""

    label: str
    unit: str = ""
    lower_is_better: bool = False


METRICS = {
    "iou": Metric("IoU"),
    "dice": Metric("Dice"),
    "precision": Metric("Precision"),
    "recall": Metric("Recall"),
    "boundary_f1": Metric("Boundary F1"),
    "hd95": Metric("HD95", unit="px", lower_is_better=True),
}

COUNT_COLUMNS = ("reference_pixels", "predicted_pixels", "tp", "fp", "fn")

CASE_COLUMNS = ("id", "group", "class", *COUNT_COLUMNS, *METRICS)
"""Columns of a metrics table: one row a case and class, an empty cell where a metric is undefined."""
