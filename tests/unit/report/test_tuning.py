"""The choice of an operating point in words."""

import pytest

from maskmill.report.tuning import describe_gain, describe_optimism, describe_steps, describe_used

POINT = {
    "thresholds": [0.5, 0.4],
    "steps": [
        {"step": "fill_holes", "class": 1, "area": "20 m2"},
        {"step": "keep_largest", "class": 1},
    ],
}


def test_steps_of_a_class():
    assert describe_steps(POINT, 1) == "fill holes (area 20 m2), keep largest"
    assert describe_steps(POINT, 2) == "none"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"step": "temperature", "used": 1, "gain": 0}, "1"),
        ({"step": "threshold", "used": 0.45, "gain": 0}, "0.45"),
        ({"step": "remove_small", "used": 100, "gain": 0.1}, "area 100"),
        ({"step": "keep_largest", "used": True, "gain": 0.1}, "used"),
        ({"step": "keep_largest", "used": None, "gain": -0.1}, "left out"),
        ({"step": "split_touching", "used": None, "gain": None}, "left out: cannot be judged"),
    ],
)
def test_what_became_of_a_choice(row, words):
    assert describe_used(row) == words


def test_gains():
    row = {"gain": 0.0123, "low": -0.001, "high": 0.02, "measure": "pq"}

    assert describe_gain(row) == "+0.012 PQ (−0.001 to +0.020)"
    assert describe_gain(row | {"low": None, "measure": "iou"}) == "+0.012 IoU"
    assert describe_gain(row | {"gain": None}) == "–"


def test_optimism():
    optimism = {"resampled": "groups", "parts": 4, "apparent": 0.9, "nested": 0.88, "difference": 0.02}

    assert describe_optimism(optimism | {"low": 0.01, "high": 0.03}) == (
        "The validation IoU is 0.900 as chosen and 0.880 on groups left out of the choice in turn: +0.020 is owed to "
        "the choice itself, interval +0.010 to +0.030."
    )
    assert "interval" not in describe_optimism(optimism | {"low": None, "high": None})


@pytest.mark.parametrize(
    ("resampled", "reason"), [("nothing", "There is one validation picture: "), ("cases", "Validation has no IoU: ")]
)
def test_optimism_that_cannot_be_told(resampled, reason):
    unknown = {"resampled": resampled, "apparent": None, "nested": 0.0, "difference": None, "low": None, "high": None}
    assert describe_optimism(unknown).startswith(reason)
    assert describe_optimism(unknown).endswith("cannot be told.")
