"""Validation patches as pictures."""

import numpy as np
import pytest
import torch

from maskmill.classes import Classes
from maskmill.training.compute import Place, start_compute
from maskmill.training.learner import Learner
from maskmill.training.pictures import choose_shown, draw_shown
from tests.unit.training.jobs import COMPUTE, make_batch, make_job


def test_patches_with_most_foreground_are_shown_in_their_order():
    foreground = np.random.default_rng(0).permutation(40)
    patches = [
        (torch.full((1, 8, 8), float(n)), (torch.arange(64) < count).long().view(8, 8))
        for n, count in enumerate(foreground)
    ]
    patches[5][1][:] = 255  # ignored is not foreground
    images, labels = choose_shown(patches)
    candidates = [number * 40 // 16 for number in range(16)]
    most = sorted(sorted((n for n in candidates if n != 5), key=lambda n: foreground[n])[-4:])
    assert images[:, 0, 0, 0].tolist() == most
    assert labels.shape == (4, 8, 8)


def test_few_patches_are_all_shown():
    assert len(choose_shown([(torch.zeros(1, 4, 4), torch.zeros(4, 4, dtype=torch.long))] * 3)[0]) == 3


@pytest.mark.parametrize(("dimensions", "shape"), [(2, (16, 16)), (3, (12, 16, 16))])
def test_a_row_a_patch_with_picture_reference_and_prediction(dimensions, shape):
    fabric = start_compute(COMPUTE, True, Place())
    learner = Learner(make_job(model={"dimensions": dimensions}), fabric)
    images, labels = make_batch(2, shape)
    drawn = draw_shown(learner, (images, labels), Classes.from_config({"a": "#ff0000"}), fabric)
    assert drawn.shape == (2 * 16, 3 * 16, 3)
    assert drawn.dtype == np.uint8
    middle = labels if dimensions == 2 else labels[:, 6]
    assert ((drawn[:, 16:32] == (255, 0, 0)).all(axis=2) == (middle.reshape(32, 16) == 1).numpy()).all()
