"""Figures of the validation patches."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from maskmill.training.compute import Place, start_compute
from maskmill.training.learner import Learner
from maskmill.training.validation import Validation, count_pixels, validate
from tests.unit.training.jobs import COMPUTE, make_batch, make_job


@pytest.mark.parametrize("shape", [(5, 6), (3, 5, 6)])
def test_pixels_are_counted_by_class_and_ignored_ones_left_out(shape):
    random = np.random.default_rng(0)
    labels = random.choice([0, 1, 2, 255], (4, *shape))
    predicted = random.random((4, 2, *shape)) > 0.5
    counts = count_pixels(torch.from_numpy(predicted), torch.from_numpy(labels)).numpy()
    for place, value in enumerate((1, 2)):
        valid, reference = labels != 255, labels == value
        prediction = predicted[:, place] & valid
        assert counts[0, place] == (prediction & reference).sum()
        assert counts[1, place] == (prediction | reference).sum()


def learner_of(logits, classes=1):
    """A learner whose network gives the images times `logits`."""
    learner = Learner(make_job(classes=classes), start_compute(COMPUTE, True, Place()))
    learner.predict = lambda images: images * torch.tensor(logits).view(1, -1, 1, 1)
    return learner


def test_the_loss_is_the_mean_over_patches_and_the_iou_that_of_all_pixels():
    images, labels = make_batch(5)
    learner, fabric = learner_of([2.0]), start_compute(COMPUTE, True, Place())
    patches = list(zip(images, labels, strict=True))
    validation = validate(learner, DataLoader(patches, batch_size=2), 1, fabric)
    losses = [learner.loss(2 * images[part], labels[part]).item() * count for part, count in
              ((slice(0, 2), 2), (slice(2, 4), 2), (slice(4, 5), 1))]  # fmt: skip
    assert validation.loss == pytest.approx(sum(losses) / 5)
    valid, reference, predicted = labels != 255, labels == 1, images[:, 0] > 0
    union = ((predicted & valid) | reference).sum()
    assert validation.iou == pytest.approx(((predicted & reference).sum() / union).item())


def test_classes_that_nobody_shows_are_left_out():
    images, fabric = torch.zeros(1, 1, 4, 4) - 1, start_compute(COMPUTE, True, Place())
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    loader = DataLoader([(images[0], labels[0])])
    assert validate(learner_of([1.0]), loader, 1, fabric).iou is None
    labels[0, 0] = 1
    two = learner_of([-9.0, 0.0, 0.0], classes=2)  # all background
    assert validate(two, DataLoader([(images[0], labels[0])]), 2, fabric).iou == 0


def test_scores_order_by_iou_and_then_by_loss():
    ordered = [Validation(0.1, None), Validation(0.9, 0.5), Validation(0.2, 0.5), Validation(0.9, 0.6)]
    assert sorted(ordered, key=lambda validation: validation.score) == ordered
