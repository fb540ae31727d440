"""Validation patches as pictures, drawn anew whenever the network got better."""

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from maskmill.classes import IGNORE, Classes
from maskmill.data.dataset import ValidationPatches
from maskmill.figures import draw_patches
from maskmill.models import foreground_probabilities
from maskmill.training.learner import Learner

SHOWN, CANDIDATES = 4, 16


def choose_shown(patches: ValidationPatches) -> tuple[Tensor, Tensor]:
    """Images and labels of a few validation patches: of some evenly spread ones, those with the most foreground."""
    count = min(CANDIDATES, len(patches))
    candidates = [patches[number * len(patches) // count] for number in range(count)]
    foreground = [int(((labels > 0) & (labels != IGNORE)).sum()) for _, labels in candidates]
    chosen = np.sort(np.argsort(foreground, kind="stable")[-SHOWN:])
    images, labels = zip(*(candidates[number] for number in chosen), strict=True)
    return torch.stack(images), torch.stack(labels)


def draw_shown(learner: Learner, shown: tuple[Tensor, Tensor], classes: Classes, fabric: Fabric) -> np.ndarray:
    """Picture, reference and prediction of each patch in a row, RGB uint8 (H, W, 3); of volumes the middle slice."""
    images, labels = shown
    probabilities = torch.cat(
        [foreground_probabilities(learner.predict(fabric.to_device(image))).cpu() for image in images.split(1)]
    )
    if labels.ndim == 4:
        middle = labels.shape[1] // 2
        images, labels, probabilities = images[:, :, middle], labels[:, middle], probabilities[:, :, middle]
    return draw_patches(images.numpy(), labels.numpy(), probabilities.numpy(), classes)
