"""MONAI's recommended loop: transforms of dictionaries, what is not random kept in memory, threads that load ahead.

Reference: MONAI's guide to fast training (CacheDataset, ThreadDataLoader, mixed precision).
"""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from monai import transforms as T
from monai.data import CacheDataset, PILReader, ThreadDataLoader
from monai.losses import DiceCELoss
from torch import nn


def transforms(size: int) -> T.Compose:
    """Decode, scale, crop around foreground or not in turn, flip, turn, affine, contrast, noise."""
    keys = ("image", "label")
    return T.Compose(
        [
            T.LoadImaged(keys, reader=PILReader, image_only=True),
            T.EnsureChannelFirstd(keys),
            T.ScaleIntensityRanged("image", 0, 255, 0, 1, clip=True),
            T.RandCropByPosNegLabeld(keys, label_key="label", spatial_size=(size, size), pos=1, neg=1, num_samples=1),
            T.RandFlipd(keys, prob=0.5, spatial_axis=0),
            T.RandFlipd(keys, prob=0.5, spatial_axis=1),
            T.RandRotate90d(keys, prob=0.5),
            T.RandAffined(
                keys, prob=0.5, rotate_range=0.26, scale_range=0.1, translate_range=size // 10,
                mode=("bilinear", "nearest"), padding_mode="reflection",
            ),
            T.RandAdjustContrastd("image", prob=0.2, gamma=(0.7, 1.4)),
            T.RandShiftIntensityd("image", prob=0.3, offsets=0.1),
            T.RandGaussianNoised("image", prob=0.2, std=0.03),
        ]
    )  # fmt: skip


class MonaiLoop:
    """One epoch a call, of the pictures `draws` / len(files) times over."""

    def __init__(
        self, network: nn.Module, files: Sequence[tuple[Path, Path]], size: int, draws: int, batch: int, bf16: bool
    ) -> None:
        self.network, self.bf16 = network, bf16
        data = [{"image": str(image), "label": str(label)} for image, label in files] * (draws // len(files))
        dataset = CacheDataset(data, transforms(size), cache_rate=1.0, num_workers=2, progress=False)
        self.loader = ThreadDataLoader(dataset, batch_size=batch, shuffle=True, num_workers=0)
        self.optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        self.loss = DiceCELoss(sigmoid=True)

    def __call__(self) -> None:
        self.network.train()
        for batch in self.loader:
            self.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext():
                loss = self.loss(self.network(batch["image"].as_tensor()), batch["label"].as_tensor())
            loss.backward()
            self.optimizer.step()
            loss.item()
