"""Cached samples whose arrays were never written."""

import numpy as np

from maskmill.data.cache import CachedSample
from maskmill.data.places import find_places


class InMemory(CachedSample):
    """A sample whose pixel values are (slice, row, column), so that a patch shows its place; a pixel of class 2."""

    @classmethod
    def of(cls, height, width, depth=1, name="a", spacing=None):
        """A sample of this size."""
        labels = np.zeros((depth, height, width), np.uint8)
        labels[depth // 2, height // 2, width // 2] = 2
        sample = cls.described(labels, 3, name, spacing)
        object.__setattr__(sample, "_labels", labels)
        object.__setattr__(sample, "_image", np.moveaxis(np.indices(labels.shape, np.uint8), 0, -1))
        return sample

    @classmethod
    def described(cls, labels, channels, name, spacing):
        return cls(
            id=name, folder=None, depth=labels.shape[0], height=labels.shape[1], width=labels.shape[2],
            channels=channels, dtype="uint8", minimum=(0,) * channels, maximum=(255,) * channels, low=(0,) * channels,
            high=(255,) * channels, pixels=find_places(labels)[0], spacing=spacing, unit="mm" if spacing else None,
            sha256_image="", sha256_labels="",
        )  # fmt: skip

    def image(self):
        return self._image

    def labels(self):
        return self._labels

    def places(self):
        return find_places(self._labels)[1]


class WithLabels(InMemory):
    """A sample of given labels (D, H, W), white but for a black frame in each slice."""

    @classmethod
    def of(cls, labels, frame=0):
        """A sample of these labels and a frame of this width."""
        sample = cls.described(labels, 1, "labels", None)
        image = np.zeros((*labels.shape, 1), np.uint8)
        image[:, frame : sample.height - frame, frame : sample.width - frame] = 255
        object.__setattr__(sample, "_labels", labels)
        object.__setattr__(sample, "_image", image)
        return sample
