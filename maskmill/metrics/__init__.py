"""Metrics of segmentation masks: what they are called, in which unit they are, and the columns of a table of them."""

from dataclasses import dataclass

PIXELS = "px"
"""Unit of distances in pictures. Those of volumes are in the unit of their spacing, mostly "mm"."""


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: `label` for people, whether it is a distance or a share of 1, and which way is better."""

    label: str
    is_distance: bool = False
    lower_is_better: bool = False

    def unit(self, distances: str) -> str:
        """Its unit, where `distances` is that of distances; "" for a share."""
        return distances if self.is_distance else ""

    def title(self, distances: str) -> str:
        """Its label with its unit, such as "HD95 (mm)"."""
        return f"{self.label} ({distances})" if self.is_distance else self.label


METRICS = {
    "iou": Metric("IoU"),
    "dice": Metric("Dice"),
    "precision": Metric("Precision"),
    "recall": Metric("Recall"),
    "boundary_f1": Metric("Boundary F1"),
    "hd95": Metric("HD95", is_distance=True, lower_is_better=True),
}

COUNT_COLUMNS = ("reference_pixels", "predicted_pixels", "tp", "fp", "fn")

CASE_COLUMNS = ("id", "group", "class", "unit", *COUNT_COLUMNS, *METRICS)
"""Columns of a metrics table: one row a case and class, an empty cell where a metric is undefined.

unit: that of distances, the same in all rows.
"""
