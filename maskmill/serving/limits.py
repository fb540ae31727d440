"""What a service bears: size and number of requests, and how long they may take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore

from werkzeug.exceptions import RequestTimeout, ServiceUnavailable, TooManyRequests

RETRY_SECONDS = 1
"""What a client that is turned away is told to wait."""


@dataclass(frozen=True)
class Limits:
    """Limits of a service.

    megabytes: of an upload. megapixels: of a picture, million voxels of a volume. at_once: pictures in work at a time,
    which bounds memory. waiting: further ones that wait for their turn. upload_seconds: for the whole upload. seconds:
    for waiting and work together.
    """

    megabytes: float = 100
    megapixels: float = 100
    at_once: int = 4
    waiting: int = 32
    upload_seconds: float = 30
    seconds: float = 120


DEFAULTS = Limits()


class Deadline:
    """A point in time by which something has to be done."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, 0 afterwards."""
        return max(0.0, self._end - time.monotonic())


class Admission:
    """Lets so many pictures be worked on at a time, so many more wait, and turns the others away."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = BoundedSemaphore(limits.at_once + limits.waiting)
        self._work = BoundedSemaphore(limits.at_once)

    def refuse_when_full(self) -> None:
        """Raise TooManyRequests where nobody else can be taken, before an upload is read."""
        with self._place():
            pass

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Wait for one's turn, and have it within the block.

        Raises TooManyRequests where too many wait already, ServiceUnavailable where the turn does not come in time.
        """
        with self._place():
            if not self._work.acquire(timeout=deadline.left):
                raise too_late(deadline)
            try:
                yield
            finally:
                self._work.release()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            work, wait = self._limits.at_once, self._limits.waiting
            raise TooManyRequests(
                f"{work} pictures are in work and {wait} wait; send this one again later", retry_after=RETRY_SECONDS
            )
        try:
            yield
        finally:
            self._places.release()


def too_late(deadline: Deadline) -> ServiceUnavailable:
    """The error that says that a picture is not done in time."""
    return ServiceUnavailable(
        f"the picture was not done in {deadline.seconds:g} seconds; send a smaller one, or this one when less is going "
        "on, or have the service started with a larger --seconds",
        retry_after=RETRY_SECONDS,
    )


class TimedInput:
    """The body of a request, which has to be there in time: `wsgi.input` with a deadline.

    socket: the connection, where it is known, so that a client that sends nothing is noticed too.
    """

    def __init__(self, body, socket, seconds: float) -> None:
        self._body, self._socket, self._deadline = body, socket, Deadline(seconds)

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        return self._timed(self._body.read, size)

    def readline(self, size: int = -1) -> bytes:
        """As of any file."""
        return self._timed(self._body.readline, size)

    def _timed(self, read, size: int) -> bytes:
        left = self._deadline.left
        if not left:
            raise self._late()
        if self._socket is None:
            return read(size)
        before = self._socket.gettimeout()
        self._socket.settimeout(left)
        try:
            return read(size)
        except TimeoutError:
            raise self._late() from None
        finally:
            self._socket.settimeout(before)

    def _late(self) -> RequestTimeout:
        return RequestTimeout(f"the upload took longer than {self._deadline.seconds:g} seconds; send it again, or less")
