"""What is shown of a picture is of a size for screens, and in the colours of the classes."""

import numpy as np
import pytest

from maskmill.classes import IGNORE, Classes
from maskmill.serving.drawing import draw_mask, draw_overlay, draw_picture, draw_uncertainty, shown_size

CLASSES = Classes.from_config({"roof": "#ff0000", "road": "#0000ff"})


@pytest.mark.parametrize(
    ("size", "shown"),
    [((512, 400), (512, 400)), ((2800, 700), (1400, 350)), ((100, 60), (500, 300)), ((1, 9000), (1, 1400))],
)
def test_large_pictures_are_reduced_and_small_ones_enlarged(size, shown):
    assert shown_size(*size) == shown
    assert draw_picture(np.zeros((*size, 3), np.uint8)).shape == (*shown, 3)


def test_masks_have_the_colours_of_classes_and_white_where_there_is_no_data():
    labels = np.full((600, 600), 1, np.uint8)
    labels[:, 200:], labels[:, 400:], labels[0] = 2, 0, IGNORE

    drawn = draw_mask(labels, CLASSES)

    assert drawn[1, [0, 200, 400]].tolist() == [[255, 0, 0], [0, 0, 255], [0, 0, 0]]
    assert (drawn[0] == 255).all()


def test_overlays_go_from_outlines_to_nothing_but_the_mask():
    labels = np.zeros((600, 600), np.uint8)
    labels[100:500, 100:500] = 1
    picture = draw_picture(np.full((600, 600, 1), 100, np.uint8))

    outline, half, whole = (draw_overlay(picture, labels, CLASSES, opacity) for opacity in (0, 0.5, 1))

    assert outline[100, 300].tolist() == [255, 0, 0]
    assert [drawn[300, 300].tolist() for drawn in (outline, half, whole)] == [[100] * 3, [177, 50, 50], [255, 0, 0]]
    assert (whole[:100] == 100).all()


def test_what_is_unsure_is_bright():
    probabilities = np.zeros((1, 1, 600, 600), np.uint8)
    probabilities[..., 200:], probabilities[..., 400:] = 128, 255

    drawn = draw_uncertainty(probabilities).astype(int).sum(axis=-1)

    assert drawn[300, 100] == drawn[300, 500] < 50
    assert drawn[300, 300] > 500
