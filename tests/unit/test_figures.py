"""Figures of a training."""

import numpy as np
from PIL import Image

from maskmill.classes import Classes
from maskmill.figures import BLUE, GREEN, ORANGE, draw_patches, plot_history

HISTORY = [
    {"epoch": 1, "loss": 1.0, "validation_loss": 1.2, "validation_iou": None, "lr": 1e-3},
    {"epoch": 2, "loss": 0.5, "validation_loss": 0.7, "validation_iou": 0.6, "lr": 8e-4},
    {"epoch": 3, "loss": 0.4, "validation_loss": 0.8, "validation_iou": 0.5, "lr": 1e-4},
]


def test_history_shows_every_curve_and_is_the_same_when_drawn_again(tmp_path):
    for name in ("a.png", "b.png"):
        plot_history(HISTORY, best_epoch=2, path=tmp_path / name)
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert picture.shape == (900, 840, 3)
    for colour in (BLUE, ORANGE, GREEN):
        wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        assert (picture == wanted).all(axis=2).sum() > 10
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_single_epoch_without_a_score_is_a_figure_too(tmp_path):
    plot_history(HISTORY[:1], best_epoch=1, path=tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (840, 900)


def test_patches_show_picture_reference_and_prediction():
    classes = Classes.from_config({"a": "#ff0000", "b": "#0000ff"})
    images = np.zeros((2, 3, 4, 5), np.float32)
    images[0, 0] = 2
    labels = np.zeros((2, 4, 5), np.uint8)
    labels[0], labels[1, 0] = 1, 255
    probabilities = np.zeros((2, 2, 4, 5), np.float32)
    probabilities[0, 1] = 1
    drawn = draw_patches(images, labels, probabilities, classes)
    assert drawn.shape == (8, 15, 3)
    assert drawn.dtype == np.uint8
    assert [tuple(map(int, drawn[0, column])) for column in (0, 5, 10)] == [(255, 0, 0), (255, 0, 0), (0, 0, 255)]
    assert [tuple(map(int, drawn[4, column])) for column in (0, 5, 10)] == [(0, 0, 0), (255, 255, 255), (0, 0, 0)]
    assert draw_patches(images[:, :1], labels, probabilities, classes).shape == (8, 15, 3)
