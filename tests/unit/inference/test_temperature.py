"""Probabilities at a temperature, and what labels say of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.special import expit, log_softmax, logit, softmax

from maskmill.inference.temperature import log_losses, scale_probabilities

TEMPERATURES = st.floats(0.1, 10)
LEVELS = arrays(np.uint8, array_shapes(min_dims=3, max_dims=4, min_side=1, max_side=5))


@given(st.floats(0.1, 10).filter(lambda t: t != 1))
def test_of_one_class_logits_are_divided(temperature):
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)

    with np.errstate(divide="ignore"):
        expected = 255 * expit(logit(levels / 255) / temperature)

    assert np.abs(scale_probabilities(levels, temperature) - expected).max() <= 0.5 + 1e-3


@given(arrays(np.float64, (4, 3, 5), elements=st.floats(-4, 4)), TEMPERATURES)
def test_of_several_classes_it_is_the_softmax_of_divided_logits(logits, temperature):
    levels = np.rint(255 * softmax(logits, axis=0)[1:]).astype(np.uint8)
    stored = np.concatenate([np.maximum(255 - levels.sum(axis=0, dtype=int), 0)[np.newaxis], levels]) / 255
    with np.errstate(divide="ignore"):
        expected = softmax(np.log(stored) / temperature, axis=0)[1:]

    assert np.abs(scale_probabilities(levels, temperature) - 255 * expected).max() <= 0.5 + 1e-3


@given(LEVELS, TEMPERATURES)
def test_the_shape_stays_and_so_does_what_is_rounded_to_nothing(levels, temperature):
    scaled = scale_probabilities(levels, temperature)

    assert (scaled.dtype, scaled.shape) == (np.uint8, levels.shape)
    assert not scaled[levels == 0].any()


def test_more_pixels_than_are_taken_at_once_are_scaled_alike():
    levels = np.random.default_rng(0).integers(0, 120, (2, 1, 1100, 1000)).astype(np.uint8)

    parts = [scale_probabilities(levels[..., rows : rows + 100, :], 2) for rows in range(0, 1100, 100)]

    assert np.array_equal(scale_probabilities(levels, 2), np.concatenate(parts, axis=2))


def test_a_temperature_of_one_copies_nothing():
    levels = np.zeros((1, 2, 2), np.uint8)

    assert scale_probabilities(levels, 1) is levels


def test_losses_are_those_of_cross_entropy():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (3, 2, 40, 40))
    levels = np.rint(255 * softmax(logits, axis=0)[1:]).astype(np.uint8)
    labels = rng.integers(0, 3, (2, 40, 40)).astype(np.uint8)
    labels[0, :5] = 255

    losses = log_losses(levels, labels, [0.5, 1, 3])

    for loss, temperature in zip(losses, [0.5, 1, 3], strict=True):
        least = np.log(0.5 / 255)
        logarithms = torch.from_numpy(np.maximum(log_softmax(logits / temperature, axis=0), least))[np.newaxis]
        wanted = torch.nn.functional.nll_loss(logarithms, torch.from_numpy(labels)[np.newaxis].long(), ignore_index=255)
        assert loss == pytest.approx(wanted.item(), abs=0.01)  # of rounded probabilities


def test_losses_of_known_pixels():
    levels = np.array([[[[51, 0, 255, 9]]]], np.uint8)
    labels = np.array([[[1, 1, 1, 255]]], np.uint8)

    (loss,) = log_losses(levels, labels, [1])

    assert loss == pytest.approx(-(np.log(0.2) + np.log(0.5 / 255) + 0) / 3, rel=1e-6)
    assert np.isnan(log_losses(levels, np.full((1, 1, 4), 255, np.uint8), [1, 2])).all()


@pytest.mark.parametrize("true", [0.6, 1, 1.75])
def test_the_least_loss_is_at_the_temperature_that_labels_were_drawn_at(true):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1.5, (1, 1, 300, 300))
    labels = (rng.random(logits.shape[1:]) < expit(logits[0] / true)).astype(np.uint8)
    candidates = [0.4, 0.6, 0.8, 1, 1.25, 1.75, 2.5]

    losses = log_losses(np.rint(255 * expit(logits)).astype(np.uint8), labels, candidates)

    assert candidates[losses.argmin()] == true
