"""What a training shows while it runs."""

import io
import sys

import pytest

import maskmill.training.display
from maskmill.training.display import duration, show_training
from maskmill.training.progress import Progress

ROW = {
    "epoch": 2, "loss": 0.5, "validation_loss": 0.6, "validation_iou": 0.7, "patches_per_second": 12.34,
    "waiting": 0.056,
}  # fmt: skip
BEST = {"epoch": 1, "iou": 0.8}


class Terminal(io.StringIO):
    """Takes what is written to a terminal."""

    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_loss_score_rate_and_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with show_training(epochs=5, patches=100, done=0, hidden=False) as display:
        display.advance(1, Progress(patches=100, loss=80.0))
        display.close_epoch(ROW, BEST)
        display.advance(3, Progress(patches=50, loss=20.0))
        display._bar.refresh()
    shown = terminal.getvalue().split("\r")[-1]
    assert "250/500" in shown
    assert "loss=0.8000" in shown
    assert "IoU=0.7000 (best 0.8000)" in shown
    assert "patches/s" in shown


def test_the_log_gets_a_line_an_epoch(caplog):
    caplog.set_level("INFO")
    with show_training(epochs=5, patches=100, done=100, hidden=False) as display:
        display.advance(2, Progress(patches=100, loss=80.0))
        display.close_epoch(ROW, BEST)
    (line,) = caplog.messages
    assert line.startswith(
        "epoch 2 of 5: loss 0.5000, validation: loss 0.6000, IoU 0.7000 (best: 0.8000 in epoch 1), 12.3 patches/s, "
        "6 % of the time waiting for data, 0 s left"
    )


def test_a_long_epoch_gets_lines_within(caplog, monkeypatch):
    monkeypatch.setattr(maskmill.training.display, "SECONDS_BETWEEN_LINES", -1)
    caplog.set_level("INFO")
    with show_training(epochs=5, patches=100, done=0, hidden=True) as display:
        display.advance(1, Progress(patches=25, loss=5.0))
    (line,) = caplog.messages
    assert line.startswith("25 % of epoch 1: loss 0.2000, ")
    assert line.endswith(" left")


def test_undefined_scores_are_called_so(caplog):
    caplog.set_level("INFO")
    with show_training(epochs=1, patches=1, done=0, hidden=True) as display:
        display.advance(1, Progress(patches=1, loss=1.0))
        display.close_epoch(ROW | {"validation_iou": None}, {"epoch": 2, "iou": None})
    assert "IoU undefined (best: undefined in epoch 2)" in caplog.text


def test_an_epoch_that_was_trained_before_has_no_rate(caplog):
    caplog.set_level("INFO")
    with show_training(epochs=5, patches=100, done=200, hidden=True) as display:
        display.close_epoch(ROW, BEST)
    assert caplog.text.rstrip().endswith("12.3 patches/s, 6 % of the time waiting for data, unknown time left")


@pytest.mark.parametrize(
    ("seconds", "words"), [(7.6, "8 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.7, "1 min 0 s")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
