"""The learning curves."""

import re

import pytest

from maskmill.report.charts import draw_losses
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


def test_long_names_stand_one_a_line_above_the_axes():
    long = "rates-lr_0.001-batch_size_16-width_32"
    short, tall = (draw_losses([experiment(name, [1.0, 0.5])]) for name in ("a", long))
    heights = [float(re.search(r'height="([\d.]+)pt"', drawing)[1]) for drawing in (short, tall)]
    assert f">{long}, training</text>" in tall
    assert heights[0] == heights[1]  # two lines fit above the axes
