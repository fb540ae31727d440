"""The option `postprocess.steps` and its areas."""

import pytest

from maskmill.steps import KINDS, StepOption, pixels_or_text, read_steps, split_area, tried_areas


def test_a_name_stands_for_the_usual_candidates():
    assert read_steps(["closing", "keep_largest"]) == [
        StepOption("closing", (1, 2, 3), None, False),
        StepOption("keep_largest", (None,), None, False),
    ]
    assert all(read_steps([name])[0].parameters for name in KINDS)


def test_a_parameter_is_a_value_or_several():
    options = [
        {"step": "remove_small", "area": 100},
        {"step": "fill_holes", "area": ["20 m2", 5, 5], "classes": ["roof"], "always": True},
    ]

    assert read_steps(options) == [
        StepOption("remove_small", (100,), None, False),
        StepOption("fill_holes", ("20 m2", 5), ("roof",), True),
    ]


def test_pixels_need_no_unit():
    assert [pixels_or_text(text) for text in ("100 px", "0.5px", "20 m2", "2.50mm3", 7)] == [
        100, 0.5, "20 m2", "2.5 mm3", 7
    ]  # fmt: skip
    assert split_area("12.5 m2") == (12.5, "m2")
    with pytest.raises(ValueError, match='"20 sqm" is no area'):
        split_area("20 sqm")


def test_areas_that_may_be_removed():
    options = ["fill_holes", {"step": "remove_small", "area": [50, "9 m2", 10]}, {"step": "remove_small", "area": 70}]

    assert tried_areas(options) == [0, 10, 50, 70]
    assert tried_areas([]) == [0]
