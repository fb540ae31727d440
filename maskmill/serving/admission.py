"""Who is let in to a service, who waits and who is turned away."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from maskmill.serving.limits import Limits

RETRY_SECONDS = 1
"""What a client that is turned away is told to wait."""


class Deadline:
    """A point in time by which something has to be done."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, 0 afterwards."""
        return max(0.0, self._end - time.monotonic())


class Admission:
    """Takes so many requests, lets so many of them be worked on at a time, and turns the others away."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = BoundedSemaphore(limits.at_once + limits.waiting)
        self._work = BoundedSemaphore(limits.at_once)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Have a place from before the upload is read until the answer is made.

        Raises TooManyRequests where all are taken.
        """
        if not self._places.acquire(blocking=False):
            raise TooManyRequests(
                f"all places are taken ({self._limits.at_once} in work, {self._limits.waiting} waiting or being sent); "
                "send this one again later",
                retry_after=RETRY_SECONDS,
            )
        try:
            yield
        finally:
            self._places.release()

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Wait for one's turn, and have it within the block.

        Raises ServiceUnavailable where the turn does not come in time.
        """
        if not self._work.acquire(timeout=deadline.left):
            raise too_late(deadline)
        try:
            yield
        finally:
            self._work.release()


def too_late(deadline: Deadline) -> ServiceUnavailable:
    """The error that says that a picture is not done in time."""
    return ServiceUnavailable(
        f"the picture was not done in {deadline.seconds:g} seconds; send a smaller one, or this one when less is going "
        "on, or have the service started with a larger --seconds",
        retry_after=RETRY_SECONDS,
    )
