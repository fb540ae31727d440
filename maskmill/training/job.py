"""What is to be trained on what, and the digests that it is known by."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskmill.classes import Classes
from maskmill.data.cache import CachedSample, read_split
from maskmill.files import read_json, sha256_json
from maskmill.inference.preprocess import Preprocessing
from maskmill.models import build_model, output_channels
from maskmill.sizes import Size, as_size


@dataclass(frozen=True)
class Job:
    """A training: a network's options, and the pictures of one fold."""

    experiment: str
    fold: int
    seed: int
    classes: Classes
    preprocessing: Preprocessing
    training: list[CachedSample]
    validation: list[CachedSample]
    options: Mapping[str, Mapping[str, Any]]
    workers: int

    @property
    def train(self) -> Mapping[str, Any]:
        """The section `train` of the options."""
        return self.options["train"]

    @property
    def dimensions(self) -> int:
        """Of the network and of its patches: 2 or 3."""
        return self.options["model"]["dimensions"]

    @property
    def patch(self) -> Size:
        """Size of a patch (depth, height, width)."""
        return as_size(self.train["patch"], self.dimensions)

    def data_digest(self) -> str:
        """Digest of all pictures, labels and numbers from the data set that training and validation see."""
        splits = {"train": self.training, "validation": self.validation}
        digests = {
            split: [(sample.id, sample.sha256_image, sample.sha256_labels, sample.spacing) for sample in samples]
            for split, samples in splits.items()
        }
        return sha256_json([digests, self.preprocessing.as_dict(), self.classes.names])

    def decisive_options(self, compute: Mapping[str, Any]) -> dict[str, Any]:
        """The options that the weights follow from, with `compute` in them; prediction changes no weight.

        In them `train.devices` is the number of all processes, as it does not matter on which nodes they are.
        """
        sections = {name: dict(self.options[name]) for name in ("model", "loss", "augment", "train")}
        sections["train"] |= compute
        sections["train"]["devices"] *= sections["train"].pop("nodes")
        return {"fold": self.fold, "seed": self.seed, **sections}

    def build_network(self) -> nn.Module:
        """A network with initial weights drawn from torch's random numbers."""
        channels, outputs = self.preprocessing.channels, output_channels(len(self.classes))
        return build_model(self.options["model"], channels, outputs)


def read_job(
    cache: Sequence[str | os.PathLike],
    splits: str | os.PathLike,
    fingerprint: str | os.PathLike,
    classes: Sequence[str] | Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
    experiment: str,
    fold: int,
    seed: int,
    workers: int,
) -> Job:
    """The job that arguments of `train_model` describe; nothing in `options` is "auto" that a plan decides."""
    return Job(
        experiment=experiment,
        fold=fold,
        seed=seed,
        classes=Classes.from_config(classes),
        preprocessing=Preprocessing.from_dict(read_json(fingerprint)["folds"][fold]["preprocessing"]),
        training=read_split(cache, splits, fold, "train"),
        validation=read_split(cache, splits, fold, "validation"),
        options=options,
        workers=workers,
    )
