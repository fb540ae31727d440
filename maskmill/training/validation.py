"""How well the network does on the validation patches."""

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from maskmill.classes import IGNORE
from maskmill.models import foreground_probabilities
from maskmill.training.learner import Learner


@dataclass(frozen=True)
class Validation:
    """loss: mean over the patches. iou: at threshold 0.5, from pixels pooled over all patches, averaged over classes.

    Classes that neither prediction nor reference show are left out of `iou`; it is None where that are all.
    """

    loss: float
    iou: float | None

    @property
    def score(self) -> list[float]:
        """Greater is better: the IoU, and the lower loss among equals."""
        return [self.iou or 0.0, -self.loss]


@torch.no_grad()
def validate(learner: Learner, loader: DataLoader, classes: int, fabric: Fabric) -> Validation:
    """Validate the network that is kept on this process's batches; the figures are those of all processes together."""
    learner.share_statistics()
    loss = torch.zeros(2, dtype=torch.float64, device=fabric.device)  # sum, number of patches
    pixels = torch.zeros(2, classes, dtype=torch.float64, device=fabric.device)  # intersection, union: whole numbers
    for images, labels in loader:
        images, labels = fabric.to_device((images, labels))
        logits = learner.predict(images)
        loss += torch.stack([learner.loss(logits, labels).double(), loss.new_ones(())]) * len(images)
        pixels += count_pixels(foreground_probabilities(logits) > 0.5, labels)
    total, patches = fabric.all_reduce(loss, reduce_op="sum").tolist()
    intersection, union = fabric.all_reduce(pixels, reduce_op="sum")
    present = union > 0
    iou = (intersection[present] / union[present]).mean().item() if present.any() else None
    return Validation(total / patches, iou)


def count_pixels(predicted: Tensor, labels: Tensor) -> Tensor:
    """Pixels in the intersection and in the union of prediction and reference, (2, K), ignored ones left out.

    predicted: (N, K, H, W) or (N, K, D, H, W), boolean; labels: (N, H, W) or (N, D, H, W).
    """
    labels = labels.unsqueeze(1)
    values = torch.arange(1, predicted.shape[1] + 1, device=labels.device).view(1, -1, *[1] * (labels.ndim - 2))
    reference, valid = labels == values, labels != IGNORE
    places = [axis for axis in range(labels.ndim) if axis != 1]
    return torch.stack([(predicted & reference).sum(places), ((predicted & valid) | reference).sum(places)])
