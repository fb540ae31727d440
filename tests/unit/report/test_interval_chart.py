"""The chart of means and their intervals."""

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
