"""What the report says of confidence."""

from maskmill.metrics.selective import REVERSES
from maskmill.report.uncertainty import describe_order


def test_a_correlation_is_told_with_its_interval_and_a_minus_as_elsewhere():
    found = {"estimate": -0.75, "low": -1.0, "high": 0.126, "n_groups": 7, "n_cases": 9, "resampled": "groups"}

    text = describe_order({"cases": 9, "level": 0.95, "correlation": found | {"verdict": REVERSES}})

    assert text.startswith("The model is surer of worse masks")
    assert text.endswith("with IoU is −0.75 (95 % interval over 7 groups −1.00 to +0.13).")
