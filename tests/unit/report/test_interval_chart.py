"""The chart of means and their intervals."""

import re

import pytest

from maskmill.report.interval_chart import Point, draw_intervals


def test_charts_show_a_dot_without_an_interval_and_nothing_without_a_mean():
    points = [
        Point("road", "baseline", 0.5, None, None),
        Point("road", "cbam", None, None, None),
        Point("building", "baseline", 0.7, 0.6, 0.8),
        Point("building", "cbam", 0.6, 0.5, 0.7),
    ]
    drawing = draw_intervals(points, "IoU", "salt")
    assert drawing == draw_intervals(points, "IoU", "salt")
    for text in ("road", "building", "baseline", "cbam", "IoU"):
        assert f">{text}</text>" in drawing


@pytest.mark.parametrize("name", ["a" * 120, "Sealed surface with vegetation cover (urban)", "two\u00a0words " * 12])
def test_long_names_leave_room_for_the_axes(name):
    """That there is room is known from matplotlib, which warns where it finds none; warnings are errors."""
    drawing = draw_intervals([Point(name, f"{name} {end}", 0.5, 0.4, 0.6) for end in "ab"], f"IoU of {name}", "salt")
    texts = re.findall(r">([^<>]+)</text>", drawing)
    assert max(map(len, texts)) <= 48
    assert {"a", "b"} == {text[-1] for text in texts if text[-2:-1] == " " and text[-1] in "ab"}  # still told apart


def test_short_names_stand_on_one_line():
    drawing = draw_intervals([Point("water and wet meadows", "baseline", 0.5, None, None)], "IoU", "salt")
    assert ">water and wet meadows</text>" in drawing
