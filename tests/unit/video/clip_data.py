"""Drawn videos for tests."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def drive_past(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames (count, H, W, 3): a fixed scene of smooth colours, and a red square that moves right by 3 pixels."""
    rows, columns = np.mgrid[:height, :width]
    scene = np.stack([rows * 2, 200 - columns * 2, 40 + rows + columns], axis=-1).astype(np.uint8)
    frames = np.repeat(scene[np.newaxis], count, axis=0)
    for number, frame in enumerate(frames):
        frame[4:14, 3 * number : 3 * number + 10] = (220, 30, 40)
    return frames


def write_lossless(path: Path, frames: Iterable[np.ndarray]) -> Path:
    """Write frames, RGB uint8, as a video (.avi) that gives them back unchanged."""
    writer = None
    for frame in frames:
        if writer is None:
            size = frame.shape[1::-1]
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 10, size)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path
