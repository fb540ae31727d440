"""Random changes of training patches, the same for the picture and its labels.

Patches are (D, H, W, C); a picture has one slice. Every change has the same meaning for pictures and for volumes: what
moves pixels moves all slices alike, and what changes intensities changes those of the whole patch at once. Where voxels
are as long as they are wide and deep, the slices that flips, turns and affine maps move are those across any axis.
"""

import os
import random
import warnings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would otherwise ask the network for a newer version

import albumentations as A
import cv2
import numpy as np

from maskmill.errors import MaskmillError

NOISE_STD = (0.01, 0.06)
BRIGHTNESS_LIMIT = CONTRAST_LIMIT = 0.2
GAMMA_PERCENT = (70, 140)

Patch = tuple[np.ndarray, np.ndarray]
"""Unit intensities (D, H, W, C) float32 and labels (D, H, W) uint8."""


class Augmentation:
    """Flips, quarter turns, affine maps, noise, brightness, contrast and gamma, each with its own probability.

    flip (along either axis), rotate90, affine, noise, brightness_contrast, gamma: probabilities, 0–1.
    rotate_limit: degrees; scale_limit, shift_limit: parts of 1. What an affine map brings in from outside the patch is
    its mirror image, in picture and labels alike, so no false border or background is ever learnt. Patches that are not
    square are turned by 180° only.
    Raises MaskmillError where such values are not possible.
    """

    def __init__(
        self,
        flip: float = 0,
        rotate90: float = 0,
        affine: float = 0,
        rotate_limit: float = 15,
        scale_limit: float = 0.1,
        shift_limit: float = 0.1,
        noise: float = 0,
        brightness_contrast: float = 0,
        gamma: float = 0,
    ) -> None:
        self._flip, self._rotate90 = flip, rotate90
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # albumentations only warns of arguments it then leaves out
            try:
                if not (0 <= flip <= 1 and 0 <= rotate90 <= 1):
                    raise ValueError("flip and rotate90 are probabilities, from 0 to 1")
                self._affine = A.Compose(
                    [
                        A.Affine(
                            scale=(1 - scale_limit, 1 + scale_limit),
                            translate_percent=(-shift_limit, shift_limit),
                            rotate=(-rotate_limit, rotate_limit),
                            keep_ratio=True,
                            interpolation=cv2.INTER_LINEAR,
                            mask_interpolation=cv2.INTER_NEAREST,
                            border_mode=cv2.BORDER_REFLECT_101,
                            p=affine,
                        )
                    ]
                )
                self._intensity = A.Compose(
                    [
                        A.RandomBrightnessContrast(
                            brightness_limit=BRIGHTNESS_LIMIT, contrast_limit=CONTRAST_LIMIT, p=brightness_contrast
                        ),
                        A.RandomGamma(gamma_limit=GAMMA_PERCENT, p=gamma),
                        A.GaussNoise(std_range=NOISE_STD, p=noise),
                    ]
                )
            except (ValueError, UserWarning) as error:
                raise MaskmillError(f"the augment options are not possible: {error}") from error

    def __call__(self, unit: np.ndarray, labels: np.ndarray, seed: int, isotropic: bool = False) -> Patch:
        """Change unit intensities (D, H, W, C), float32, and labels (D, H, W), uint8, as the number `seed` decides.

        isotropic: it is of a volume whose voxels have sides of one length.
        """
        # one generator for all: `set_random_seed` would give each transform the same numbers, so that they coincide
        generator, plain = np.random.default_rng(seed), random.Random(seed)
        axes = (0, 1, 2) if isotropic and len(labels) > 1 else (0,)
        patch = self._flipped_and_turned((unit, labels), axes, generator)
        unit, labels = self._moved(patch, int(generator.choice(axes)), generator, plain)
        self._intensity.set_random_state(generator, plain)
        rows = np.ascontiguousarray(unit).reshape(-1, *unit.shape[2:])  # slices below each other: all change alike
        changed = self._intensity(image=rows)["image"]
        return changed.reshape(unit.shape), np.ascontiguousarray(labels)

    def _flipped_and_turned(self, patch: Patch, axes: tuple[int, ...], generator: np.random.Generator) -> Patch:
        """Flip along the axes of the slices across `axes`, and turn about these axes."""
        for axis in (0, 1, 2):
            if (len(axes) == 3 or axis not in axes) and generator.random() < self._flip:
                patch = tuple(np.flip(array, axis) for array in patch)
        for axis in axes:
            if generator.random() < self._rotate90:
                plane = [other for other in (0, 1, 2) if other != axis]
                quarters = int(generator.integers(4))
                square = patch[1].shape[plane[0]] == patch[1].shape[plane[1]]
                patch = tuple(np.rot90(array, quarters if square else 2 * quarters, plane) for array in patch)
        return patch

    def _moved(self, patch: Patch, axis: int, generator: np.random.Generator, plain: random.Random) -> Patch:
        """Apply one affine map to all slices across an axis."""
        self._affine.set_random_state(generator, plain)
        unit, labels = (np.ascontiguousarray(np.moveaxis(array, axis, 0)) for array in patch)
        changed = self._affine(volume=unit, mask3d=labels)
        return np.moveaxis(changed["volume"], 0, axis), np.moveaxis(changed["mask3d"], 0, axis)
