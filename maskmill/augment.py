"""Random changes of training patches, the same for the picture and its labels."""

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


class Augmentation:
    """Flips, quarter turns, affine maps, noise, brightness, contrast and gamma, each with its own probability.

    flip (along either axis), rotate90, affine, noise, brightness_contrast, gamma: probabilities, 0–1.
    rotate_limit: degrees; scale_limit, shift_limit: parts of 1. What an affine map brings in from outside the patch is
    its mirror image, in picture and labels alike, so no false border or background is ever learnt.
    Raises MaskmillError where albumentations does not take these values.
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
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # albumentations only warns of arguments it then leaves out
            try:
                self._compose = A.Compose(
                    [
                        A.HorizontalFlip(p=flip),
                        A.VerticalFlip(p=flip),
                        A.RandomRotate90(p=rotate90),
                        A.Affine(
                            scale=(1 - scale_limit, 1 + scale_limit),
                            translate_percent=(-shift_limit, shift_limit),
                            rotate=(-rotate_limit, rotate_limit),
                            keep_ratio=True,
                            interpolation=cv2.INTER_LINEAR,
                            mask_interpolation=cv2.INTER_NEAREST,
                            border_mode=cv2.BORDER_REFLECT_101,
                            p=affine,
                        ),
                        A.RandomBrightnessContrast(
                            brightness_limit=BRIGHTNESS_LIMIT, contrast_limit=CONTRAST_LIMIT, p=brightness_contrast
                        ),
                        A.RandomGamma(gamma_limit=GAMMA_PERCENT, p=gamma),
                        A.GaussNoise(std_range=NOISE_STD, p=noise),
                    ]
                )
            except (ValueError, UserWarning) as error:
                raise MaskmillError(f"the augment options are not possible: {error}") from error

    def __call__(self, unit: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Change a patch (H, W, C), float32 in [0, 1], and its labels (H, W), uint8, as the number `seed` decides."""
        # one generator for all: `set_random_seed` would give each transform the same numbers, so that flips coincide
        self._compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        changed = self._compose(image=unit, mask=labels)
        return changed["image"], changed["mask"]
