"""Reading and writing videos with OpenCV's FFmpeg. Frames are RGB uint8 (H, W, 3); there is no sound."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskmill.errors import MaskmillError

CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
"""Codecs of written videos, four characters, by suffix: MPEG-4 Part 2, Motion JPEG and VP8, which browsers play."""

USUAL_RATE = 25.0
"""Frames a second where a video does not say."""

_QUIET = "-8"


@dataclass(frozen=True)
class Clip:
    """A video file. frames: how many it says it has, 0 where it does not say; rate: frames a second."""

    path: Path
    frames: int
    rate: float

    @classmethod
    def of(cls, path: Path) -> "Clip":
        """Look at a video. Raises MaskmillError where it cannot be read."""
        with _opened(path) as capture:
            declared, rate = (capture.get(name) for name in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
            return cls(Path(path), max(0, int(declared)), rate if 0 < rate < 1e4 else USUAL_RATE)

    def read(self) -> Iterator[np.ndarray]:
        """All frames in order, upright.

        Raises MaskmillError where there is none, where one has another size than the first, and after the last where
        more than 1 % of the frames that the file says it has are missing (and more than one), as of a file cut off.
        """
        with _opened(self.path) as capture:
            count, size = 0, None
            while True:
                found, frame = capture.read()
                if not found:
                    break
                count, size = count + 1, size or frame.shape
                if frame.shape != size:
                    raise MaskmillError(
                        f"{self.path}: frame {count} has {_describe(frame.shape)} pixels, those before it "
                        f"{_describe(size)}; write it anew with frames of one size"
                    )
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if count == 0:
            raise MaskmillError(f"{self.path} has no frame that can be read: it is empty, or damaged from its start")
        if self.frames - count > 1 + self.frames // 100:
            raise MaskmillError(
                f"{self.path} says that it has {self.frames} frames, and only {count} can be read: it is cut off or "
                "damaged. Copy it again; to take it as it is, write it anew, as with ffmpeg -i IN -c copy OUT.mp4"
            )


class ClipWriter:
    """Writes frames, RGB uint8 (H, W, 3), as a video at `path`, whose suffix is one of `CODECS`; rate: frames a second.

    The last column and row are left out where width and height are odd, as codecs want it. `close` raises MaskmillError
    unless all can be read again, as where the disk was full.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate, self._count = path, rate, 0
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        """Append a frame; all have the size of the first. Raises MaskmillError where the video cannot be begun."""
        if self._writer is None:
            codec, (height, width) = CODECS[self._path.suffix.lower()], frame.shape[:2]
            with _silence():
                self._writer = cv2.VideoWriter(
                    str(self._path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), self._rate, (width, height)
                )
            if not self._writer.isOpened():
                raise MaskmillError(
                    f"OpenCV cannot write a {self._path.suffix} video ({codec}) of {width} × {height} pixels; take "
                    f"another suffix ({', '.join(CODECS)}), or --masks"
                )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._count += 1

    def close(self) -> None:
        """Finish the file and check it."""
        self.release()
        with _opened(self._path) as capture:
            readable = 0
            while capture.grab():
                readable += 1
        if readable != self._count:
            raise MaskmillError(
                f"of {self._count} frames that were written only {readable} can be read again; is the disk full?"
            )

    def release(self) -> None:
        """Let go of the file, whatever state it is in."""
        if self._writer is not None:
            self._writer.release()


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    if not Path(path).is_file():  # an address too, which FFmpeg would fetch
        raise MaskmillError(f"{path} is no file; give a video file")
    if Path(path).stat().st_size == 0:
        raise MaskmillError(f"{path} is empty; copy it again")
    with _silence():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise MaskmillError(
                f"{path} cannot be read as a video: it is none, is damaged or cut off, or OpenCV's FFmpeg does not "
                "know its codec. Try to write it anew, as with ffmpeg -i IN OUT.mp4"
            )
        yield capture
    finally:
        capture.release()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep OpenCV and FFmpeg from telling on standard error what is raised in plainer words."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _QUIET)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _describe(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} × {shape[0]}"
