"""The curves and pictures of a training as TensorBoard's events."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


class Events:
    """The events in `folder` of a training whose next epoch is `first_epoch`; later ones that are there are purged."""

    def __init__(self, folder: Path, first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        if first_epoch == 1:
            for events in folder.glob("events.out.tfevents.*"):
                events.unlink()
        self._writer = SummaryWriter(str(folder), purge_step=first_epoch)

    def add_scalars(self, values: Mapping[str, float], epoch: int) -> None:
        """Add a point to the curve of each name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def add_picture(self, picture: np.ndarray, epoch: int) -> None:
        """Add a picture, RGB uint8 (H, W, 3)."""
        self._writer.add_image("validation", picture, epoch, dataformats="HWC")
        self.flush()

    def flush(self) -> None:
        """Write everything to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """End the events."""
        self._writer.close()
