"""Distances within pictures, the same to the last bit on any number of cores."""

import cv2
import numpy as np


def distance_to_zero(image: np.ndarray) -> np.ndarray:
    """Euclidean distance in pixels, float32 (H, W), of each pixel of a uint8 image to the nearest one that is 0.

    Without IPP, which OpenCV calls on some pictures and with one thread alone, and whose square roots are rounded
    otherwise than OpenCV's own: those are the nearest number to the exact distance.
    """
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        return cv2.distanceTransform(image, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    finally:
        cv2.ipp.setUseIPP(used)
