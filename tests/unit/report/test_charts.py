"""The learning curves."""

import re

import pytest

from maskmill.report.charts import draw_losses, draw_reliability
from maskmill.report.results import Experiment, ExperimentFiles, Training, TrainingFiles


def experiment(name: str, losses: list[float]) -> Experiment:
    history = [{"epoch": i, "loss": loss, "validation_loss": loss} for i, loss in enumerate(losses, 1)]
    training = Training(TrainingFiles(*TrainingFiles._fields), {}, history)
    return Experiment(ExperimentFiles(name, [], "", ""), {}, [training])


@pytest.mark.parametrize(("losses", "highest"), [([900.0] + [0.5] * 40, 0.6), ([2.0, 1.5, 1.0], 2.0)])
def test_a_few_high_losses_do_not_flatten_the_others(losses, highest):
    drawing = draw_losses([experiment("baseline", losses)])
    ticks = [float(text) for text in re.findall(r">(\d+\.\d+)</text>", drawing)]
    assert highest <= max(ticks) < 1.3 * highest


@pytest.mark.parametrize("losses", [[2.0, float("nan"), 1.0, float("inf")], [float("nan")] * 3, [None, 1.0, 1.0]])
def test_losses_that_are_no_numbers_are_left_out(losses):
    drawing = draw_losses([experiment("baseline", losses)])
    ticks = [float(text) for text in re.findall(r">(\d+\.\d+)</text>", drawing)]
    assert 0.9 < max(ticks) <= 2


def test_the_legend_names_each_experiment_once_and_what_the_two_lines_are():
    drawing = draw_losses([experiment(name, [1.0, 0.5]) for name in ("baseline", "$x$")])
    assert [drawing.count(f">{text}</text>") for text in ("baseline", "$x$", "training", "validation")] == [1] * 4


def test_a_chart_grows_with_its_legend():
    def height(names: list[str]) -> float:
        return float(re.search(r'height="([\d.]+)pt"', draw_losses([experiment(name, [1.0]) for name in names]))[1])

    # two lines fit above the axes; names too long for two columns take a line each
    assert height(["a"]) == height(["a", "b"]) < height(["a", "b", "c"]) < height(["a" * 30, "b", "c"])


def test_reliability_has_the_classes_in_their_order_as_other_charts():
    bins = [{"pixels": 10, "probability": 0.0, "share": 0.1}, {"pixels": 1000, "probability": 1.0, "share": 1.0}]
    reliability = {"building": bins, "road": bins}  # files have keys in the order of the alphabet
    summary = {"classes": ["road", "building"], "extra": {"reliability": reliability}}
    rated = Experiment(ExperimentFiles("baseline", [], "", ""), summary, [])

    drawing = draw_reliability(rated, {"road": "#e69f00", "building": "#56b4e9"}, "salt")

    assert re.findall(r">(road|building)</text>", drawing) == ["road", "building"]
