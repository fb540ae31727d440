"""Logits and labels for the tests of the losses."""

import math

import torch

PLANE, VOLUME = (6, 7), (3, 6, 5)


def row(probabilities, labels):
    """Logits (1, 1, 1, P) of these probabilities and labels (1, 1, P) of a row of pixels."""
    logits = [math.log(probability / (1 - probability)) for probability in probabilities]
    return torch.tensor([[[logits]]], dtype=torch.float64), torch.tensor([[labels]])


def random_case(outputs, size=PLANE, samples=2, ignored=0.2, seed=0):
    """Random logits and labels, a share of which is ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(samples, outputs, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(2, outputs), (samples, *size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits, labels


def round_case(outputs, size=(16, 18), samples=2, seed=0):
    """Random logits and labels in large regions, which have edges of some length; a corner is ignored."""
    logits, _ = random_case(outputs, size, samples, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    coarse = torch.randint(0, max(2, outputs), (samples, *[1] * (len(size) - 2), 4, 4), generator=generator)
    labels = coarse
    for axis, length in enumerate(size, 1):
        labels = labels.repeat_interleave(-(-length // labels.shape[axis]), dim=axis).narrow(axis, 0, length)
    labels = labels.clone()
    labels[0, ..., :3, :4] = 255
    return logits, labels


def certain(labels, outputs, confidence=60.0):
    """Logits that give the labels with near certainty; background where they are ignored."""
    shown = labels.where(labels != 255, 0)
    if outputs == 1:
        return (shown * 2.0 - 1).unsqueeze(1) * confidence
    return torch.nn.functional.one_hot(shown, outputs).movedim(-1, 1) * confidence
