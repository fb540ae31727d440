"""The loop of most tutorials: each picture is decoded and resized each time, one process, 32 bits, no cache."""

from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import cv2
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class PictureDataset(Dataset):
    """Pictures and masks (0 and 1) from their files, resized to `size`², flipped, turned and brightened."""

    def __init__(self, files: Sequence[tuple[Path, Path]], size: int, draws: int) -> None:
        self.files, self.size, self.draws = files, size, draws
        self.transform = A.Compose(
            [
                A.Resize(size, size),
                A.HorizontalFlip(p=0.5),
                A.VerticalFlip(p=0.5),
                A.RandomRotate90(p=0.5),
                A.Affine(rotate=(-15, 15), scale=(0.9, 1.1), p=0.5),
                A.RandomBrightnessContrast(p=0.3),
                A.GaussNoise(p=0.2),
                A.Normalize(),
            ]
        )

    def __len__(self) -> int:
        return self.draws

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image_file, mask_file = self.files[index % len(self.files)]
        image = cv2.cvtColor(cv2.imread(str(image_file)), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(str(mask_file), cv2.IMREAD_GRAYSCALE)
        changed = self.transform(image=image, mask=mask)
        return torch.from_numpy(changed["image"].transpose(2, 0, 1)), torch.from_numpy(changed["mask"]).float()[None]


class Tutorial:
    """One epoch a call."""

    def __init__(
        self, network: nn.Module, files: Sequence[tuple[Path, Path]], size: int, draws: int, batch: int
    ) -> None:
        self.network = network
        self.loader = DataLoader(PictureDataset(files, size, draws), batch_size=batch, shuffle=True)
        self.optimizer = torch.optim.Adam(network.parameters(), 1e-3)
        self.loss = nn.BCEWithLogitsLoss()

    def __call__(self) -> None:
        self.network.train()
        for images, masks in self.loader:
            self.optimizer.zero_grad()
            loss = self.loss(self.network(images), masks)
            loss.backward()
            self.optimizer.step()
            loss.item()
